# A fact of a predicate that has rules is one more answer of it.
actor Client {}
resource Tool { roles = ["caller", "owner"]; permissions = ["call"]; "call" if "caller"; "caller" if "owner"; }
has_role(Client{"built-in"}, "owner", Tool{"console"});
has_permission(Client{"direct"}, "call", Tool{"console"});
test "facts of the policy, of the test, and what follows from them" {
  setup { has_role(Client{"a"}, "caller", Tool{"console"}); has_permission(Client{"b"}, "call", Tool{"console"}); }
  assert allow(c: Client, "call", Tool{"console"}) iff c = Client{"built-in"} or c = Client{"direct"} or c = Client{"a"} or c = Client{"b"};
  assert has_role(c: Client, "caller", Tool{"console"}) iff c = Client{"built-in"} or c = Client{"a"};
}
test "the policy's own facts are always there, a test's are not" {
  assert allow(Client{"built-in"}, "call", Tool{"console"});
  assert_not allow(Client{"a"}, "call", Tool{"console"});
}
