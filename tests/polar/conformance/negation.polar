# What is negated is the presence of a fact, and only that one.
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
allow(c: Client, "call", t: Tool) if has_permission(c, "call", t) and not is_suspended(c) and not barred(c, t);
unlisted(c: Client) if known(c) and not in_group(c, "staff");
declare is_suspended(Client);
declare barred(Client, Tool);
declare known(Client);
declare in_group(Client, String);
test "an exception takes away what was granted" {
  setup {
    has_role(Client{"a"}, "caller", Tool{"t"}); has_role(Client{"b"}, "caller", Tool{"t"}); has_role(Client{"c"}, "caller", Tool{"t"});
    has_role(Client{"c"}, "caller", Tool{"u"}); is_suspended(Client{"b"}); barred(Client{"c"}, Tool{"t"});
  }
  assert allow(Client{"a"}, "call", Tool{"t"});
  assert_not allow(Client{"b"}, "call", Tool{"t"});
  assert_not allow(Client{"c"}, "call", Tool{"t"});
  assert allow(Client{"c"}, "call", Tool{"u"});
}
test "an exception for someone else changes nothing" {
  setup { has_role(Client{"a"}, "caller", Tool{"t"}); is_suspended(Client{"A"}); barred(Client{"a"}, Tool{"T"}); }
  assert allow(Client{"a"}, "call", Tool{"t"});
}
test "a value in the negated fact" {
  setup { known(Client{"a"}); known(Client{"b"}); in_group(Client{"b"}, "staff"); in_group(Client{"a"}, "guests"); }
  assert unlisted(c: Client) iff c = Client{"a"};
}
