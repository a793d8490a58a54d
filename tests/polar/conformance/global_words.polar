actor Client {}
actor User {}
global {
  roles = ["admin", "auditor"];
  permissions = ["read_log", "drop_log"];
  "read_log" if "auditor";
  "drop_log" if "admin";
  "auditor" if "admin";
}
resource Server {
  permissions = ["inspect", "restart"];
  "inspect" if global "read_log";
  "restart" if global "admin";
}
test "a global role is a fact of two arguments" {
  setup { has_role(User{"a"}, "admin"); has_role(Client{"b"}, "auditor"); }
  assert has_permission(User{"a"}, permission: String) iff permission in ["read_log", "drop_log"];
  assert has_permission(Client{"b"}, permission: String) iff permission in ["read_log"];
  assert allow(Client{"b"}, action: String, Server{"s"}) iff action in ["inspect"];
  assert allow(User{"a"}, action: String, Server{"s"}) iff action in ["inspect", "restart"];
  assert has_role(who: User, "auditor") iff who = User{"a"};
}
test "a role on one resource is not global" {
  setup { has_role(User{"a"}, "admin"); }
  assert_not allow(Client{"a"}, "restart", Server{"s"});
  assert_not has_role(Client{"a"}, "admin");
}
