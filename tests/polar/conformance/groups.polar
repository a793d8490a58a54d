# Grants to a team reach its members, and those of teams within it.
actor Client { relations = { team: Team }; }
actor Team { relations = { within: Team }; }
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
has_role(c: Client, role: String, t: Tool) if has_relation(c, "team", g) and belongs(g, h) and has_role(h, role, t);
belongs(g: Team, g: Team);
belongs(g: Team, h: Team) if has_relation(g, "within", k) and belongs(k, h);
test "membership goes up, not down" {
  setup {
    has_relation(Client{"a"}, "team", Team{"inner"}); has_relation(Team{"inner"}, "within", Team{"middle"});
    has_relation(Team{"middle"}, "within", Team{"outer"}); has_relation(Client{"b"}, "team", Team{"outer"});
    has_role(Team{"outer"}, "caller", Tool{"wide"}); has_role(Team{"inner"}, "caller", Tool{"narrow"});
  }
  assert allow(Client{"a"}, "call", Tool{"wide"});
  assert allow(Client{"a"}, "call", Tool{"narrow"});
  assert allow(Client{"b"}, "call", Tool{"wide"});
  assert_not allow(Client{"b"}, "call", Tool{"narrow"});
}
test "teams within each other are one team" {
  setup {
    has_relation(Client{"a"}, "team", Team{"x"}); has_relation(Team{"x"}, "within", Team{"y"}); has_relation(Team{"y"}, "within", Team{"x"});
    has_role(Team{"y"}, "caller", Tool{"t"});
  }
  assert allow(Client{"a"}, "call", Tool{"t"});
}
