# Comments stand anywhere # even twice
actor Client{}resource Tool{roles=["caller",];permissions=["call",];relations={};"call"if"caller";} # and at the end
allow(
  c : Client , # who
  action : String,
  t : Tool
)
  if
    has_permission(c, action, t) # as granted
    and
    ( not is_off(t) )
;
declare is_off(Tool);


test "layout is free" { setup { has_role(Client{ "a" }, "caller", Tool { "t" }); has_role(Client{"a"}, "caller", Tool{"u"}); is_off(Tool{"u"}); }
  assert allow(Client{"a"}, "call", Tool{"t"}); assert_not allow(Client{"a"}, "call", Tool{"u"}); }
