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
    has_role(Client{"ci"}, "caller", Toolset{"triage"});
  }
  assert allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert allow(Client{"ci"}, "get", Prompt{"github__review"});
  assert allow(Client{"ci"}, "connect", Server{"github"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__create_issue"});
  assert_not allow(Client{"ci"}, "read", Document{"github|file:///readme"});
  assert_not allow(Client{"ci"}, "elicit", Server{"github"});
}

test "a viewer of a toolset does not use what is in it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "viewer", Toolset{"triage"});
  }
  assert allow(Client{"ci"}, action: String, Tool{"github__get_issue"}) iff action = "list";
  assert allow(Client{"ci"}, action: String, Prompt{"github__review"}) iff action = "list";
}

test "a disabled toolset gives nothing" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Toolset{"triage"});
    is_disabled(Toolset{"triage"});
  }
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "get", Prompt{"github__review"});
}

test "a grant by pattern holds for what matches" {
  setup {
    fixture catalogue;
    has_role_matching(Client{"ci"}, "caller", "github__get_*");
    id_matches(Tool{"github__get_issue"}, "github__get_*");
    id_matches(Tool{"pay__refund"}, "pay__*");
  }
  assert allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__create_issue"});
  assert_not allow(Client{"ci"}, "call", Tool{"pay__refund"});
  assert_not allow(Client{"bot"}, "call", Tool{"github__get_issue"});
}

test "a pattern over servers is an allow-list that servers added later join" {
  setup {
    fixture catalogue;
    has_role_matching(Client{"ci"}, "viewer", "*");
    id_matches(Server{"github"}, "*");
    id_matches(Server{"pay"}, "*");
  }
  assert allow(Client{"ci"}, "connect", server: Server) iff
    server = Server{"github"}
    or server = Server{"pay"};
  assert allow(Client{"ci"}, "list", Tool{"pay__refund"});
  assert_not allow(Client{"ci"}, "call", Tool{"pay__refund"});
}

test "a lease is a grant until it ends" {
  setup {
    fixture catalogue;
    lease(Client{"ci"}, "caller", Tool{"pay__refund"}, 253402300799);
    lease(Client{"bot"}, "caller", Server{"pay"}, 253402300799);
    lease(Client{"ci"}, "caller", Server{"github"}, 1);
    lease(Client{"bot"}, "viewer", Tool{"github__get_issue"}, 253402300799);
  }
  assert allow(Client{"ci"}, "call", Tool{"pay__refund"});
  assert allow(Client{"bot"}, "call", Tool{"pay__refund"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert allow(Client{"bot"}, action: String, Tool{"github__get_issue"}) iff action = "list";
}

test "members of a team may do what the team may" {
  setup {
    fixture catalogue;
    has_relation(Client{"ci"}, "team", Team{"billing"});
    has_relation(User{"ann"}, "team", Team{"billing"});
    has_role(Team{"billing"}, "caller", Server{"pay"});
  }
  assert allow(Client{"ci"}, "call", Tool{"pay__refund"});
  assert allow(User{"ann"}, "call", Tool{"pay__refund"});
  assert_not allow(Client{"bot"}, "call", Tool{"pay__refund"});
  assert_not allow(User{"bob"}, "call", Tool{"pay__refund"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
}

test "a suspended team gives its members nothing, and leaves them their own grants" {
  setup {
    fixture catalogue;
    has_relation(Client{"ci"}, "team", Team{"billing"});
    has_relation(User{"ann"}, "team", Team{"billing"});
    has_role(Team{"billing"}, "caller", Server{"pay"});
    has_role(Client{"ci"}, "caller", Server{"github"});
    is_suspended(Team{"billing"});
  }
  assert_not allow(Client{"ci"}, "call", Tool{"pay__refund"});
  assert_not allow(User{"ann"}, "call", Tool{"pay__refund"});
  assert allow(Client{"ci"}, "call", Tool{"github__get_issue"});
}
