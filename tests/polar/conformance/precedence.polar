# `or` binds looser than `and`, `and` looser than `not`, `not` looser than a comparison.
actor Client {}
declare a(Client);
declare b(Client);
declare c(Client);
declare n(Client, Integer);
either(x: Client) if a(x) or b(x) and c(x);
grouped(x: Client) if (a(x) or b(x)) and c(x);
denied(x: Client) if a(x) and not b(x) or c(x);
small(x: Client) if n(x, i) and i < 3 or a(x) and not b(x) and n(x, j) and j >= 3;
test "and before or" {
  setup { a(Client{"a"}); b(Client{"b"}); b(Client{"bc"}); c(Client{"bc"}); c(Client{"c"}); }
  assert either(x: Client) iff x = Client{"a"} or x = Client{"bc"};
  assert grouped(x: Client) iff x = Client{"bc"};
}
test "not before and" {
  setup { a(Client{"a"}); a(Client{"ab"}); b(Client{"ab"}); a(Client{"abc"}); b(Client{"abc"}); c(Client{"abc"}); }
  assert denied(x: Client) iff x = Client{"a"} or x = Client{"abc"};
}
test "comparisons first" {
  setup { n(Client{"p"}, 2); n(Client{"q"}, 3); a(Client{"q"}); n(Client{"r"}, 3); a(Client{"r"}); b(Client{"r"}); }
  assert small(x: Client) iff x = Client{"p"} or x = Client{"q"};
}
