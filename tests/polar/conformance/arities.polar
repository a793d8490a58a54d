# Predicates of one name and different numbers of arguments have nothing to do with each other.
actor Client {}
maintenance() if switch("maintenance", true);
switch("spare", true);
declare switch(String, Boolean);
p(1);
p(1, 2);
p(1, 2, 3, 4, 5);
q(x) if p(x);
q(x, y) if p(x, y);
wide(a, b, c, d, e) if p(a, b, c, d, e);
test "by number of arguments" {
  assert q(1);
  assert_not q(2);
  assert q(1, 2);
  assert_not q(2, 1);
  assert wide(1, 2, 3, 4, 5);
  assert_not wide(1, 2, 3, 4, 6);
  assert_not maintenance();
}
test "no arguments at all" {
  setup { switch("maintenance", true); }
  assert maintenance();
}
