# Facts about the arguments of a call are facts like any others.
actor Client {}
resource Server {}
resource Tool { roles = ["caller"]; permissions = ["call"]; relations = { server: Server }; }
resource Prompt {}
allow(c: Client, "call", t: Tool) if has_role(c, "caller", t) and argument_under(t, "path", "/srv/data");
allow(c: Client, "call", t: Tool) if has_role(c, "caller", t) and argument(t, "amount", n) and cap(c, most) and n <= most;
allow(c: Client, "call", t: Tool) if has_role(c, "caller", t) and allowed_host(t, h) and argument_host(t, "url", h);
allow(c: Client, "call", t: Tool) if has_role(c, "caller", t) and argument(t, "dry_run", true) and not argument_present(t, "force");
declare cap(Client, Integer);
declare allowed_host(Tool, String);
test fixture granted { has_role(Client{"a"}, "caller", Tool{"t"}); cap(Client{"a"}, 10); allowed_host(Tool{"t"}, "example.com"); }
test "a path" {
  setup { fixture granted; argument_under(Tool{"t"}, "path", "/srv/data"); }
  assert allow(Client{"a"}, "call", Tool{"t"});
  assert_not allow(Client{"b"}, "call", Tool{"t"});
}
test "another path" {
  setup { fixture granted; argument_under(Tool{"t"}, "path", "/srv"); argument_not_under(Tool{"t"}, "path", "/srv/data"); }
  assert_not allow(Client{"a"}, "call", Tool{"t"});
}
test "at the cap" { setup { fixture granted; argument(Tool{"t"}, "amount", 10); } assert allow(Client{"a"}, "call", Tool{"t"}); }
test "over the cap" { setup { fixture granted; argument(Tool{"t"}, "amount", 11); } assert_not allow(Client{"a"}, "call", Tool{"t"}); }
test "an amount that is no number" { setup { fixture granted; argument(Tool{"t"}, "amount", "10"); } assert_not allow(Client{"a"}, "call", Tool{"t"}); }
test "a host on the list" { setup { fixture granted; argument_host(Tool{"t"}, "url", "example.com"); } assert allow(Client{"a"}, "call", Tool{"t"}); }
test "a host off the list" { setup { fixture granted; argument_host(Tool{"t"}, "url", "example.org"); } assert_not allow(Client{"a"}, "call", Tool{"t"}); }
test "a dry run" { setup { fixture granted; argument(Tool{"t"}, "dry_run", true); argument_present(Tool{"t"}, "dry_run"); } assert allow(Client{"a"}, "call", Tool{"t"}); }
test "a forced dry run" { setup { fixture granted; argument(Tool{"t"}, "dry_run", true); argument_present(Tool{"t"}, "force"); } assert_not allow(Client{"a"}, "call", Tool{"t"}); }
