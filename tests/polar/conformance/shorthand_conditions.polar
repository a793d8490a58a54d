actor Client {}
global { roles = ["helper"]; }
resource Ward { roles = ["nurse"]; }
resource Chart {
  roles = ["doctor"];
  permissions = ["read", "write", "sign"];
  relations = { ward: Ward };
  "read" if "doctor" or "nurse" on "ward" or global "helper" and is_public(resource);
  "write" if ("doctor" or "nurse" on "ward") and is_open(resource);
  "sign" if "write" and is_licensed(actor);
}
declare is_public(Chart);
declare is_open(Chart);
declare is_licensed(Actor);
test "or, and, parentheses and calls" {
  setup {
    has_relation(Chart{"x"}, "ward", Ward{"w"}); has_relation(Chart{"y"}, "ward", Ward{"w"}); has_role(Client{"n"}, "nurse", Ward{"w"});
    has_role(Client{"d"}, "doctor", Chart{"x"}); has_role(Client{"h"}, "helper"); is_open(Chart{"x"}); is_public(Chart{"y"}); is_licensed(Client{"d"});
  }
  assert allow(Client{"d"}, action: String, Chart{"x"}) iff action in ["read", "write", "sign"];
  assert allow(Client{"n"}, action: String, Chart{"x"}) iff action in ["read", "write"];
  assert allow(Client{"n"}, action: String, Chart{"y"}) iff action = "read";
  assert allow(Client{"h"}, action: String, Chart{"y"}) iff action = "read";
  assert_not allow(Client{"h"}, "read", Chart{"x"});
  assert_not allow(Client{"d"}, "read", Chart{"y"});
}
