# Several declarations of one predicate accept what any of them does.
actor Client {}
resource Tool {}
declare note(Client, String);
declare note(Tool, Integer);
declare note(Client);
declare unused(Client, Tool, String, Integer, Boolean);
noted(x) if note(x, _);
marked(x) if note(x);
test "each form" {
  setup { note(Client{"a"}, "text"); note(Tool{"t"}, 7); note(Client{"b"}); unused(Client{"a"}, Tool{"t"}, "s", 1, false); }
  assert noted(Client{"a"});
  assert noted(Tool{"t"});
  assert_not noted(Client{"b"});
  assert marked(Client{"b"});
  assert_not marked(Client{"a"});
  assert unused(Client{"a"}, Tool{"t"}, "s", 1, false);
  assert_not unused(Client{"a"}, Tool{"t"}, "s", 1, true);
}
