test "across files" {
  setup { fixture grant; has_role(Client{"a"}, "caller", Tool{"off"}); is_off(Tool{"off"}); }
  assert allow(Client{"a"}, "call", Tool{"t"});
  assert_not allow(Client{"a"}, "call", Tool{"off"});
}
