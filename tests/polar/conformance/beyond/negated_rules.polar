# A predicate that has rules may be negated where nothing depends on its own absence.
actor Client {}
resource Tool {}
declare member(Client, Client);
declare banned(Client);
declare known(Client);
barred(c: Client) if banned(c);
barred(c: Client) if member(c, d) and barred(d);
free(c: Client) if known(c) and not barred(c);
alone(c: Client) if known(c) and not member(c, _);
outside(c: Client) if known(c) and not (banned(c) or barred(c));
test "a ban reaches members of members" {
  setup { known(Client{"a"}); known(Client{"b"}); known(Client{"c"}); known(Client{"d"}); member(Client{"a"}, Client{"b"}); member(Client{"b"}, Client{"c"}); banned(Client{"c"}); }
  assert free(c: Client) iff c = Client{"d"};
  assert outside(c: Client) iff c = Client{"d"};
  assert barred(Client{"a"});
  assert_not barred(Client{"d"});
  assert alone(c: Client) iff c = Client{"c"} or c = Client{"d"};
}
