# How a role reaches a resource: by a stored fact, a toolset, a pattern, a lease, or a team.
#
# `has_role(actor, role, resource)` is stored for a plain grant, and the rules below add to it. A
# grant on a server reaches its tools, prompts and documents; see `role on "server"` in types.polar.

# A toolset passes its roles on to what is in it, unless it is disabled.
has_role(actor: Actor, role: String, tool: Tool) if
  toolset matches Toolset
  and has_relation(tool, "toolset", toolset)
  and has_role(actor, role, toolset)
  and not is_disabled(toolset);

has_role(actor: Actor, role: String, prompt: Prompt) if
  toolset matches Toolset
  and has_relation(prompt, "toolset", toolset)
  and has_role(actor, role, toolset)
  and not is_disabled(toolset);

# A grant by pattern holds for every resource whose id matches, also for those added later. The
# gateway tells which ids match: `id_matches(resource, glob)` for each glob of a grant.
declare has_role_matching(Actor, String, String);

has_role(actor: Actor, role: String, resource: Resource) if
  has_role_matching(actor, role, glob)
  and id_matches(resource, glob);

# A lease is a grant that ends: `until` is a Unix second, and from then on it gives nothing.
has_role(actor: Actor, role: String, resource: Resource) if
  lease(actor, role, resource, until)
  and @current_unix_time < until;

# Members may do what their team may. A suspended team gives nothing. Stating this for Client and
# User, and not for Actor, says that a team is in no team.
has_permission(client: Client, action: String, resource: Resource) if
  team matches Team
  and has_relation(client, "team", team)
  and has_permission(team, action, resource)
  and not is_suspended(team);

has_permission(user: User, action: String, resource: Resource) if
  team matches Team
  and has_relation(user, "team", team)
  and has_permission(team, action, resource)
  and not is_suspended(team);

test "a toolset gives what is in it and nothing beside it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Toolset{"triage.example"});
  }
  assert allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert allow(Client{"ci.example"}, "get", Prompt{"code.example__review"});
  assert allow(Client{"ci.example"}, "connect", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__create_issue"});
  assert_not has_role(Client{"ci.example"}, "caller", Tool{"code.example__create_issue"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"pay.example__dunning"});
  assert_not allow(Client{"ci.example"}, "read", Document{"code.example|file:///readme"});
  assert_not allow(Client{"ci.example"}, "elicit", Server{"code.example"});
}

test "a viewer of a toolset does not use what is in it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "viewer", Toolset{"triage.example"});
  }
  assert allow(Client{"ci.example"}, action: String, Tool{"code.example__get_issue"}) iff
    action = "list";
  assert allow(Client{"ci.example"}, action: String, Prompt{"code.example__review"}) iff
    action = "list";
}

test "a disabled toolset gives nothing" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Toolset{"triage.example"});
    is_disabled(Toolset{"triage.example"});
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not has_role(Client{"ci.example"}, "caller", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"code.example__review"});
}

test "a grant by pattern holds for what matches" {
  setup {
    fixture catalogue;
    has_role_matching(Client{"ci.example"}, "caller", "code.example__get_*");
    id_matches(Tool{"code.example__get_issue"}, "code.example__get_*");
    id_matches(Tool{"pay.example__refund"}, "pay.example__*");
  }
  assert allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__create_issue"});
  assert_not has_role(Client{"ci.example"}, "caller", Tool{"code.example__create_issue"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(Client{"bot.example"}, "call", Tool{"code.example__get_issue"});
}

test "a pattern over servers is an allow-list that servers added later join" {
  setup {
    fixture catalogue;
    has_role_matching(Client{"ci.example"}, "viewer", "*");
    id_matches(Server{"code.example"}, "*");
    id_matches(Server{"pay.example"}, "*");
  }
  assert allow(Client{"ci.example"}, "connect", server: Server) iff
    server = Server{"code.example"}
    or server = Server{"pay.example"};
  assert allow(Client{"ci.example"}, "list", Tool{"pay.example__refund"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
}

test "a lease is a grant until it ends" {
  setup {
    fixture catalogue;
    lease(Client{"ci.example"}, "caller", Tool{"pay.example__refund"}, 253402300799);
    lease(Client{"bot.example"}, "caller", Server{"pay.example"}, 253402300799);
    lease(Client{"ci.example"}, "caller", Server{"code.example"}, 1);
    lease(Client{"bot.example"}, "viewer", Tool{"code.example__get_issue"}, 253402300799);
  }
  assert allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
  assert allow(Client{"bot.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not has_role(Client{"ci.example"}, "caller", Server{"code.example"});
  assert allow(Client{"bot.example"}, action: String, Tool{"code.example__get_issue"}) iff
    action = "list";
}

test "members of a team may do what the team may" {
  setup {
    fixture catalogue;
    has_relation(Client{"ci.example"}, "team", Team{"billing.example"});
    has_relation(User{"ann.example"}, "team", Team{"billing.example"});
    has_role(Team{"billing.example"}, "caller", Server{"pay.example"});
  }
  assert allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
  assert allow(User{"ann.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(Client{"bot.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(User{"bob.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(User{"ann.example"}, "call", Tool{"code.example__get_issue"});
  assert_not has_permission(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not has_permission(User{"ann.example"}, "call", Tool{"code.example__get_issue"});
}

test "a suspended team gives its members nothing, and leaves them their own grants" {
  setup {
    fixture catalogue;
    has_relation(Client{"ci.example"}, "team", Team{"billing.example"});
    has_relation(User{"ann.example"}, "team", Team{"billing.example"});
    has_role(Team{"billing.example"}, "caller", Server{"pay.example"});
    has_role(Client{"ci.example"}, "caller", Server{"code.example"});
    is_suspended(Team{"billing.example"});
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(User{"ann.example"}, "call", Tool{"pay.example__refund"});
  assert_not has_permission(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
  assert allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
}
