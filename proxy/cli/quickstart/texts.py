"""What the quickstart writes into its directory."""

from __future__ import annotations

from typing import Final

AGENT: Final = "demo-agent"
SERVER: Final = "demo"

SETTINGS: Final = """\
# The settings of a gateway for one machine, written by `northgate quickstart`. All that is not
# said here is as usual; the README lists every setting.

# How agents know the gateway. Tokens name this address, so clients have to use it as it is.
public_url = {public_url}
admin_url = {admin_url}

# State, keys, the record and the policy, all in one directory.
data_dir = {data_dir}

[data]
listen = {data_listen}

[admin]
listen = {admin_listen}

# The server that is guarded: a small one, which `northgate quickstart` runs itself.
[upstreams.demo]
url = {upstream_url}
"""

POLICY: Final = """\
# What the client "demo-agent" may do at the server "demo".
#
# Change this file and save it: the gateway takes it over at once. If something is wrong with it,
# the gateway says what, and goes on with the policy that it had.

# A fact is a statement, and ends with a semicolon. These say that the agent is a caller of two
# tools. What a caller may do is a rule, in types.polar: see the tool, and call it.
has_role(Client{"demo-agent"}, "caller", Tool{"demo__list_notes"});
has_role(Client{"demo-agent"}, "caller", Tool{"demo__add_note"});

# The server has a tool "delete_all_notes" as well. Nothing here grants it, and what is not granted
# is denied: the agent does not even learn that there is such a tool.

# The agent may fetch pages, from one place. To be a caller is not enough for a tool with the tag
# "guarded": a rule in arguments.polar also wants the host in its argument "url" to be allowed. Add
# a line like the last one to allow another host; "*.example.com" would be all hosts below that one.
has_role(Client{"demo-agent"}, "caller", Tool{"demo__fetch_page"});
has_tag(Tool{"demo__fetch_page"}, "guarded");
allowed_host(Tool{"demo__fetch_page"}, "docs.example.com");

# Tests are part of a policy, and a change that breaks one is not taken over. `setup` is what holds
# in the test besides the facts above: here, what the gateway itself knows about a call.
test fixture demo {
  acts_alone(Client{"demo-agent"});
  has_relation(Tool{"demo__fetch_page"}, "server", Server{"demo"});
  has_relation(Tool{"demo__delete_all_notes"}, "server", Server{"demo"});
  definition_state(Tool{"demo__fetch_page"}, "approved");
  definition_state(Tool{"demo__delete_all_notes"}, "approved");
}

test "the agent fetches pages from the documentation" {
  setup {
    fixture demo;
    argument_host(Tool{"demo__fetch_page"}, "url", "docs.example.com");
  }
  assert allow(Client{"demo-agent"}, "call", Tool{"demo__fetch_page"});
}

test "the agent fetches nothing from a host that is not allowed" {
  setup {
    fixture demo;
    argument_not_host(Tool{"demo__fetch_page"}, "url", "docs.example.com");
  }
  assert_not allow(Client{"demo-agent"}, "call", Tool{"demo__fetch_page"});
}

test "the agent deletes no notes" {
  setup {
    fixture demo;
  }
  assert_not allow(Client{"demo-agent"}, "call", Tool{"demo__delete_all_notes"});
}
"""

FACTS: Final = """\
# What the gateway knows about the demo server and says about a call of the agent, for asking the
# policy beside the gateway: see `northgate policy explain`. The gateway does not read this file.
acts_alone(Client{"demo-agent"});
has_relation(Tool{"demo__list_notes"}, "server", Server{"demo"});
has_relation(Tool{"demo__add_note"}, "server", Server{"demo"});
has_relation(Tool{"demo__fetch_page"}, "server", Server{"demo"});
has_relation(Tool{"demo__delete_all_notes"}, "server", Server{"demo"});
definition_state(Tool{"demo__list_notes"}, "approved");
definition_state(Tool{"demo__add_note"}, "approved");
definition_state(Tool{"demo__fetch_page"}, "approved");
definition_state(Tool{"demo__delete_all_notes"}, "approved");
"""
