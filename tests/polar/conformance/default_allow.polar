# Without a rule of its own, `allow` is `has_permission`.
actor Client {}
resource Tool { permissions = ["call"]; }
has_permission(c: Client, "call", t: Tool) if owns(c, t);
declare owns(Client, Tool);
test "the alias" {
  setup { owns(Client{"a"}, Tool{"t"}); has_permission(Client{"b"}, "call", Tool{"t"}); }
  assert allow(Client{"a"}, "call", Tool{"t"});
  assert allow(Client{"b"}, "call", Tool{"t"});
  assert_not allow(Client{"c"}, "call", Tool{"t"});
}
