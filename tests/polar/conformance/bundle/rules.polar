allow(c: Client, action: String, t: Tool) if has_permission(c, action, t) and not is_off(t);
declare is_off(Tool);
test fixture grant { has_role(Client{"a"}, "caller", Tool{"t"}); }
