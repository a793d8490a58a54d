# Lists of numbers, Booleans and objects.
actor Client {}
declare level(Client, Integer);
declare flag(Client, Boolean);
low(c: Client) if level(c, n) and n in [0, 1, -1];
any_flag(c: Client) if flag(c, v) and v in [true];
chosen(c: Client) if known(c) and c in [Client{"a"}, Client{"b"}];
declare known(Client);
test "numbers, Booleans, objects" {
  setup { level(Client{"a"}, 1); level(Client{"b"}, 2); level(Client{"c"}, -1); flag(Client{"a"}, true); flag(Client{"b"}, false); known(Client{"b"}); known(Client{"c"}); }
  assert low(c: Client) iff c = Client{"a"} or c = Client{"c"};
  assert any_flag(c: Client) iff c = Client{"a"};
  assert chosen(c: Client) iff c = Client{"b"};
}
