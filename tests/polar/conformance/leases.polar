# The tests of this directory are run at second 1700000000.
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
has_role(c: Client, role: String, t: Tool) if lease(c, role, t, until) and @current_unix_time < until;
begun(c: Client) if starts(c, at) and at <= @current_unix_time;
now(c: Client) if starts(c, @current_unix_time);
declare lease(Client, String, Tool, Integer);
declare starts(Client, Integer);
test "a lease ends with the second it names" {
  setup { lease(Client{"before"}, "caller", Tool{"t"}, 1699999999); lease(Client{"at"}, "caller", Tool{"t"}, 1700000000); lease(Client{"after"}, "caller", Tool{"t"}, 1700000001); }
  assert allow(c: Client, "call", Tool{"t"}) iff c = Client{"after"};
}
test "a beginning includes its second" {
  setup { starts(Client{"before"}, 1699999999); starts(Client{"at"}, 1700000000); starts(Client{"after"}, 1700000001); }
  assert begun(c: Client) iff c = Client{"before"} or c = Client{"at"};
  assert now(c: Client) iff c = Client{"at"};
}
