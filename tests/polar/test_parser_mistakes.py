"""What is said about policy text that is no policy: one problem for each mistake, in its place."""

from __future__ import annotations

import pytest

from policies.polar import syntax
from policies.polar.parser import parse
from policies.polar.source import Problem, Severity, Span


def place(problem: Problem) -> tuple[str, int, int]:
    return problem.code, problem.span.line, problem.span.column


def places(text: str) -> list[tuple[str, int, int]]:
    return [place(problem) for problem in parse("policy.polar", text).problems]


def predicates(items: tuple[syntax.Item, ...]) -> list[str]:
    return [found.predicate for found in items if isinstance(found, syntax.Rule)]


# Each is a text, then the code, line and column of its one problem.
MISTAKES = [
    # From the older language and from others
    ("p(x) if x == 3;", "no-double-equals", 1, 11),
    ("p(x) if x === 3;", "no-double-equals", 1, 11),
    ("p(x) if x <> 3;", "no-double-equals", 1, 11),
    ("p(x) if x := 3;", "no-assignment", 1, 11),
    ("p(x) if q(x) and cut;", "no-cut", 1, 18),
    ("p(x) if cut and q(x);", "no-cut", 1, 9),
    ("p(x) if forall(q(x), r(x));", "no-forall", 1, 9),
    ("p(x) if forall(x, y);", "no-forall", 1, 9),
    ("p(x) if forall(y in x, y > 3);", "no-forall", 1, 9),
    ("p(x) if x = new Foo(3);", "no-new", 1, 13),
    ("p(x) if x.owner = y;", "no-attributes", 1, 10),
    ("p(x) if x.owner(y);", "no-attributes", 1, 10),
    ("p(x) if y = x + 3;", "no-arithmetic", 1, 15),
    ("p(x) if y = x-3;", "no-arithmetic", 1, 14),
    ("p(x) if y = x / 3;", "no-arithmetic", 1, 15),
    ("p(x) if y = [1, 2];", "no-lists", 1, 13),
    ("p(x) if q([1, 2]);", "no-lists", 1, 11),
    ("p(x) if q({a: 1});", "no-dictionaries", 1, 11),
    ("p(x) if q(x) && r(x);", "no-symbol-operators", 1, 14),
    ("p(x) if q(x) || r(x);", "no-symbol-operators", 1, 14),
    ("p(x) if !q(x);", "no-symbol-operators", 1, 9),
    ("p(x) :- q(x);", "no-symbol-operators", 1, 6),
    ("p(x) if x = 'a;b';", "single-quotes", 1, 13),
    ("?= p(3);", "no-inline-query", 1, 1),
    ("p(x) if x matches! Foo;", "no-exact-matches", 1, 18),
    ("p(x) if q(x) else r(x);", "no-else", 1, 14),
    ("p(x) if q(r(x));", "no-nested-calls", 1, 12),
    ("p(x) if y = q(x);", "no-nested-calls", 1, 14),
    ("p(x) if x ~ y;", "unknown-character", 1, 11),
    # Rules
    ("p(x) if q(x)", "missing-semicolon", 1, 12),
    ("p(x) if;", "empty-body", 1, 6),
    ("p(x) if", "empty-body", 1, 6),
    ('p(x) if has_role(actor, "a", resource: R);', "type-in-body", 1, 38),
    ("p(x) if x;", "bare-value", 1, 9),
    ("p(x) if x and q(x);", "bare-value", 1, 9),
    ('p(x) if x not in ["a"];', "misplaced-not", 1, 11),
    ("p(if) if q(x);", "reserved-word", 1, 3),
    ("p(x) if test(x);", "reserved-word", 1, 9),
    ("p(x: type);", "reserved-word", 1, 6),
    ("type(x) if q(x);", "reserved-word", 1, 1),
    ("actor(x) if q(x);", "reserved-word", 1, 1),
    ("declare p(x: Foo);", "name-in-declaration", 1, 11),
    ("p(x) if q(x,);", "syntax", 1, 13),
    ("p(x) if x in [];", "syntax", 1, 15),
    ("p(x) if x in y;", "syntax", 1, 14),
    ("p(x) if (q(x);", "syntax", 1, 14),
    ("p(x) if q(x));", "syntax", 1, 13),
    ("p(x) if x > y > z;", "syntax", 1, 15),
    ('p("a": String);', "syntax", 1, 6),
    ("p;", "syntax", 1, 2),
    # Items
    ('resouce Foo { roles = ["a"]; "x" if "a"; }', "unknown-item", 1, 1),
    ('tests "a" { assert p(1); }', "unknown-item", 1, 1),
    ("globl { }", "unknown-item", 1, 1),
    ('"a" if "b";', "syntax", 1, 1),
    ("}", "stray-brace", 1, 1),
    ("actor A { };", "stray-semicolon", 1, 12),
    ("resource Foo;", "syntax", 1, 13),
    ("actor { }", "syntax", 1, 7),
    # Blocks
    ('resource R { "a" if not "b"; }', "shorthand-too-rich", 1, 21),
    ('resource R { "a" if x = 3; }', "shorthand-too-rich", 1, 23),
    ('resource R { "a" if "b" and x matches T; }', "shorthand-too-rich", 1, 31),
    ('resource R { role = ["a"]; }', "unknown-declaration", 1, 14),
    ('resource R { permission = ["a"]; }', "unknown-declaration", 1, 14),
    ("resource R { relation = { a: B }; }", "unknown-declaration", 1, 14),
    ('resource R { a if "b"; }', "unknown-declaration", 1, 14),
    ('resource R { roles = ["a"]; roles = ["b"]; }', "duplicate-declaration", 1, 29),
    ("resource R {\n  p(x) if q(x);\n}", "rule-in-block", 2, 3),
    ('resource R { roles = ["a"] }', "missing-semicolon", 1, 26),
    ('resource R { "a" if "b"\n"c" if "d"; }', "missing-semicolon", 1, 21),
    ('resource R { "a" if "b" "c"; }', "syntax", 1, 25),
    ('resource R { roles = ["a"; "b"]; }', "syntax", 1, 26),
    ("resource R { relations = { a: B; c: D }; }", "syntax", 1, 32),
    ("resource R { roles = { a }; }", "syntax", 1, 22),
    ('resource R { "a" if "b" on c; }', "syntax", 1, 28),
    ('\nresource R {\n  roles = ["a"];\n', "unclosed-block", 2, 1),
    # Tests
    ('test "a" { }', "no-assertions", 1, 1),
    ('test "a" { setup { p(1); } }', "no-assertions", 1, 1),
    ('test "a" { assrt p(1); }', "unknown-statement", 1, 12),
    ('test "a" { p(1); assert p(1); }', "unknown-statement", 1, 12),
    ('test "a" { assert not p(1); }', "misplaced-not", 1, 19),
    ('test "a" { assert p(1) if x = 1; }', "syntax", 1, 24),
    ('test "a" { assert p(1); setup { } }', "misplaced-setup", 1, 25),
    ('test "a" { setup { p(1); assert p(1); }', "unclosed-setup", 1, 26),
    ('test "a" { setup { p(x); } assert p(1); }', "fact-not-ground", 1, 22),
    ('test "a" { setup { p(x: Foo); } assert p(1); }', "fact-not-ground", 1, 22),
    ("test fixture f { p(@current_unix_time); }", "fact-not-ground", 1, 20),
    ("test a { assert p(1); }", "syntax", 1, 6),
    # Values
    ('p(Foo{""});', "entity-id", 1, 3),
    ("p(Foo{3});", "entity-id", 1, 3),
    ('p(Integer{"3"});', "wrong-literal-type", 1, 3),
    ("p(Integer{true});", "wrong-literal-type", 1, 3),
    ("p(Boolean{1});", "wrong-literal-type", 1, 3),
    ("p(String{1});", "wrong-literal-type", 1, 3),
    ("p(1.5);", "no-floats", 1, 3),
    ("p(-.5);", "no-floats", 1, 3),
    ("p(1e5);", "no-floats", 1, 3),
    ("p(0x1F);", "bad-number", 1, 3),
    ("p(1_000);", "bad-number", 1, 3),
    ("p(12abc);", "bad-number", 1, 3),
    ("p(9223372036854775808);", "integer-out-of-range", 1, 3),
    ("p(-9223372036854775809);", "integer-out-of-range", 1, 3),
    (f"p({'9' * 100_000});", "integer-out-of-range", 1, 3),
    ("p(@now);", "unknown-constant", 1, 3),
    ("@flag p(1);", "unknown-constant", 1, 1),
    ('p("abc);\nq(1);', "unterminated-string", 1, 3),
    ('p("abc\\\n");', "unterminated-string", 1, 3),
    # What cannot be seen
    ("\ufeffp(1);", "invisible-character", 1, 1),
    ("p(a\u200bb);", "invisible-character", 1, 4),
    ('p("a\u202eb");', "invisible-character", 1, 5),
    ("# a\u2066b", "invisible-character", 1, 4),
    ("p(1);\n# a\rq(2);\n", "invisible-character", 2, 4),
    ("p(1);\x0c", "invisible-character", 1, 6),
    ('p("\x00");', "invisible-character", 1, 4),
    ('p("\u2028");', "invisible-character", 1, 4),
    ("p(a\u3164);", "invisible-character", 1, 4),
    ("p(a\ufe0f);", "invisible-character", 1, 4),
    ("p(1,\u00a02);", "invisible-character", 1, 5),
    ('p("\ud800");', "invisible-character", 1, 4),
]


