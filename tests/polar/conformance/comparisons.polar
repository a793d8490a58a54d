actor Client {}
declare pair(Client, Integer, Integer);
declare loose(Client, Integer);
declare loose(Client, String);
lt(c: Client) if pair(c, a, b) and a < b;
le(c: Client) if pair(c, a, b) and a <= b;
gt(c: Client) if pair(c, a, b) and a > b;
ge(c: Client) if pair(c, a, b) and a >= b;
ne(c: Client) if pair(c, a, b) and a != b;
eq(c: Client) if pair(c, a, b) and a = b;
high(c: Client) if loose(c, n) and n > 5;
test "each operator at its boundary" {
  setup { pair(Client{"up"}, 1, 2); pair(Client{"even"}, 2, 2); pair(Client{"down"}, 3, 2); }
  assert lt(c: Client) iff c = Client{"up"};
  assert le(c: Client) iff c = Client{"up"} or c = Client{"even"};
  assert gt(c: Client) iff c = Client{"down"};
  assert ge(c: Client) iff c = Client{"down"} or c = Client{"even"};
  assert ne(c: Client) iff c = Client{"up"} or c = Client{"down"};
  assert eq(c: Client) iff c = Client{"even"};
}
test "a text is neither more nor less than a number" {
  setup { loose(Client{"n"}, 6); loose(Client{"s"}, "6"); loose(Client{"five"}, 5); }
  assert high(c: Client) iff c = Client{"n"};
}
