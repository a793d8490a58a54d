# Rules of one predicate are alternatives; their order and repetition do not matter.
actor Client {}
declare a(Client);
declare b(Client);
good(c: Client) if a(c);
good(c: Client) if b(c);
good(c: Client) if a(c) and b(c);
best(c: Client) if b(c) and a(c);
best(c: Client) if (a(c) or b(c)) and (b(c) and a(c) or a(c) and false);
test "either" {
  setup { a(Client{"a"}); b(Client{"b"}); a(Client{"ab"}); b(Client{"ab"}); }
  assert good(c: Client) iff c = Client{"a"} or c = Client{"b"} or c = Client{"ab"};
  assert best(c: Client) iff c = Client{"ab"};
}
test "neither" {
  assert_not good(Client{"a"});
  assert_not best(Client{"a"});
}
