# The one funnel: whatever is allowed is allowed here.
#
# A rule of your own gives permissions or roles; it does not say `allow`, and so it cannot pass by
# suspension, disabling, delegation and quarantine.

# A client whose token names no user. The gateway says so with `acts_alone(client)`, and it says
# either that or `acts_for(client, user)`: a client of which it says neither gets nothing.
declare acts_alone(Client);

allow(client: Client, action: String, resource: Resource) if
  acts_alone(client)
  and may(client, action, resource);

# A client that acts for a user may do what both may: neither lends the other a right.
allow(client: Client, action: String, resource: Resource) if
  user matches User
  and acts_for(client, user)
  and may(client, action, resource)
  and may(user, action, resource);

allow(user: User, action: String, resource: Resource) if may(user, action, resource);

may(actor: Actor, action: String, resource: Resource) if
  has_permission(actor, action, resource)
  and not is_suspended(actor)
  and not is_disabled(resource)
  and is_served(resource);

# A disabled server serves nothing.
is_served(_: Gateway);

is_served(_: Server);

is_served(prompt: Prompt) if
  server matches Server
  and has_relation(prompt, "server", server)
  and not is_disabled(server);

is_served(document: Document) if
  server matches Server
  and has_relation(document, "server", server)
  and not is_disabled(server);

# Quarantine: a tool whose definition is new and untrusted, has changed, or is gone is neither
# called nor listed until it is approved, for a description alone can mislead a model.
is_served(tool: Tool) if
  definition_state(tool, "approved")
  and server matches Server
  and has_relation(tool, "server", server)
  and not is_disabled(server);

test "who is suspended may do nothing" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Server{"github"});
    has_role(Client{"bot"}, "caller", Server{"github"});
    has_role(User{"root"}, "admin");
    is_suspended(Client{"ci"});
    is_suspended(User{"root"});
  }
  assert_not allow(Client{"ci"}, "connect", Server{"github"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert_not allow(User{"root"}, "manage_keys", Gateway{"northgate"});
  assert allow(Client{"bot"}, "call", Tool{"github__get_issue"});
}

test "what is disabled is neither seen nor used" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Server{"github"});
    is_disabled(Tool{"github__get_issue"});
    is_disabled(Prompt{"github__review"});
    is_disabled(Document{"github|file:///readme"});
  }
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "list", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "get", Prompt{"github__review"});
  assert_not allow(Client{"ci"}, "read", Document{"github|file:///readme"});
  assert allow(Client{"ci"}, "call", Tool{"github__create_issue"});
}

test "a disabled server takes all it offers with it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Server{"github"});
    has_role(Client{"ci"}, "caller", Tool{"github__get_issue"});
    has_role(Client{"ci"}, "caller", Server{"pay"});
    is_disabled(Server{"github"});
  }
  assert_not allow(Client{"ci"}, "connect", Server{"github"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "get", Prompt{"github__review"});
  assert_not allow(Client{"ci"}, "read", Document{"github|file:///readme"});
  assert allow(Client{"ci"}, "connect", Server{"pay"});
  assert allow(Client{"ci"}, "get", Prompt{"pay__dunning"});
  assert allow(Client{"ci"}, "read", Document{"pay|file:///ledger"});
}

test "a tool is served while its definition is approved" {
  setup {
    has_role(Client{"ci"}, "caller", Server{"git"});
    acts_alone(Client{"ci"});
    has_relation(Tool{"git__good"}, "server", Server{"git"});
    has_relation(Tool{"git__changed"}, "server", Server{"git"});
    has_relation(Tool{"git__new"}, "server", Server{"git"});
    has_relation(Tool{"git__gone"}, "server", Server{"git"});
    has_relation(Tool{"git__unknown"}, "server", Server{"git"});
    definition_state(Tool{"git__good"}, "approved");
    definition_state(Tool{"git__changed"}, "changed");
    definition_state(Tool{"git__new"}, "new");
    definition_state(Tool{"git__gone"}, "gone");
  }
  assert allow(Client{"ci"}, "call", tool: Tool) iff tool = Tool{"git__good"};
  assert allow(Client{"ci"}, "list", tool: Tool) iff tool = Tool{"git__good"};
}

test "a client that acts for a user may do what both may" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent"}, User{"ann"});
    has_role(Client{"agent"}, "caller", Server{"github"});
    has_role(Client{"agent"}, "caller", Tool{"pay__refund"});
    has_role(User{"ann"}, "caller", Tool{"github__get_issue"});
    has_role(User{"ann"}, "caller", Prompt{"pay__dunning"});
  }
  assert allow(Client{"agent"}, "call", Tool{"github__get_issue"});
  assert allow(Client{"agent"}, "connect", Server{"github"});
  assert_not allow(Client{"agent"}, "call", Tool{"github__create_issue"});
  assert_not allow(Client{"agent"}, "call", Tool{"pay__refund"});
  assert_not allow(Client{"agent"}, "get", Prompt{"pay__dunning"});
}

test "an agent of an admin is no admin" {
  setup {
    acts_for(Client{"agent"}, User{"root"});
    has_role(User{"root"}, "admin");
  }
  assert_not allow(Client{"agent"}, "manage_grants", Gateway{"northgate"});
  assert allow(User{"root"}, "manage_grants", Gateway{"northgate"});
}

test "a suspended user stops the client that acts for them" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent"}, User{"ann"});
    has_role(Client{"agent"}, "caller", Server{"github"});
    has_role(User{"ann"}, "caller", Server{"github"});
    is_suspended(User{"ann"});
  }
  assert_not allow(Client{"agent"}, "call", Tool{"github__get_issue"});
}

test "a suspended client is stopped whoever it acts for" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent"}, User{"ann"});
    has_role(Client{"agent"}, "caller", Server{"github"});
    has_role(User{"ann"}, "caller", Server{"github"});
    is_suspended(Client{"agent"});
  }
  assert_not allow(Client{"agent"}, "call", Tool{"github__get_issue"});
  assert allow(User{"ann"}, "call", Tool{"github__get_issue"});
}

test "a client that acts neither alone nor for a user may do nothing" {
  setup {
    fixture catalogue;
    has_role(Client{"stranger"}, "caller", Server{"github"});
  }
  assert_not allow(Client{"stranger"}, "call", Tool{"github__get_issue"});
  assert_not allow(Client{"stranger"}, "connect", Server{"github"});
}

test "a team does not act" {
  setup {
    fixture catalogue;
    has_role(Team{"billing"}, "caller", Server{"pay"});
  }
  assert_not allow(Team{"billing"}, "call", Tool{"pay__refund"});
}
