actor Client {}
resource Toolbox { roles = ["owner"]; permissions = ["list", "call"]; "list" if "owner"; "call" if "owner"; }
resource Tool { permissions = ["list", "call", "edit"]; relations = { box: Toolbox }; permission if permission on "box"; }
test "each permission is passed on as it is" {
  setup { has_relation(Tool{"t"}, "box", Toolbox{"b"}); has_role(Client{"a"}, "owner", Toolbox{"b"}); has_permission(Client{"c"}, "list", Toolbox{"b"}); }
  assert allow(Client{"a"}, action: String, Tool{"t"}) iff action in ["list", "call"];
  assert allow(Client{"c"}, action: String, Tool{"t"}) iff action in ["list"];
  assert_not allow(Client{"a"}, "edit", Tool{"t"});
  assert_not allow(Client{"a"}, "list", Tool{"u"});
}
