# Names may use any script, segments, a question mark and words that are keywords elsewhere.
actor Klient::Dienst {}
actor Küche {}
resource Werkzeug { roles = ["führer", "нож"]; permissions = ["öffnen", "切る"]; "öffnen" if "führer"; "切る" if "нож"; }
ok?(x: Küche) if bekannt::hier(x);
role_of(role: Küche, permission: String, resource: Werkzeug) if has_role(role, permission, resource);
declare bekannt::hier(Küche);
test "umlauts and other scripts" {
  setup { has_role(Küche{"größe"}, "führer", Werkzeug{"säge"}); has_role(Klient::Dienst{"а"}, "нож", Werkzeug{"säge"}); bekannt::hier(Küche{"größe"}); }
  assert allow(Küche{"größe"}, "öffnen", Werkzeug{"säge"});
  assert allow(Klient::Dienst{"а"}, "切る", Werkzeug{"säge"});
  assert_not allow(Klient::Dienst{"a"}, "切る", Werkzeug{"säge"});
  assert ok?(Küche{"größe"});
  assert_not ok?(Küche{"grösse"});
  assert role_of(Küche{"größe"}, "führer", Werkzeug{"säge"});
  assert_not role_of(Küche{"größe"}, "нож", Werkzeug{"säge"});
}