@pytest.mark.parametrize(("text", "code", "line", "column"), MISTAKES)
def test_one_mistake_is_one_problem_at_its_place(
    text: str, code: str, line: int, column: int
) -> None:
    assert places(text) == [(code, line, column)]


@pytest.mark.parametrize("text", [text for text, *_ in MISTAKES])
def test_a_problem_says_what_to_do_in_words_of_the_language(text: str) -> None:
    (problem,) = parse("policy.polar", text).problems

    assert problem.severity is Severity.ERROR
    assert problem.message.endswith(".")
    for internal in ("_LBRACE", "LPAR", "RPAR", "SEMI", "$END", "CMP", "NAME", "FOREIGN"):
        assert internal not in problem.message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("p(x) if q(x) has_role(x);", "Expected `;`, `and` or `or`, found `has_role`."),
        ('resource R { "a" if "b" "c"; }', 'Expected `;`, `and`, `or` or `on`, found `"c"`.'),
        ("p(x) if q(x,);", "Expected a value or a name, found `)`."),
        ("actor", "Expected a name, found the end."),
        ("== 3;", "Write `=` to compare."),
        (",", "Expected a rule, a fact or a block, found `,`."),
    ],
)
def test_a_plain_syntax_error_names_what_may_stand_there(text: str, sentence: str) -> None:
    (problem,) = parse("policy.polar", text).problems

    assert problem.message == sentence


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("resouce Foo { }", "Did you mean `resource`?"),
        ("actr Foo { }", "Did you mean `actor`?"),
        ('resource R { role = ["a"]; }', "Did you mean `roles`?"),
        ('test "a" { asert p(1); }', "Did you mean `assert`?"),
    ],
)
def test_a_misspelt_word_is_met_with_the_right_one(text: str, hint: str) -> None:
    (problem,) = parse("policy.polar", text).problems

    assert problem.hint == hint


