actor Client {}
resource Tool { roles = ["reader", "writer", "owner"]; permissions = ["touch"]; }
has_permission(c: Client, "touch", t: Tool) if role in ["writer", "owner"] and has_role(c, role, t);
allow(c: Client, action: String, t: Tool) if action in ["read", "list"] and has_role(c, "reader", t);
allow(c: Client, action, t: Tool) if has_permission(c, action, t);
in_one(c: Client) if said(c, word) and word in ["only"];
declare said(Client, String);
test "a list gives values and tests them" {
  setup { has_role(Client{"r"}, "reader", Tool{"t"}); has_role(Client{"w"}, "writer", Tool{"t"}); has_role(Client{"o"}, "owner", Tool{"t"}); }
  assert allow(c: Client, "touch", Tool{"t"}) iff c = Client{"w"} or c = Client{"o"};
  assert allow(Client{"r"}, action: String, Tool{"t"}) iff action in ["read", "list"];
  assert_not allow(Client{"r"}, "touch", Tool{"t"});
}
test "a list of one" {
  setup { said(Client{"a"}, "only"); said(Client{"b"}, "Only"); }
  assert in_one(c: Client) iff c = Client{"a"};
}
