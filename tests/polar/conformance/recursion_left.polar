resource Node {}
declare edge(Node, Node);
path(x: Node, y: Node) if edge(x, y);
path(x: Node, y: Node) if path(x, z) and edge(z, y);
joined(x: Node, y: Node) if edge(x, y) or joined(x, z) and joined(z, y);
test "a chain" {
  setup { edge(Node{"a"}, Node{"b"}); edge(Node{"b"}, Node{"c"}); edge(Node{"c"}, Node{"d"}); }
  assert path(Node{"a"}, Node{"d"});
  assert_not path(Node{"d"}, Node{"a"});
  assert path(Node{"b"}, y: Node) iff y = Node{"c"} or y = Node{"d"};
  assert joined(x: Node, Node{"d"}) iff x = Node{"a"} or x = Node{"b"} or x = Node{"c"};
}
test "a circle reaches itself" {
  setup { edge(Node{"a"}, Node{"b"}); edge(Node{"b"}, Node{"a"}); edge(Node{"c"}, Node{"a"}); }
  assert path(Node{"a"}, Node{"a"});
  assert path(Node{"c"}, y: Node) iff y = Node{"a"} or y = Node{"b"};
  assert_not joined(Node{"a"}, Node{"c"});
}