def test_a_problem_carries_the_text_that_is_wrong() -> None:
    (problem,) = parse("policy.polar", "p(x) if x == 3;").problems

    assert problem.text == "=="
    assert problem.span == Span("policy.polar", 1, 11, 1, 13)


def test_a_message_stays_short_however_long_the_word() -> None:
    for text in (f"actor {'x' * 10_000};", f"p(x) {'x' * 10_000};", f"p({'x' * 10_000}"):
        (problem,) = parse("policy.polar", text).problems

        assert len(problem.message) < 200


def test_a_meaningless_backslash_is_a_warning_and_the_character_stands() -> None:
    parsed = parse("policy.polar", r'p("a\qb");')

    (warning,) = parsed.problems
    assert (place(warning), warning.severity) == (("meaningless-escape", 1, 5), Severity.WARNING)
    (rule,) = parsed.module.items
    assert isinstance(rule, syntax.Rule)
    assert isinstance(rule.parameters[0].term, syntax.Literal)
    assert rule.parameters[0].term.value == "aqb"


def test_bytes_are_read_as_utf_8_and_anything_else_is_refused_where_it_starts() -> None:
    assert parse("policy.polar", 'p("é");'.encode()).problems == ()

    parsed = parse("policy.polar", 'p(1);\n# é\np("é'.encode() + b'\xff");')

    assert [place(problem) for problem in parsed.problems] == [("not-utf8", 3, 5)]


