# Who asks, what is asked for, and what each role may do.
#
# Everything here is a name that the gateway knows. A block may not be opened twice, so a file of
# your own adds rules beside these, for example `has_permission(...) if ...;`.

global {
  roles = ["admin", "auditor", "user"];
}

# A machine identity. What it may do is granted to it or to its team.
actor Client {
  relations = { team: Team };
}

# A human.
actor User {
  relations = { team: Team };
}

actor Team {}

# One upstream. `sample`, `elicit` and `list_roots` are what it may ask of the caller's client, so
# a grant on a single tool does not give them.
resource Server {
  roles = ["caller", "viewer"];
  permissions = ["connect", "sample", "elicit", "list_roots", "set_log_level"];

  "connect" if sees(actor, resource) or global "user" or global "admin";
  "sample" if uses(actor, resource);
  "elicit" if uses(actor, resource);
  "list_roots" if uses(actor, resource);
  "set_log_level" if uses(actor, resource);
}

resource Tool {
  roles = ["caller", "viewer"];
  permissions = ["call", "list"];
  relations = { server: Server, toolset: Toolset };

  role if role on "server";

  "call" if uses(actor, resource);
  "list" if sees(actor, resource) or global "user" or global "admin";
}

resource Prompt {
  roles = ["caller", "viewer"];
  permissions = ["get", "list", "complete"];
  relations = { server: Server, toolset: Toolset };

  role if role on "server";

  "get" if uses(actor, resource);
  "complete" if uses(actor, resource);
  "list" if sees(actor, resource) or global "user" or global "admin";
}

# What the protocol calls a resource, a word that the language has taken.
resource Document {
  roles = ["caller", "viewer"];
  permissions = ["read", "list", "subscribe", "complete"];
  relations = { server: Server };

  role if role on "server";

  "read" if uses(actor, resource);
  "subscribe" if uses(actor, resource);
  "complete" if uses(actor, resource);
  "list" if sees(actor, resource) or global "user" or global "admin";
}

# A set of tools and prompts that an operator chose. Granting it grants what is in it.
resource Toolset {
  roles = ["caller", "viewer"];
}

# To see is to be told that something exists; a server is seen by connecting to it.
sees(actor: Actor, resource: Resource) if
  has_role(actor, "caller", resource)
  or has_role(actor, "viewer", resource);

# To use is all the rest. What is tagged "guarded" is used only by rules that say on what terms.
uses(actor: Actor, resource: Resource) if
  has_role(actor, "caller", resource)
  and not has_tag(resource, "guarded");

# Who sees something on a server may connect to it, or a grant on one tool would be of no use.
has_permission(actor: Actor, "connect", server: Server) if
  item matches Resource
  and has_relation(item, "server", server)
  and sees(actor, item);

# What the gateway knows about a tool, for rules to ask. Each comes from the server itself.
declare is_read_only(Tool);
declare is_destructive(Tool);
declare is_idempotent(Tool);
declare is_open_world(Tool);

# The world of the tests: two servers, what they offer, and two clients that act for themselves.
test fixture catalogue {
  has_relation(Tool{"github__get_issue"}, "server", Server{"github"});
  has_relation(Tool{"github__create_issue"}, "server", Server{"github"});
  has_relation(Prompt{"github__review"}, "server", Server{"github"});
  has_relation(Document{"github|file:///readme"}, "server", Server{"github"});
  has_relation(Tool{"pay__refund"}, "server", Server{"pay"});
  has_relation(Prompt{"pay__dunning"}, "server", Server{"pay"});
  has_relation(Document{"pay|file:///ledger"}, "server", Server{"pay"});
  has_relation(Tool{"github__get_issue"}, "toolset", Toolset{"triage"});
  has_relation(Prompt{"github__review"}, "toolset", Toolset{"triage"});
  definition_state(Tool{"github__get_issue"}, "approved");
  definition_state(Tool{"github__create_issue"}, "approved");
  definition_state(Tool{"pay__refund"}, "approved");
  is_read_only(Tool{"github__get_issue"});
  acts_alone(Client{"ci"});
  acts_alone(Client{"bot"});
}

