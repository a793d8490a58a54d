# The one funnel: whatever is allowed is allowed here.
#
# A rule of your own gives permissions or roles; it does not say `allow`, and so it cannot pass by
# suspension, disabling, delegation and quarantine.

# A client whose token names no user. The gateway says so with `acts_alone(client)`, and it says
# either that or `acts_for(client, user)`: a client of which it says neither gets nothing.
allow(client: Client, action: String, resource: Resource) if
  acts_alone(client)
  and may(client, action, resource);

# A client that acts for a user may do what both may: neither lends the other a right. Such a
# question is asked about the client; asked about the user, it would leave the client out.
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

# What is disabled is not served, and a disabled server serves nothing that it offers.
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
    has_role(Client{"ci.example"}, "caller", Server{"code.example"});
    has_role(Client{"bot.example"}, "caller", Server{"code.example"});
    has_role(User{"root.example"}, "admin");
    is_suspended(Client{"ci.example"});
    is_suspended(User{"root.example"});
  }
  assert_not allow(Client{"ci.example"}, "connect", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(User{"root.example"}, "manage_keys", Gateway{"northgate"});
  assert allow(Client{"bot.example"}, "call", Tool{"code.example__get_issue"});
}

test "what is disabled is neither seen nor used" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Server{"code.example"});
    is_disabled(Tool{"code.example__get_issue"});
    is_disabled(Prompt{"code.example__review"});
    is_disabled(Document{"code.example|file:///readme"});
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "list", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"code.example__review"});
  assert_not allow(Client{"ci.example"}, "read", Document{"code.example|file:///readme"});
  assert allow(Client{"ci.example"}, "call", Tool{"code.example__create_issue"});
}

test "a disabled server takes all it offers with it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Server{"code.example"});
    has_role(Client{"ci.example"}, "caller", Tool{"code.example__get_issue"});
    has_role(Client{"ci.example"}, "caller", Server{"pay.example"});
    is_disabled(Server{"code.example"});
  }
  assert_not allow(Client{"ci.example"}, "connect", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"code.example__review"});
  assert_not allow(Client{"ci.example"}, "read", Document{"code.example|file:///readme"});
  assert allow(Client{"ci.example"}, "connect", Server{"pay.example"});
  assert allow(Client{"ci.example"}, "get", Prompt{"pay.example__dunning"});
  assert allow(Client{"ci.example"}, "read", Document{"pay.example|file:///ledger"});
}

test "a tool is served while its definition is approved" {
  setup {
    has_role(Client{"ci.example"}, "caller", Server{"git.example"});
    acts_alone(Client{"ci.example"});
    has_relation(Tool{"git.example__good"}, "server", Server{"git.example"});
    has_relation(Tool{"git.example__changed"}, "server", Server{"git.example"});
    has_relation(Tool{"git.example__new"}, "server", Server{"git.example"});
    has_relation(Tool{"git.example__gone"}, "server", Server{"git.example"});
    has_relation(Tool{"git.example__unknown"}, "server", Server{"git.example"});
    definition_state(Tool{"git.example__good"}, "approved");
    definition_state(Tool{"git.example__changed"}, "changed");
    definition_state(Tool{"git.example__new"}, "new");
    definition_state(Tool{"git.example__gone"}, "gone");
  }
  assert allow(Client{"ci.example"}, "call", tool: Tool) iff tool = Tool{"git.example__good"};
  assert allow(Client{"ci.example"}, "list", tool: Tool) iff tool = Tool{"git.example__good"};
  assert_not allow(Client{"ci.example"}, "call", Tool{"git.example__changed"});
}

test "what belongs to no server is not served" {
  setup {
    acts_alone(Client{"ci.example"});
    has_role(Client{"ci.example"}, "caller", Tool{"lost.example__tool"});
    has_role(Client{"ci.example"}, "caller", Prompt{"lost.example__prompt"});
    has_role(Client{"ci.example"}, "caller", Document{"lost.example|file:///x"});
    definition_state(Tool{"lost.example__tool"}, "approved");
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"lost.example__tool"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"lost.example__prompt"});
  assert_not allow(Client{"ci.example"}, "read", Document{"lost.example|file:///x"});
}

test "a client that acts for a user may do what both may" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent.example"}, User{"ann.example"});
    has_role(Client{"agent.example"}, "caller", Server{"code.example"});
    has_role(Client{"agent.example"}, "caller", Tool{"pay.example__refund"});
    has_role(User{"ann.example"}, "caller", Tool{"code.example__get_issue"});
    has_role(User{"ann.example"}, "caller", Prompt{"pay.example__dunning"});
  }
  assert allow(Client{"agent.example"}, "call", Tool{"code.example__get_issue"});
  assert allow(Client{"agent.example"}, "connect", Server{"code.example"});
  assert_not allow(Client{"agent.example"}, "call", Tool{"code.example__create_issue"});
  assert_not allow(Client{"agent.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(Client{"agent.example"}, "get", Prompt{"pay.example__dunning"});
}

test "a client that acts for one user borrows nothing from another" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent.example"}, User{"ann.example"});
    has_role(Client{"agent.example"}, "caller", Server{"code.example"});
    has_role(User{"bob.example"}, "caller", Server{"code.example"});
  }
  assert_not allow(Client{"agent.example"}, "call", Tool{"code.example__get_issue"});
}

test "an agent of an admin is no admin" {
  setup {
    acts_for(Client{"agent.example"}, User{"root.example"});
    has_role(User{"root.example"}, "admin");
  }
  assert_not allow(Client{"agent.example"}, "manage_grants", Gateway{"northgate"});
  assert allow(User{"root.example"}, "manage_grants", Gateway{"northgate"});
}

test "a suspended user stops the client that acts for them" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent.example"}, User{"ann.example"});
    has_role(Client{"agent.example"}, "caller", Server{"code.example"});
    has_role(User{"ann.example"}, "caller", Server{"code.example"});
    is_suspended(User{"ann.example"});
  }
  assert_not allow(Client{"agent.example"}, "call", Tool{"code.example__get_issue"});
}

test "a suspended client is stopped whoever it acts for" {
  setup {
    fixture catalogue;
    acts_for(Client{"agent.example"}, User{"ann.example"});
    has_role(Client{"agent.example"}, "caller", Server{"code.example"});
    has_role(User{"ann.example"}, "caller", Server{"code.example"});
    is_suspended(Client{"agent.example"});
  }
  assert_not allow(Client{"agent.example"}, "call", Tool{"code.example__get_issue"});
  assert allow(User{"ann.example"}, "call", Tool{"code.example__get_issue"});
}

test "a client that acts neither alone nor for a user may do nothing" {
  setup {
    fixture catalogue;
    has_role(Client{"stranger.example"}, "caller", Server{"code.example"});
  }
  assert_not allow(Client{"stranger.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(Client{"stranger.example"}, "connect", Server{"code.example"});
}

test "a team does not act" {
  setup {
    fixture catalogue;
    has_role(Team{"billing.example"}, "caller", Server{"pay.example"});
  }
  assert_not allow(Team{"billing.example"}, "call", Tool{"pay.example__refund"});
}
