# Text is compared by case, and values of different types are never the same.
actor Client {}
actor User {}
declare tag(Resource, String);
declare tag(Resource, Integer);
declare tag(Resource, Boolean);
prod(x) if tag(x, "prod");
one(x) if tag(x, 1);
yes(x) if tag(x, true);
twin(x, y) if tag(x, v) and tag(y, v) and other(x, y);
declare other(Resource, Resource);
test "case matters" {
  setup { tag(Client{"a"}, "prod"); tag(Client{"b"}, "Prod"); tag(Client{"c"}, "PROD"); }
  assert prod(c: Client) iff c = Client{"a"};
}
test "a text, a number and a Boolean that look alike differ" {
  setup { tag(Client{"text"}, "1"); tag(Client{"number"}, 1); tag(Client{"truth"}, true); tag(Client{"word"}, "true"); }
  assert one(c: Client) iff c = Client{"number"};
  assert yes(c: Client) iff c = Client{"truth"};
}
test "the same id of another type is somebody else" {
  setup { tag(Client{"a"}, "prod"); }
  assert prod(Client{"a"});
  assert_not prod(User{"a"});
}
test "two resources share a tag" {
  setup { tag(Client{"a"}, 1); tag(User{"b"}, 1); tag(User{"c"}, true); other(Client{"a"}, User{"b"}); other(Client{"a"}, User{"c"}); }
  assert twin(Client{"a"}, User{"b"});
  assert_not twin(Client{"a"}, User{"c"});
}
