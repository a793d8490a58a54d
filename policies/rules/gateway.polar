# The control plane, authorised like everything else: an admin is a fact, a new role is a rule.

resource Gateway {
  permissions = [
    "manage_servers",
    "change_enforcement",
    "manage_clients",
    "manage_users",
    "issue_tokens",
    "manage_grants",
    "manage_keys",
    "read_policy",
    "change_policy",
    "shadow_policy",
    "read_decisions",
    "read_arguments",
    "approve",
  ];

  "manage_servers" if global "admin";
  "change_enforcement" if global "admin";
  "manage_clients" if global "admin";
  "manage_users" if global "admin";
  "issue_tokens" if global "admin";
  "manage_grants" if global "admin";
  "manage_keys" if global "admin";
  "change_policy" if global "admin";
  "shadow_policy" if global "admin";
  "approve" if global "admin";
  "read_arguments" if global "admin";
  "read_policy" if global "admin" or global "auditor";
  "read_decisions" if global "admin" or global "auditor";
}

test "an admin may do everything on the control plane" {
  setup {
    has_role(User{"root.example"}, "admin");
  }
  assert allow(User{"root.example"}, action: String, Gateway{"northgate"}) iff
    action in [
      "manage_servers",
      "change_enforcement",
      "manage_clients",
      "manage_users",
      "issue_tokens",
      "manage_grants",
      "manage_keys",
      "read_policy",
      "change_policy",
      "shadow_policy",
      "read_decisions",
      "read_arguments",
      "approve"
    ];
}

test "an auditor reads the policy and the record, and no arguments" {
  setup {
    has_role(User{"eve.example"}, "auditor");
  }
  assert allow(User{"eve.example"}, action: String, Gateway{"northgate"}) iff
    action in ["read_policy", "read_decisions"];
}

test "a user has no part in the control plane" {
  setup {
    has_role(User{"ann.example"}, "user");
  }
  assert_not allow(User{"ann.example"}, "manage_servers", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "change_enforcement", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "manage_clients", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "manage_users", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "issue_tokens", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "manage_grants", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "manage_keys", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "read_policy", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "change_policy", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "shadow_policy", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "read_decisions", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "read_arguments", Gateway{"northgate"});
  assert_not allow(User{"ann.example"}, "approve", Gateway{"northgate"});
}

test "a team of admins makes admins of its members" {
  setup {
    has_relation(User{"ann.example"}, "team", Team{"platform.example"});
    has_role(Team{"platform.example"}, "admin");
  }
  assert allow(User{"ann.example"}, "manage_servers", Gateway{"northgate"});
  assert_not allow(User{"bob.example"}, "manage_servers", Gateway{"northgate"});
}

test "a client can be given the control plane, for automation" {
  setup {
    acts_alone(Client{"terraform.example"});
    has_role(Client{"terraform.example"}, "admin");
  }
  assert allow(Client{"terraform.example"}, "manage_servers", Gateway{"northgate"});
}
