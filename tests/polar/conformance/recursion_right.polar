actor Client {}
resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder }; "read" if "reader"; role if role on "parent"; }
test "roles come down any number of folders" {
  setup {
    has_role(Client{"a"}, "reader", Folder{"0"}); has_relation(Folder{"1"}, "parent", Folder{"0"});
    has_relation(Folder{"2"}, "parent", Folder{"1"}); has_relation(Folder{"3"}, "parent", Folder{"2"});
  }
  assert allow(Client{"a"}, "read", f: Folder) iff f = Folder{"0"} or f = Folder{"1"} or f = Folder{"2"} or f = Folder{"3"};
}
test "a circle of folders ends" {
  setup {
    has_relation(Folder{"1"}, "parent", Folder{"2"}); has_relation(Folder{"2"}, "parent", Folder{"3"}); has_relation(Folder{"3"}, "parent", Folder{"1"});
    has_role(Client{"a"}, "reader", Folder{"2"});
  }
  assert allow(Client{"a"}, "read", Folder{"1"});
  assert_not allow(Client{"b"}, "read", Folder{"1"});
  assert_not allow(Client{"a"}, "read", Folder{"4"});
}
test "a folder that is its own parent" {
  setup { has_relation(Folder{"1"}, "parent", Folder{"1"}); }
  assert_not allow(Client{"a"}, "read", Folder{"1"});
}
