# A relation to an actor may stand where a role may.
actor User {}
actor Robot extends User {}
resource Note { permissions = ["read", "erase"]; relations = { author: User, friend: User }; "erase" if "author"; "read" if "friend" or "author"; }
test "the author" {
  setup { has_relation(Note{"n"}, "author", User{"a"}); has_relation(Note{"n"}, "friend", User{"f"}); has_relation(Note{"m"}, "author", Robot{"r"}); }
  assert allow(User{"a"}, "erase", Note{"n"});
  assert allow(User{"a"}, "read", Note{"n"});
  assert allow(User{"f"}, "read", Note{"n"});
  assert_not allow(User{"f"}, "erase", Note{"n"});
  assert allow(Robot{"r"}, "erase", Note{"m"});
  assert_not allow(User{"r"}, "erase", Note{"m"});
}
