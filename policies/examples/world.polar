# A small world for the shipped policy: two servers, three clients, one limit. These are facts, as
# the control plane and the gateway would state them, for `northgate policy query --facts`.

has_relation(Tool{"github__get_issue"}, "server", Server{"github"});
has_relation(Tool{"github__create_issue"}, "server", Server{"github"});
has_relation(Tool{"web__fetch"}, "server", Server{"web"});
definition_state(Tool{"github__get_issue"}, "approved");
definition_state(Tool{"github__create_issue"}, "approved");
definition_state(Tool{"web__fetch"}, "approved");

# The build machine may use all of GitHub, the bot one tool of it.
has_role(Client{"ci"}, "caller", Server{"github"});
has_role(Client{"bot"}, "caller", Tool{"github__create_issue"});

# Researchers may fetch pages, from one host and those below another.
has_relation(Client{"scout"}, "team", Team{"research"});
has_role(Team{"research"}, "caller", Tool{"web__fetch"});
has_tag(Tool{"web__fetch"}, "guarded");
allowed_host(Tool{"web__fetch"}, "docs.example.com");
allowed_host(Tool{"web__fetch"}, "*.example.org");

# What the gateway says about the calls at hand: each client acts for itself, and the page that the
# scout asks for is on an allowed host.
acts_alone(Client{"ci"});
acts_alone(Client{"bot"});
acts_alone(Client{"scout"});
argument_host(Tool{"web__fetch"}, "url", "docs.example.com");
