actor Client {}
declare flag(Client, String, Boolean);
enabled(c: Client, name: String) if flag(c, name, true);
disabled(c: Client, name: String) if flag(c, name, false);
always(_: Client) if true;
never(_: Client) if never_stored() or false;
declare never_stored();
same(c: Client) if flag(c, "a", v) and flag(c, "b", v);
test "true and false are values" {
  setup { flag(Client{"x"}, "a", true); flag(Client{"x"}, "b", false); flag(Client{"y"}, "a", false); flag(Client{"y"}, "b", false); }
  assert enabled(c: Client, name: String) iff c = Client{"x"} and name = "a";
  assert disabled(c: Client, name: String) iff c = Client{"x"} and name = "b" or c = Client{"y"} and name in ["a", "b"];
  assert same(c: Client) iff c = Client{"y"};
}
test "true and false are conditions" {
  assert always(Client{"anyone"});
  assert_not never(Client{"anyone"});
}
test "a rule with false among its alternatives holds by the others" {
  setup { never_stored(); }
  assert never(Client{"anyone"});
}
