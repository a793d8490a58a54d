actor Client {}
actor User {}
resource Gateway { permissions = ["operate", "watch"]; }
allow(User{"root"}, "operate", Gateway{"main"});
allow(c: Client, "watch", Gateway{"main"}) if trusted(c);
trusted(Client{"probe"});
trusted(Client{"with \"quotes\" and spaces"});
trusted(c: Client) if vouched(User{"root"}, c);
test "named instances" {
  setup { vouched(User{"root"}, Client{"new"}); vouched(User{"other"}, Client{"stranger"}); }
  assert allow(User{"root"}, "operate", Gateway{"main"});
  assert_not allow(User{"root"}, "operate", Gateway{"spare"});
  assert_not allow(Client{"root"}, "operate", Gateway{"main"});
  assert allow(Client{"probe"}, "watch", Gateway{"main"});
  assert allow(Client{"with \"quotes\" and spaces"}, "watch", Gateway{"main"});
  assert allow(Client{"new"}, "watch", Gateway{"main"});
  assert_not allow(Client{"stranger"}, "watch", Gateway{"main"});
  assert trusted(c: Client) iff c = Client{"probe"} or c = Client{"with \"quotes\" and spaces"} or c = Client{"new"};
}
