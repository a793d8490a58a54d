"""The one layout of policy text, form by form."""

from __future__ import annotations

import pytest

from policies.polar.format import format_text
from policies.polar.layout import WIDTH
from policies.polar.source import PolicyError


def formatted(text: str) -> str:
    return format_text("policy.polar", text)


# Layout


def test_a_block_has_one_declaration_or_rule_on_each_line() -> None:
    text = (
        'resource   Tool extends A ,B,{roles=["caller" ,"viewer",];relations={server:Server ,};'
        '"viewer"if"caller";role if role on"server";"x" if global "y"and(open( resource )or"z");}'
    )

    assert formatted(text) == (
        """resource Tool extends A, B {
  roles = ["caller", "viewer"];
  relations = { server: Server };
  "viewer" if "caller";
  role if role on "server";
  "x" if global "y" and (open(resource) or "z");
}
"""
    )


def test_a_test_is_indented_by_its_depth() -> None:
    text = (
        'test  "t"{setup{fixture f;p(Client{ "ci" },-3);}assert p( x : T )iff x in["a" ];'
        "assert_not q( );}test fixture f{p(true);}"
    )

    assert formatted(text) == (
        """test "t" {
  setup {
    fixture f;
    p(Client{"ci"}, -3);
  }
  assert p(x: T) iff x in ["a"];
  assert_not q();
}
test fixture f {
  p(true);
}
"""
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("p ( ) ;", "p();\n"),
        ("p(x)\nif\nq(x);", "p(x) if q(x);\n"),
        ("p(x) if not(q(x)and x=3);", "p(x) if not (q(x) and x = 3);\n"),
        ("p(x) if x>=-3 and(x!=y);", "p(x) if x >= -3 and (x != y);\n"),
        ("actor\nClient\n{\n}", "actor Client {}\n"),
        ("actor A { relations = { } ; roles = [ ] ; }",
         "actor A {\n  relations = {};\n  roles = [];\n}\n"),
        ('test "t" { setup { } assert p(); }', 'test "t" {\n  setup {}\n  assert p();\n}\n'),
        ("declare  p( A,B ) ;type q(a:A);", "declare p(A, B);\ntype q(a: A);\n"),
        ("p(1);\r\n# c\r\nq(2);\r\n", "p(1);\n# c\nq(2);\n"),
    ],
)  # fmt: skip
def test_spaces_are_canonical(text: str, expected: str) -> None:
    assert formatted(text) == expected


def test_one_blank_line_is_kept_between_items_and_none_at_the_edges() -> None:
    block = "actor A {\n\n  roles = [];\n\n\n  permissions = [];\n\n}"
    text = f"\n\np(1);\n\n\n\nq(2);\nr(3);\n{block}\n\n\n"

    assert formatted(text) == (
        "p(1);\n\nq(2);\nr(3);\nactor A {\n  roles = [];\n\n  permissions = [];\n}\n"
    )


def test_a_long_rule_has_one_condition_on_each_line_with_the_operator_in_front() -> None:
    text = (
        'allow(c: Client, "call", t: Tool) if has_permission(c, "call", t) and not is_suspended(c)'
        " and not is_disabled(t);"
    )

    assert formatted(text) == (
        """allow(c: Client, "call", t: Tool) if
  has_permission(c, "call", t)
  and not is_suspended(c)
  and not is_disabled(t);
"""
    )


def test_a_chain_inside_a_chain_is_indented_and_a_long_group_opens_up() -> None:
    a, b, c = (f"{name * 40}(x)" for name in "abc")
    text = f"p(x) if {a} and {b} and {c} or q(x) and not ({a} or {b} and {c}) or r(x);"

    assert formatted(text) == (
        f"""p(x) if
  {a}
    and {b}
    and {c}
  or q(x)
    and not (
      {a}
      or {b} and {c}
    )
  or r(x);
"""
    )


def test_a_long_list_has_one_element_on_each_line() -> None:
    words = [f'"{letter * 30}"' for letter in "abc"]
    text = f"actor A {{ roles = [{', '.join(words)}]; }} p(x) if x in [{', '.join(words)}];"

    assert formatted(text) == (
        f"""actor A {{
  roles = [
    {words[0]},
    {words[1]},
    {words[2]},
  ];
}}
p(x) if
  x in [
    {words[0]},
    {words[1]},
    {words[2]}
  ];
"""
    )


def test_a_long_fact_has_one_argument_on_each_line() -> None:
    long = "x" * 50
    result = formatted(f'has_role(Client{{"{long}"}}, "caller", Tool{{"{long}"}});')

    assert result == f'has_role(\n  Client{{"{long}"}},\n  "caller",\n  Tool{{"{long}"}}\n);\n'


def test_a_rule_that_fits_exactly_stays_on_one_line() -> None:
    fitting = f"p(x) if q({'y' * (WIDTH - 12)});"

    assert formatted(fitting) == fitting + "\n"
    assert "\n" in formatted(fitting.replace("q(", "qq(")).strip()


# Comments


def test_comments_stay_with_what_they_speak_of() -> None:
    text = """# first

   # of the block
resource Tool {# after the brace
      # of the roles
  roles = ["a"];# after the roles

  # at the end
}# after the block
actor A {
# alone
}
p(1); q(2); # of q
# last"""

    assert formatted(text) == (
        """# first

# of the block
resource Tool {  # after the brace
  # of the roles
  roles = ["a"];  # after the roles

  # at the end
}  # after the block
actor A {
  # alone
}
p(1);
q(2);  # of q
# last
"""
    )


def test_a_statement_with_comments_inside_keeps_its_lines() -> None:
    text = """p(x) if
q(x) and # why
      # and why not
    not   r(x);
actor A { roles = [ "a", # one
"b" # two
]; }"""

    assert formatted(text) == (
        """p(x) if
  q(x) and  # why
  # and why not
  not r(x);
actor A {
  roles = ["a",  # one
    "b"  # two
  ];
}
"""
    )


def test_a_mark_inside_a_string_is_no_comment() -> None:
    assert formatted('p("# not { ; a comment"); # but this') == (
        'p("# not { ; a comment");  # but this\n'
    )


def test_text_that_does_not_parse_is_refused_with_every_error() -> None:
    with pytest.raises(PolicyError) as caught:
        formatted("p(x) if x == 1;\nq(x) if x := 2;")

    assert [problem.code for problem in caught.value.problems] == [
        "no-double-equals",
        "no-assignment",
    ]


def test_a_warning_does_not_keep_text_from_being_formatted() -> None:
    assert formatted('p( "a\\q" );') == 'p("a\\q");\n'
