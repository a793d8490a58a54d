actor Client {}
resource Readable { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
resource Writable { roles = ["writer"]; permissions = ["write"]; "write" if "writer"; }
resource Page extends Readable, Writable, { "reader" if "writer"; }
resource Draft extends Page, Readable {}
test "both parents" {
  setup { has_role(Client{"w"}, "writer", Page{"p"}); has_role(Client{"r"}, "reader", Page{"p"}); has_role(Client{"w"}, "writer", Draft{"d"}); }
  assert allow(Client{"w"}, action: String, Page{"p"}) iff action in ["read", "write"];
  assert allow(Client{"r"}, action: String, Page{"p"}) iff action in ["read"];
  assert allow(Client{"w"}, action: String, Draft{"d"}) iff action in ["read", "write"];
}
test "a parent is not its sibling" {
  setup { has_role(Client{"w"}, "writer", Writable{"x"}); }
  assert allow(Client{"w"}, "write", Writable{"x"});
  assert_not allow(Client{"w"}, "read", Writable{"x"});
}
