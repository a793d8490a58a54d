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
# Names that end in `.example` are kept for tests, so that no fact about a real thing disturbs one.
test fixture catalogue {
  has_relation(Tool{"code.example__get_issue"}, "server", Server{"code.example"});
  has_relation(Tool{"code.example__create_issue"}, "server", Server{"code.example"});
  has_relation(Prompt{"code.example__review"}, "server", Server{"code.example"});
  has_relation(Document{"code.example|file:///readme"}, "server", Server{"code.example"});
  has_relation(Tool{"pay.example__refund"}, "server", Server{"pay.example"});
  has_relation(Prompt{"pay.example__dunning"}, "server", Server{"pay.example"});
  has_relation(Document{"pay.example|file:///ledger"}, "server", Server{"pay.example"});
  has_relation(Tool{"code.example__get_issue"}, "toolset", Toolset{"triage.example"});
  has_relation(Prompt{"code.example__review"}, "toolset", Toolset{"triage.example"});
  definition_state(Tool{"code.example__get_issue"}, "approved");
  definition_state(Tool{"code.example__create_issue"}, "approved");
  definition_state(Tool{"pay.example__refund"}, "approved");
  acts_alone(Client{"ci.example"});
  acts_alone(Client{"bot.example"});
}

test "with nothing granted, nothing is allowed" {
  setup {
    fixture catalogue;
  }
  assert_not allow(Client{"ci.example"}, "connect", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "sample", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "elicit", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "list_roots", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "set_log_level", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "list", Tool{"code.example__get_issue"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"code.example__review"});
  assert_not allow(Client{"ci.example"}, "list", Prompt{"code.example__review"});
  assert_not allow(Client{"ci.example"}, "complete", Prompt{"code.example__review"});
  assert_not allow(Client{"ci.example"}, "read", Document{"code.example|file:///readme"});
  assert_not allow(Client{"ci.example"}, "list", Document{"code.example|file:///readme"});
  assert_not allow(Client{"ci.example"}, "subscribe", Document{"code.example|file:///readme"});
  assert_not allow(Client{"ci.example"}, "complete", Document{"code.example|file:///readme"});
  assert_not has_permission(Client{"ci.example"}, "connect", Server{"empty.example"});
  assert_not allow(User{"ann.example"}, "call", Tool{"code.example__get_issue"});
  assert_not allow(User{"ann.example"}, "manage_servers", Gateway{"northgate"});
}

test "a caller of a server does everything there, and nothing elsewhere" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Server{"code.example"});
  }
  assert allow(Client{"ci.example"}, action: String, Server{"code.example"}) iff
    action in ["connect", "sample", "elicit", "list_roots", "set_log_level"];
  assert allow(Client{"ci.example"}, action: String, Tool{"code.example__get_issue"}) iff
    action in ["call", "list"];
  assert allow(Client{"ci.example"}, action: String, Prompt{"code.example__review"}) iff
    action in ["get", "list", "complete"];
  assert allow(Client{"ci.example"}, action: String, Document{"code.example|file:///readme"}) iff
    action in ["read", "list", "subscribe", "complete"];
  assert_not allow(Client{"ci.example"}, "connect", Server{"pay.example"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
  assert_not allow(Client{"ci.example"}, "get", Prompt{"pay.example__dunning"});
  assert_not allow(Client{"ci.example"}, "read", Document{"pay.example|file:///ledger"});
  assert_not allow(Client{"bot.example"}, "call", Tool{"code.example__get_issue"});
}

test "a viewer of a server sees what it offers and uses none of it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "viewer", Server{"code.example"});
  }
  assert allow(Client{"ci.example"}, action: String, Server{"code.example"}) iff action = "connect";
  assert allow(Client{"ci.example"}, action: String, Tool{"code.example__get_issue"}) iff
    action = "list";
  assert allow(Client{"ci.example"}, action: String, Prompt{"code.example__review"}) iff
    action = "list";
  assert allow(Client{"ci.example"}, action: String, Document{"code.example|file:///readme"}) iff
    action = "list";
  assert_not allow(Client{"ci.example"}, "list", Tool{"pay.example__refund"});
}

test "a server that offers nothing yet can be connected to by who was granted it" {
  setup {
    acts_alone(Client{"ci.example"});
    has_role(Client{"ci.example"}, "viewer", Server{"empty.example"});
  }
  assert allow(Client{"ci.example"}, "connect", Server{"empty.example"});
}

test "a grant on one tool makes its server usable for that tool alone" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Tool{"code.example__get_issue"});
  }
  assert allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
  assert allow(Client{"ci.example"}, action: String, Server{"code.example"}) iff action = "connect";
  assert_not allow(Client{"ci.example"}, "list", Tool{"code.example__create_issue"});
  assert_not allow(Client{"ci.example"}, "call", Tool{"code.example__create_issue"});
  assert_not allow(Client{"ci.example"}, "connect", Server{"pay.example"});
  assert_not has_permission(Client{"ci.example"}, "connect", Server{"pay.example"});
}

test "a grant on one prompt or document makes its server usable too" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Prompt{"code.example__review"});
    has_role(Client{"bot.example"}, "viewer", Document{"pay.example|file:///ledger"});
  }
  assert allow(Client{"ci.example"}, "connect", Server{"code.example"});
  assert_not allow(Client{"ci.example"}, "connect", Server{"pay.example"});
  assert allow(Client{"bot.example"}, "connect", Server{"pay.example"});
  assert_not allow(Client{"bot.example"}, "connect", Server{"code.example"});
}

test "what is guarded is seen by its callers, and a role alone does not use it" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Server{"code.example"});
    has_tag(Tool{"code.example__create_issue"}, "guarded");
    has_tag(Prompt{"code.example__review"}, "guarded");
    has_tag(Tool{"code.example__get_issue"}, "reviewed");
  }
  assert allow(Client{"ci.example"}, action: String, Tool{"code.example__create_issue"}) iff
    action = "list";
  assert allow(Client{"ci.example"}, action: String, Prompt{"code.example__review"}) iff
    action = "list";
  assert allow(Client{"ci.example"}, "call", Tool{"code.example__get_issue"});
}

test "a user and an admin see every server and use none without a grant" {
  setup {
    fixture catalogue;
    has_role(User{"ann.example"}, "user");
    has_role(User{"root.example"}, "admin");
    has_role(User{"eve.example"}, "auditor");
  }
  assert allow(User{"ann.example"}, action: String, Server{"pay.example"}) iff action = "connect";
  assert allow(User{"ann.example"}, action: String, Tool{"pay.example__refund"}) iff
    action = "list";
  assert allow(User{"ann.example"}, action: String, Prompt{"pay.example__dunning"}) iff
    action = "list";
  assert allow(User{"ann.example"}, action: String, Document{"pay.example|file:///ledger"}) iff
    action = "list";
  assert allow(User{"root.example"}, action: String, Server{"pay.example"}) iff action = "connect";
  assert allow(User{"root.example"}, action: String, Tool{"pay.example__refund"}) iff
    action = "list";
  assert allow(User{"root.example"}, action: String, Prompt{"pay.example__dunning"}) iff
    action = "list";
  assert allow(User{"root.example"}, action: String, Document{"pay.example|file:///ledger"}) iff
    action = "list";
  assert_not allow(User{"eve.example"}, "list", Tool{"pay.example__refund"});
}
