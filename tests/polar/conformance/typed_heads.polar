# A typed parameter accepts the type and what extends it; an untyped one accepts everything.
actor Client {}
actor Robot extends Client {}
actor User {}
resource Tool {}
declare known(Resource);
client(x: Client) if known(x);
actor_(x: Actor) if known(x);
thing(x: Resource) if known(x);
open_(x) if known(x);
robot(x: Robot) if known(x);
test "who is what" {
  setup { known(Client{"c"}); known(Robot{"r"}); known(User{"u"}); known(Tool{"t"}); }
  assert client(Client{"c"});
  assert client(Robot{"r"});
  assert_not client(User{"u"});
  assert_not client(Tool{"t"});
  assert actor_(Robot{"r"});
  assert actor_(User{"u"});
  assert_not actor_(Tool{"t"});
  assert thing(User{"u"});
  assert thing(Tool{"t"});
  assert open_(Tool{"t"});
  assert robot(Robot{"r"});
  assert_not robot(Client{"c"});
}
test "a query for a type does not return what extends it" {
  setup { known(Client{"c"}); known(Robot{"r"}); }
  assert client(x: Client) iff x = Client{"c"};
  assert client(x: Robot) iff x = Robot{"r"};
}
