actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
test "without a grant nobody may do anything" {
  assert_not allow(Client{"a"}, "call", Tool{"t"});
  assert_not has_role(Client{"a"}, "caller", Tool{"t"});
  assert allow(_: Client, action: String, _: Tool) iff false;
}
test "one grant is enough, and only for what it names" {
  setup { has_role(Client{"a"}, "caller", Tool{"t"}); }
  assert allow(Client{"a"}, "call", Tool{"t"});
  assert_not allow(Client{"a"}, "call", Tool{"u"});
  assert_not allow(Client{"b"}, "call", Tool{"t"});
  assert_not allow(Client{"a"}, "caller", Tool{"t"});
}
