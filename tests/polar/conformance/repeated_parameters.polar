# A variable that stands twice in a head asks for one value twice.
actor Client {}
resource Tool {}
self(x: Actor, x: Actor);
both(x, y, x) if knows(x, y);
declare knows(Client, Client);
test "the same actor" {
  assert self(Client{"a"}, Client{"a"});
  assert_not self(Client{"a"}, Client{"b"});
}
test "first and last agree" {
  setup { knows(Client{"a"}, Client{"b"}); }
  assert both(Client{"a"}, Client{"b"}, Client{"a"});
  assert_not both(Client{"a"}, Client{"b"}, Client{"b"});
}
