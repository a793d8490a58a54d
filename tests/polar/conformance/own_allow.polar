# A written `allow` replaces the alias; what it does not say again is gone.
actor Client {}
actor User {}
resource Tool { roles = ["caller"]; permissions = ["call", "list"]; "call" if "caller"; "list" if "caller"; }
allow(c: Client, action: String, t: Tool) if has_permission(c, action, t);
allow(_: User, "list", _: Tool);
test "clients go through their permissions" {
  setup { has_role(Client{"a"}, "caller", Tool{"t"}); has_role(User{"u"}, "caller", Tool{"t"}); }
  assert allow(Client{"a"}, "call", Tool{"t"});
  assert allow(Client{"a"}, "list", Tool{"t"});
  assert has_permission(User{"u"}, "call", Tool{"t"});
  assert_not allow(User{"u"}, "call", Tool{"t"});
  assert allow(User{"stranger"}, "list", Tool{"anything"});
  assert_not allow(Client{"stranger"}, "list", Tool{"anything"});
}
