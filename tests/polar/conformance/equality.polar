# `=` gives a variable its value, or tests it, from either side and through others.
actor Client {}
resource Tool {}
declare knows(Client, Client);
declare rank(Client, Integer);
bound(c: Client) if "call" = word and said(c, word);
declare said(Client, String);
chained(c: Client) if x = y and y = z and knows(c, x) and knows(c, z) and z = Client{"hub"} and rank(y, 1);
head(c: Client, d) if d = Tool{"fixed"} and rank(c, 2);
itself(c: Client) if knows(c, d) and c = d;
unequal_types(c: Client) if rank(c, n) and said(c, s) and (n = 1 and s = "1" or n = 2 and s = "two");
test "bound by an equation" {
  setup { said(Client{"a"}, "call"); said(Client{"b"}, "list"); }
  assert bound(c: Client) iff c = Client{"a"};
}
test "through a chain of variables" {
  setup { knows(Client{"a"}, Client{"hub"}); rank(Client{"hub"}, 1); knows(Client{"b"}, Client{"c"}); rank(Client{"c"}, 1); }
  assert chained(c: Client) iff c = Client{"a"};
}
test "a head variable" {
  setup { rank(Client{"a"}, 2); }
  assert head(Client{"a"}, t: Tool) iff t = Tool{"fixed"};
  assert_not head(Client{"a"}, Tool{"other"});
}
test "two names for one" {
  setup { knows(Client{"a"}, Client{"a"}); knows(Client{"a"}, Client{"b"}); knows(Client{"c"}, Client{"a"}); }
  assert itself(c: Client) iff c = Client{"a"};
}
test "alternatives of equations" {
  setup { rank(Client{"a"}, 1); said(Client{"a"}, "1"); rank(Client{"b"}, 2); said(Client{"b"}, "2"); rank(Client{"c"}, 2); said(Client{"c"}, "two"); }
  assert unequal_types(c: Client) iff c = Client{"a"} or c = Client{"c"};
}
