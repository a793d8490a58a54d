# Limits on what a guarded tool may be called with, as facts that an admin states.
#
# Tag the tool "guarded", so that a role alone no longer calls it, and state one kind of limit for
# it. Each rule below is enough by itself: for a tool that needs two limits at once, write one rule
# that demands both, and state none of these facts for it.

# Hosts: each fact is a host, or `*.` and a domain for all hosts below it.
declare allowed_host(Tool, String);

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool)
  and allowed_host(tool, host)
  and argument_host(tool, "url", host);

# Directories: an absolute path that the argument lies in.
declare allowed_directory(Tool, String);

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool)
  and allowed_directory(tool, directory)
  and argument_under(tool, "path", directory);

# Amounts: a whole number from nought to the limit, in whatever unit the tool counts.
declare amount_limit(Tool, Integer);

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool)
  and amount_limit(tool, limit)
  and argument(tool, "amount", amount)
  and amount >= 0
  and amount <= limit;

test fixture guarded_tool {
  acts_alone(Client{"ci.example"});
  acts_alone(Client{"bot.example"});
  has_role(Client{"ci.example"}, "caller", Server{"web.example"});
  has_role(Client{"bot.example"}, "viewer", Server{"web.example"});
  has_relation(Tool{"web.example__fetch"}, "server", Server{"web.example"});
  definition_state(Tool{"web.example__fetch"}, "approved");
  has_tag(Tool{"web.example__fetch"}, "guarded");
}

test "a guarded tool without a limit is not called" {
  setup {
    fixture guarded_tool;
    argument_host(Tool{"web.example__fetch"}, "url", "*.example.com");
    argument_under(Tool{"web.example__fetch"}, "path", "/srv/reports");
    argument(Tool{"web.example__fetch"}, "amount", 1);
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "a call to an allowed host passes" {
  setup {
    fixture guarded_tool;
    allowed_host(Tool{"web.example__fetch"}, "*.example.com");
    argument_host(Tool{"web.example__fetch"}, "url", "*.example.com");
  }
  assert allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
  assert_not has_permission(Client{"bot.example"}, "call", Tool{"web.example__fetch"});
}

test "a call to another host, or to none that can be read, does not" {
  setup {
    fixture guarded_tool;
    allowed_host(Tool{"web.example__fetch"}, "*.example.com");
    argument_not_host(Tool{"web.example__fetch"}, "url", "*.example.com");
    argument_host(Tool{"web.example__fetch"}, "url", "example.net");
    argument_host(Tool{"web.example__fetch"}, "callback", "*.example.com");
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "a path inside an allowed directory passes" {
  setup {
    fixture guarded_tool;
    allowed_directory(Tool{"web.example__fetch"}, "/srv/reports");
    argument_under(Tool{"web.example__fetch"}, "path", "/srv/reports");
  }
  assert allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
  assert_not has_permission(Client{"bot.example"}, "call", Tool{"web.example__fetch"});
}

test "a path outside every allowed directory does not" {
  setup {
    fixture guarded_tool;
    allowed_directory(Tool{"web.example__fetch"}, "/srv/reports");
    argument_not_under(Tool{"web.example__fetch"}, "path", "/srv/reports");
    argument_under(Tool{"web.example__fetch"}, "path", "/etc");
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "an amount up to the limit passes" {
  setup {
    fixture guarded_tool;
    amount_limit(Tool{"web.example__fetch"}, 500);
    argument(Tool{"web.example__fetch"}, "amount", 500);
  }
  assert allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
  assert_not has_permission(Client{"bot.example"}, "call", Tool{"web.example__fetch"});
}

test "an amount of nought passes" {
  setup {
    fixture guarded_tool;
    amount_limit(Tool{"web.example__fetch"}, 500);
    argument(Tool{"web.example__fetch"}, "amount", 0);
  }
  assert allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "an amount above the limit does not pass" {
  setup {
    fixture guarded_tool;
    amount_limit(Tool{"web.example__fetch"}, 500);
    argument(Tool{"web.example__fetch"}, "amount", 501);
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "an amount below nought does not pass" {
  setup {
    fixture guarded_tool;
    amount_limit(Tool{"web.example__fetch"}, 500);
    argument(Tool{"web.example__fetch"}, "amount", -1);
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "an amount that is no number does not pass" {
  setup {
    fixture guarded_tool;
    amount_limit(Tool{"web.example__fetch"}, 500);
    argument(Tool{"web.example__fetch"}, "amount", "5");
  }
  assert_not allow(Client{"ci.example"}, "call", Tool{"web.example__fetch"});
}

test "limits are for tools that are tagged, and a tool without a tag needs none" {
  setup {
    fixture catalogue;
    has_role(Client{"ci.example"}, "caller", Server{"pay.example"});
    amount_limit(Tool{"pay.example__refund"}, 500);
    argument(Tool{"pay.example__refund"}, "amount", 501);
  }
  assert allow(Client{"ci.example"}, "call", Tool{"pay.example__refund"});
}
