# `matches` narrows a variable to a type and what extends it.
actor Client {}
actor Robot extends Client {}
actor User {}
resource Tool {}
declare near(Resource, Resource);
near_client(x) if near(x, y) and y matches Client;
near_actor(x) if y matches Actor and near(x, y);
near_tool(x: Actor) if near(x, t) and t matches Tool;
only_client(x) if near(x, x) and x matches Client;
test "narrowed" {
  setup { near(User{"1"}, Client{"c"}); near(User{"2"}, Robot{"r"}); near(User{"3"}, User{"u"}); near(User{"4"}, Tool{"t"}); near(Robot{"r"}, Robot{"r"}); near(User{"u"}, User{"u"}); }
  assert near_client(u: User) iff u = User{"1"} or u = User{"2"};
  assert near_actor(u: User) iff u = User{"1"} or u = User{"2"} or u = User{"3"} or u = User{"u"};
  assert near_tool(u: User) iff u = User{"4"};
  assert only_client(Robot{"r"});
  assert_not only_client(User{"u"});
}
