# `iff` asks for exactly the answers it lists.
actor Client {}
actor User {}
resource Tool { roles = ["user", "admin"]; permissions = ["list", "call"]; "list" if "user"; "call" if "admin"; "user" if "admin"; }
test "one variable" {
  setup { has_role(Client{"u"}, "user", Tool{"t"}); has_role(Client{"a"}, "admin", Tool{"t"}); has_role(User{"h"}, "user", Tool{"t"}); }
  assert allow(c: Client, "list", Tool{"t"}) iff c = Client{"u"} or c = Client{"a"};
  assert allow(u: User, "list", Tool{"t"}) iff u = User{"h"};
  assert allow(Client{"a"}, action: String, Tool{"t"}) iff action in ["call", "list"];
}
test "several variables" {
  setup { has_role(Client{"u"}, "user", Tool{"t"}); has_role(Client{"a"}, "admin", Tool{"s"}); }
  assert allow(c: Client, action: String, t: Tool) iff
    c = Client{"u"} and t = Tool{"t"} and action = "list" or
    c = Client{"a"} and t = Tool{"s"} and action in ["list", "call"];
}
test "a list that names an answer twice" {
  setup { has_role(Client{"u"}, "user", Tool{"t"}); }
  assert allow(Client{"u"}, action: String, Tool{"t"}) iff action in ["list", "list"];
}
test "no answers" {
  assert allow(_: Client, action: String, _: Tool) iff false;
}
