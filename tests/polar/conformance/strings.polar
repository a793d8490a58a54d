# Escapes, keywords and foreign syntax are ordinary text between quotes.
actor Client {}
declare said(Client, String);
quotes(c: Client) if said(c, "a \"quoted\" word");
backslash(c: Client) if said(c, "C:\\temp\\new");
keyword(c: Client) if said(c, "if and or not");
syntax(c: Client) if said(c, "x); allow(_, _, _) if true; # \"");
hash(c: Client) if said(c, "# not a comment");
test "a text equals itself alone" {
  setup {
    said(Client{"q"}, "a \"quoted\" word");
    said(Client{"b"}, "C:\\temp\\new");
    said(Client{"k"}, "if and or not");
    said(Client{"s"}, "x); allow(_, _, _) if true; # \"");
    said(Client{"h"}, "# not a comment");
  }
  assert quotes(c: Client) iff c = Client{"q"};
  assert backslash(c: Client) iff c = Client{"b"};
  assert keyword(c: Client) iff c = Client{"k"};
  assert syntax(c: Client) iff c = Client{"s"};
  assert hash(c: Client) iff c = Client{"h"};
}
