# Actors may have roles, permissions and relations of their own.
actor User { permissions = ["impersonate"]; relations = { manager: User, team: Team };
  "impersonate" if "manager"; "impersonate" if "lead" on "team"; }
actor Team { roles = ["lead", "member"]; "member" if "lead"; }
test "through the manager, not further" {
  setup { has_relation(User{"ann"}, "manager", User{"bea"}); has_relation(User{"bea"}, "manager", User{"cec"}); }
  assert allow(User{"bea"}, "impersonate", User{"ann"});
  assert_not allow(User{"cec"}, "impersonate", User{"ann"});
  assert_not allow(User{"ann"}, "impersonate", User{"bea"});
}
test "through the team" {
  setup { has_relation(User{"ann"}, "team", Team{"red"}); has_role(User{"dee"}, "lead", Team{"red"}); has_role(User{"eve"}, "member", Team{"red"}); }
  assert allow(User{"dee"}, "impersonate", User{"ann"});
  assert_not allow(User{"eve"}, "impersonate", User{"ann"});
  assert has_role(User{"dee"}, "member", Team{"red"});
}