# Several mistakes


def test_every_broken_item_gives_its_own_problem_and_the_others_parse() -> None:
    parsed = parse(
        "policy.polar",
        """p(x) if x == 3;
good(1);
resouce Foo { roles = ["a"]; }
q(x) if r(x)
good(2);
actor A {
s(x) if x := 3;
actor B {}
test "t" { assert good(1) }
declare t(Foo)
good(3);
""",
    )

    assert [place(problem) for problem in parsed.problems] == [
        ("no-double-equals", 1, 11),
        ("unknown-item", 3, 1),
        ("missing-semicolon", 4, 12),
        ("rule-in-block", 7, 1),
        ("missing-semicolon", 9, 25),
        ("missing-semicolon", 10, 14),
    ]
    assert predicates(parsed.module.items) == ["good", "good", "good"]


def test_every_broken_statement_of_a_block_gives_its_own_problem() -> None:
    text = """resource R {
  role = ["a"];
  "a" if not "b";
  "c" if "d";
  relations = { a: B; c: D };
  "e" if x == 3;
}
test "t" {
  setup { p(x); q(Foo{""}); }
  assert p(1) && p(2);
  asert p(1);
}
"""

    assert places(text) == [
        ("unknown-declaration", 2, 3),
        ("shorthand-too-rich", 3, 10),
        ("syntax", 5, 21),
        ("no-double-equals", 6, 12),
        ("fact-not-ground", 9, 13),
        ("entity-id", 9, 19),
        ("no-symbol-operators", 10, 15),
        ("unknown-statement", 11, 3),
    ]


def test_a_block_with_a_broken_statement_is_left_out_whole() -> None:
    parsed = parse("policy.polar", 'resource R { roles = ["a"]; "a" if not "b"; }')

    assert parsed.module.items == ()


def test_an_unclosed_block_does_not_swallow_the_next() -> None:
    parsed = parse("policy.polar", 'actor A {\n  roles = ["a"];\nactor B {}\nglobal {}')

    assert [place(problem) for problem in parsed.problems] == [("unclosed-block", 1, 1)]
    assert "opened at line 1" in parsed.problems[0].message
    assert len(parsed.module.items) == 2


def test_a_string_left_open_costs_only_its_own_statement() -> None:
    parsed = parse("policy.polar", 'p(x) if q("a, x);\nr(1);\ntest "t" {\n assert p("x);\n}\ns(1);')

    assert [place(problem) for problem in parsed.problems] == [
        ("unterminated-string", 1, 11),
        ("unterminated-string", 4, 11),
    ]
    assert predicates(parsed.module.items) == ["r", "s"]


def test_only_the_first_invisible_character_of_a_line_is_reported() -> None:
    assert places("# \u200b\u200b \u200b\n# \u200b") == [
        ("invisible-character", 1, 3),
        ("invisible-character", 2, 3),
    ]
