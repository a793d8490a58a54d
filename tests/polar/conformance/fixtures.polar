actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
test fixture callers { has_role(Client{"a"}, "caller", Tool{"t"}); has_role(Client{"b"}, "caller", Tool{"t"}); }
test fixture empty {}
test fixture others { has_role(Client{"c"}, "caller", Tool{"u"}); }
test "one fixture" {
  setup { fixture callers; }
  assert allow(c: Client, "call", Tool{"t"}) iff c = Client{"a"} or c = Client{"b"};
  assert_not allow(Client{"c"}, "call", Tool{"u"});
}
test "fixtures and facts together" {
  setup { fixture others; has_role(Client{"d"}, "caller", Tool{"u"}); fixture empty; fixture callers; }
  assert allow(c: Client, "call", Tool{"u"}) iff c = Client{"c"} or c = Client{"d"};
  assert allow(Client{"a"}, "call", Tool{"t"});
}
test "a test without a fixture sees none" { assert_not allow(Client{"a"}, "call", Tool{"t"}); }
test "an empty setup" { setup {} assert_not allow(Client{"a"}, "call", Tool{"t"}); }
