# What a head leaves open holds for every value of the type.
actor Client {}
actor User {}
resource Tool { permissions = ["ping", "call"]; }
resource Server {}
has_permission(_: Actor, "ping", _: Tool);
has_permission(c: Client, _: String, _: Tool) if is_root(c);
linked(c: Client) if relates(c, _, _);
declare is_root(Client);
declare relates(Client, String, Tool);
test "everyone, everything of the type" {
  assert allow(Client{"new"}, "ping", Tool{"unheard of"});
  assert allow(User{"new"}, "ping", Tool{"unheard of"});
  assert_not allow(Client{"new"}, "call", Tool{"t"});
  assert_not allow(Client{"new"}, "ping", Server{"s"});
}
test "every action" {
  setup { is_root(Client{"r"}); }
  assert allow(Client{"r"}, "call", Tool{"t"});
  assert allow(Client{"r"}, "an action nobody declared", Tool{"t"});
  assert_not allow(Client{"r"}, "call", Server{"t"});
}
test "each underscore is a variable of its own" {
  setup { relates(Client{"a"}, "x", Tool{"t"}); }
  assert linked(c: Client) iff c = Client{"a"};
}
