# Integers have 64 bits and a sign, and compare exactly up to both ends.
actor Client {}
declare level(Client, Integer);
most(c: Client) if level(c, 9223372036854775807);
least(c: Client) if level(c, -9223372036854775808);
below(c: Client) if level(c, n) and n < 9223372036854775807 and n > -9223372036854775808;
between(c: Client) if level(c, n) and n >= -1 and n <= 1 and n != 0;
test "the ends of the range" {
  setup {
    level(Client{"max"}, 9223372036854775807); level(Client{"max1"}, 9223372036854775806);
    level(Client{"min"}, -9223372036854775808); level(Client{"min1"}, -9223372036854775807);
  }
  assert most(c: Client) iff c = Client{"max"};
  assert least(c: Client) iff c = Client{"min"};
  assert below(c: Client) iff c = Client{"max1"} or c = Client{"min1"};
}
test "around zero" {
  setup { level(Client{"a"}, -2); level(Client{"b"}, -1); level(Client{"c"}, 0); level(Client{"d"}, +1); level(Client{"e"}, 2); }
  assert between(c: Client) iff c = Client{"b"} or c = Client{"d"};
}
test "numbers beyond what a double holds" {
  setup { level(Client{"x"}, 9007199254740993); }
  assert level(Client{"x"}, 9007199254740993);
  assert_not level(Client{"x"}, 9007199254740992);
}
