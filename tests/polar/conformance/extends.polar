# What is said of a type holds for the types that extend it, and not the other way round.
actor Client {}
resource Server {
  roles = ["operator", "viewer"];
  permissions = ["inspect"];
  relations = { region: Region };
  "inspect" if "viewer";
  "viewer" if "operator";
  "operator" if "keeper" on "region";
}
resource Region { roles = ["keeper"]; }
resource Database extends Server {
  permissions = ["query"];
  "query" if "operator";
}
resource Replica extends Database {}
test "shorthands are inherited" {
  setup { has_role(Client{"a"}, "operator", Database{"d"}); has_role(Client{"b"}, "viewer", Replica{"r"}); }
  assert allow(Client{"a"}, "inspect", Database{"d"});
  assert allow(Client{"a"}, "query", Database{"d"});
  assert allow(Client{"b"}, "inspect", Replica{"r"});
  assert_not allow(Client{"b"}, "query", Replica{"r"});
}
test "relations are inherited" {
  setup { has_relation(Replica{"r"}, "region", Region{"eu"}); has_role(Client{"k"}, "keeper", Region{"eu"}); }
  assert allow(Client{"k"}, action: String, Replica{"r"}) iff action in ["inspect", "query"];
}
test "the extended type does not gain the words of the extending one" {
  setup { has_role(Client{"a"}, "operator", Server{"s"}); }
  assert allow(Client{"a"}, action: String, Server{"s"}) iff action = "inspect";
}