test "with nothing granted, nothing is allowed" {
  setup {
    fixture catalogue;
  }
  assert_not allow(Client{"ci"}, "connect", Server{"github"});
  assert_not allow(Client{"ci"}, "list", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert_not allow(Client{"ci"}, "get", Prompt{"github__review"});
  assert_not allow(Client{"ci"}, "read", Document{"github|file:///readme"});
  assert_not allow(User{"ann"}, "call", Tool{"github__get_issue"});
  assert_not allow(User{"ann"}, "manage_servers", Gateway{"northgate"});
}

test "a caller of a server does everything there, and nothing elsewhere" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Server{"github"});
  }
  assert allow(Client{"ci"}, action: String, Server{"github"}) iff
    action in ["connect", "sample", "elicit", "list_roots", "set_log_level"];
  assert allow(Client{"ci"}, action: String, Tool{"github__get_issue"}) iff
    action in ["call", "list"];
  assert allow(Client{"ci"}, action: String, Prompt{"github__review"}) iff
    action in ["get", "list", "complete"];
  assert allow(Client{"ci"}, action: String, Document{"github|file:///readme"}) iff
    action in ["read", "list", "subscribe", "complete"];
  assert_not allow(Client{"ci"}, "connect", Server{"pay"});
  assert_not allow(Client{"ci"}, "call", Tool{"pay__refund"});
  assert_not allow(Client{"ci"}, "get", Prompt{"pay__dunning"});
  assert_not allow(Client{"ci"}, "read", Document{"pay|file:///ledger"});
  assert_not allow(Client{"bot"}, "call", Tool{"github__get_issue"});
}

test "a viewer of a server sees what it offers and uses none of it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "viewer", Server{"github"});
  }
  assert allow(Client{"ci"}, action: String, Server{"github"}) iff action = "connect";
  assert allow(Client{"ci"}, action: String, Tool{"github__get_issue"}) iff action = "list";
  assert allow(Client{"ci"}, action: String, Prompt{"github__review"}) iff action = "list";
  assert allow(Client{"ci"}, action: String, Document{"github|file:///readme"}) iff action = "list";
  assert_not allow(Client{"ci"}, "list", Tool{"pay__refund"});
}

test "a grant on one tool makes its server usable for that tool alone" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Tool{"github__get_issue"});
  }
  assert allow(Client{"ci"}, "call", Tool{"github__get_issue"});
  assert allow(Client{"ci"}, action: String, Server{"github"}) iff action = "connect";
  assert_not allow(Client{"ci"}, "list", Tool{"github__create_issue"});
  assert_not allow(Client{"ci"}, "call", Tool{"github__create_issue"});
  assert_not allow(Client{"ci"}, "connect", Server{"pay"});
}

test "a grant on one prompt or document makes its server usable too" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Prompt{"github__review"});
    has_role(Client{"bot"}, "viewer", Document{"pay|file:///ledger"});
  }
  assert allow(Client{"ci"}, "connect", Server{"github"});
  assert_not allow(Client{"ci"}, "connect", Server{"pay"});
  assert allow(Client{"bot"}, "connect", Server{"pay"});
  assert_not allow(Client{"bot"}, "connect", Server{"github"});
}

test "what is guarded is seen by its callers, and a role alone does not use it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci"}, "caller", Server{"github"});
    has_tag(Tool{"github__create_issue"}, "guarded");
    has_tag(Prompt{"github__review"}, "guarded");
    has_tag(Tool{"github__get_issue"}, "reviewed");
  }
  assert allow(Client{"ci"}, action: String, Tool{"github__create_issue"}) iff action = "list";
  assert allow(Client{"ci"}, action: String, Prompt{"github__review"}) iff action = "list";
  assert allow(Client{"ci"}, "call", Tool{"github__get_issue"});
}

test "a user and an admin see every server and use none without a grant" {
  setup {
    fixture catalogue;
    has_role(User{"ann"}, "user");
    has_role(User{"root"}, "admin");
    has_role(User{"eve"}, "auditor");
  }
  assert allow(User{"ann"}, action: String, Server{"pay"}) iff action = "connect";
  assert allow(User{"ann"}, action: String, Tool{"pay__refund"}) iff action = "list";
  assert allow(User{"ann"}, action: String, Prompt{"pay__dunning"}) iff action = "list";
  assert allow(User{"ann"}, action: String, Document{"pay|file:///ledger"}) iff action = "list";
  assert allow(User{"root"}, action: String, Server{"pay"}) iff action = "connect";
  assert allow(User{"root"}, action: String, Tool{"pay__refund"}) iff action = "list";
  assert allow(User{"root"}, action: String, Prompt{"pay__dunning"}) iff action = "list";
  assert allow(User{"root"}, action: String, Document{"pay|file:///ledger"}) iff action = "list";
  assert_not allow(User{"eve"}, "list", Tool{"pay__refund"});
}
