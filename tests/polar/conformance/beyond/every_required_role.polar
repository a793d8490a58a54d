# Negation of more than one fact: nothing that is required is lacking.
actor Client {}
resource Tool {}
declare requires(Tool, String);
declare holds(Client, String);
declare known(Client, Tool);
qualified(c: Client, t: Tool) if known(c, t) and not (requires(t, badge) and not holds(c, badge));
test "all of them" {
  setup {
    known(Client{"both"}, Tool{"t"}); known(Client{"one"}, Tool{"t"}); known(Client{"none"}, Tool{"t"}); known(Client{"none"}, Tool{"free"});
    requires(Tool{"t"}, "red"); requires(Tool{"t"}, "blue");
    holds(Client{"both"}, "red"); holds(Client{"both"}, "blue"); holds(Client{"one"}, "red");
  }
  assert qualified(c: Client, Tool{"t"}) iff c = Client{"both"};
  assert qualified(Client{"none"}, Tool{"free"});
}
