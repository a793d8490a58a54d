resource Node {}
declare edge(Node, Node);
odd(x: Node, y: Node) if edge(x, y);
odd(x: Node, y: Node) if even(x, z) and edge(z, y);
even(x: Node, y: Node) if odd(x, z) and edge(z, y);
test "steps are counted by two" {
  setup { edge(Node{"a"}, Node{"b"}); edge(Node{"b"}, Node{"c"}); edge(Node{"c"}, Node{"d"}); }
  assert odd(Node{"a"}, Node{"b"});
  assert even(Node{"a"}, Node{"c"});
  assert odd(Node{"a"}, Node{"d"});
  assert_not even(Node{"a"}, Node{"d"});
  assert_not odd(Node{"a"}, Node{"c"});
}
test "a circle of three makes every node odd and even" {
  setup { edge(Node{"a"}, Node{"b"}); edge(Node{"b"}, Node{"c"}); edge(Node{"c"}, Node{"a"}); }
  assert odd(Node{"a"}, Node{"a"});
  assert even(Node{"a"}, Node{"a"});
}
