"""The syntax of policy files: every form, and what is said about everything else."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

from policies.model import Entity
from policies.polar import syntax
from policies.polar.parser import MAX_NESTING, parse, parse_facts, parse_goal
from policies.polar.source import PolicyError, Problem, Severity, Span


def item(text: str) -> syntax.Item:
    parsed = parse("policy.polar", text)
    assert parsed.problems == ()
    assert len(parsed.module.items) == 1
    return parsed.module.items[0]


def body(text: str) -> object:
    rule = item(f"p(x) if {text};")
    assert isinstance(rule, syntax.Rule)
    return plain(rule.body)


def block(text: str) -> syntax.Block:
    found = item(text)
    assert isinstance(found, syntax.Block)
    return found


def plain(node: object) -> object:
    """Return a node as nested tuples that start with its class name and leave out places."""
    if isinstance(node, tuple) and not isinstance(node, (Entity, Span)):
        return tuple(map(plain, node))
    if not is_dataclass(node):
        return node
    values = (getattr(node, field.name) for field in fields(node) if field.name != "span")
    return (type(node).__name__, *map(plain, values))


def place(problem: Problem) -> tuple[str, int, int]:
    return problem.code, problem.span.line, problem.span.column


def places(text: str) -> list[tuple[str, int, int]]:
    return [place(problem) for problem in parse("policy.polar", text).problems]


def variable(name: str) -> tuple[str, str]:
    return ("Variable", name)


def literal(value: object) -> tuple[str, object]:
    return ("Literal", value)


X = variable("x")


# Rules


def test_a_rule_has_a_head_of_typed_and_plain_parameters_and_a_body() -> None:
    rule = item('allow(c: Client, "call", tool) if granted(c, tool);')

    assert plain(rule) == (
        "Rule",
        "allow",
        (
            ("Parameter", variable("c"), "Client"),
            ("Parameter", literal("call"), None),
            ("Parameter", variable("tool"), None),
        ),
        ("Call", "granted", (variable("c"), variable("tool"))),
        False,
    )


def test_a_rule_without_a_body_is_a_fact_of_the_policy() -> None:
    rule = item("open();")

    assert isinstance(rule, syntax.Rule)
    assert (rule.parameters, rule.body) == ((), None)


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
def test_a_comparison_keeps_its_operator(operator: str) -> None:
    assert body(f"x {operator} 3") == ("Compare", operator, X, literal(3))


def test_in_takes_a_list_of_options() -> None:
    assert body('x in ["a", 2, y]') == (
        "Member",
        X,
        (literal("a"), literal(2), variable("y")),
    )


def test_matches_takes_a_variable_and_a_type() -> None:
    assert body("x matches Client") == ("Matches", X, "Client")


@pytest.mark.parametrize(("word", "value"), [("true", True), ("false", False)])
def test_a_boolean_may_be_a_condition_or_a_value(word: str, value: object) -> None:
    assert body(word) == ("Truth", value)
    assert body(f"x = {word}") == ("Compare", "=", X, literal(value))
    assert body(f"{word} = x") == ("Compare", "=", literal(value), X)


def test_the_current_time_is_a_term() -> None:
    assert body("x < @current_unix_time") == ("Compare", "<", X, ("Now",))


def test_chains_flatten_and_or_binds_loosest_and_not_binds_tighter_than_and() -> None:
    a, b, c, d = (("Call", name, ()) for name in "abcd")

    assert body("a() and b() and c()") == ("And", (a, b, c))
    assert body("a() or b() or c()") == ("Or", (a, b, c))
    assert body("a() or b() and not c() or d()") == ("Or", (a, ("And", (b, ("Not", c))), d))
    assert body("(a() or b()) and c()") == ("And", (("Or", (a, b)), c))


def test_not_takes_a_whole_comparison() -> None:
    assert body("not x = 3") == ("Not", ("Compare", "=", X, literal(3)))
    assert body('not x in ["a"]') == ("Not", ("Member", X, (literal("a"),)))
    assert body("not not a()") == ("Not", ("Not", ("Call", "a", ())))


@pytest.mark.parametrize("name", ["role", "permission", "resource", "actor"])
def test_words_of_blocks_are_names_of_variables_elsewhere(name: str) -> None:
    assert body(f"x = {name}") == ("Compare", "=", X, variable(name))
    rule = item(f"p({name}: Client) if q({name});")
    assert isinstance(rule, syntax.Rule)
    assert plain(rule.parameters) == (("Parameter", variable(name), "Client"),)


@pytest.mark.parametrize("name", ["role", "permission"])
def test_role_and_permission_may_name_predicates(name: str) -> None:
    assert body(f"{name}(x)") == ("Call", name, (X,))


# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Client{"ci"}', Entity("Client", "ci")),
        ('a::B{"x y"}', Entity("a::B", "x y")),
        ('String{"x"}', "x"),
        ('String{""}', ""),
        ("Integer{-3}", -3),
        ("Boolean{true}", True),
        ('"a\\"b\\\\c\\n\\t\\r"', 'a"b\\c\n\t\r'),
        ('"# no comment"', "# no comment"),
        ("+7", 7),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_a_literal_stands_for_its_value(text: str, value: object) -> None:
    assert body(f"x = {text}") == ("Compare", "=", X, literal(value))


@pytest.mark.parametrize("name", ["größe", "_x", "x1", "ns::name", "ok?", "🦊", "❤\ufe0f", "名前"])
def test_names_may_hold_any_visible_letters(name: str) -> None:
    assert body(f"x = {name}") == ("Compare", "=", X, variable(name))


def test_each_anonymous_variable_is_kept_apart_by_its_place() -> None:
    rule = item("p(_, _);")

    assert isinstance(rule, syntax.Rule)
    assert [parameter.span.column for parameter in rule.parameters] == [3, 6]


# Blocks


def test_a_block_holds_declarations_in_any_order_and_shorthand_rules() -> None:
    found = block(
        """resource Tool extends Thing, Other, {
          "call" if "caller";
          relations = { server: Server, role: Client, };
          permissions = ["call", "list",];
          roles = [];
        }"""
    )

    assert (found.kind, found.type) == ("resource", "Tool")
    assert [word.text for word in found.extends] == ["Thing", "Other"]
    assert found.roles == ()
    assert [word.text for word in found.permissions or ()] == ["call", "list"]
    assert [(r.name, r.type) for r in found.relations or ()] == [
        ("server", "Server"),
        ("role", "Client"),
    ]
    assert plain(found.shorthands) == (("Shorthand", ("Word", "call"), reference("caller"), False),)


def reference(word: str, *, quantified: bool = False, globally: bool = False) -> object:
    return ("Reference", word, quantified, None, False, globally)


def test_what_a_block_does_not_declare_is_none() -> None:
    found = block("actor Client {}")

    assert (found.roles, found.permissions, found.relations) == (None, None, None)
    assert found.span == Span("policy.polar", 1, 1, 1, 13)


def test_a_global_block_has_no_type() -> None:
    found = block('global { roles = ["admin"]; }')

    assert (found.kind, found.type) == ("global", "")
    assert found.span == Span("policy.polar", 1, 1, 1, 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"r"', reference("r")),
        ('global "r"', reference("r", globally=True)),
        ('"r" on "rel"', ("Reference", "r", False, ("Word", "rel"), False, False)),
        ('"own" on resource', ("Reference", "own", False, ("Word", "resource"), True, False)),
        ('role on "rel"', ("Reference", "role", True, ("Word", "rel"), False, False)),
        ("permission", reference("permission", quantified=True)),
        ("open(resource)", ("Call", "open", (variable("resource"),))),
        ('"a" or "b" and "c"', (
            "AnyOf",
            (reference("a"), ("AllOf", (reference("b"), reference("c")))),
        )),
        ('("a" or "b") and "c"', (
            "AllOf",
            (("AnyOf", (reference("a"), reference("b"))), reference("c")),
        )),
    ],
)  # fmt: skip
def test_a_shorthand_body_is(text: str, expected: object) -> None:
    found = block(f'resource R {{ "x" if {text}; }}')

    assert plain(found.shorthands[0].body) == expected


@pytest.mark.parametrize("word", ["role", "permission"])
def test_an_unquoted_shorthand_head_speaks_of_every_word(word: str) -> None:
    shorthand = block(f'resource R {{ {word} if {word} on "parent"; }}').shorthands[0]

    assert (shorthand.head.text, shorthand.quantified) == (word, True)


# Schemas and tests


def test_declarations_and_rule_types() -> None:
    assert plain(item("declare has_tag(Tool, String);")) == (
        "Declare",
        "has_tag",
        (("Word", "Tool"), ("Word", "String")),
    )
    assert plain(item("type allow(a: Actor, String);")) == (
        "RuleType",
        "allow",
        (("Parameter", variable("a"), "Actor"), ("Parameter", variable("String"), None)),
    )


def test_a_fixture_holds_facts() -> None:
    fixture = item('test fixture people { has_role(User{"a"}, "admin"); level(3); }')

    assert isinstance(fixture, syntax.Fixture)
    assert fixture.name == "people"
    assert [fact.predicate for fact in fixture.facts] == ["has_role", "level"]


def test_a_test_holds_a_setup_and_assertions_of_three_forms() -> None:
    test = item(
        """test "who" {
          setup { fixture people; on_duty(User{"a"}); }
          assert allow(User{"a"}, "x");
          assert_not allow(User{"b"}, "x");
          assert allow(u: User, "x") iff u in [User{"a"}];
        }"""
    )

    assert isinstance(test, syntax.PolicyTest)
    assert test.name == "who"
    assert [type(part).__name__ for part in test.setup] == ["FixtureUse", "Call"]
    assert [assertion.negated for assertion in test.assertions] == [False, True, False]
    assert plain(test.assertions[2].iff) == (
        "Member",
        variable("u"),
        (literal(Entity("User", "a")),),
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "   \t\r\n"])
def test_a_file_without_items_is_a_policy(text: str) -> None:
    parsed = parse("policy.polar", text)

    assert (parsed.module.items, parsed.problems) == ((), ())


# Places


def test_a_node_knows_where_it_starts_and_ends() -> None:
    rule = item('# one\n  p(x) if\r\n\tq(x, Client{"é🦊"})\n  and not r(x);')

    assert isinstance(rule, syntax.Rule)
    assert isinstance(rule.body, syntax.And)
    call, negation = rule.body.parts
    assert isinstance(call, syntax.Call)
    assert rule.span == Span("policy.polar", 2, 3, 4, 16)
    assert call.span == Span("policy.polar", 3, 2, 3, 20)
    assert call.args[1].span == Span("policy.polar", 3, 7, 3, 19)
    assert negation.span == Span("policy.polar", 4, 7, 4, 15)


# What is wrong: (text, code, line, column)

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


def test_a_meaningless_backslash_is_a_warning_and_the_character_stands() -> None:
    parsed = parse("policy.polar", r'p("a\qb");')

    (warning,) = parsed.problems
    assert (place(warning), warning.severity) == (("meaningless-escape", 1, 5), Severity.WARNING)
    (rule,) = parsed.module.items
    assert isinstance(rule, syntax.Rule)
    assert plain(rule.parameters[0].term) == literal("aqb")


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
    assert [plain(found)[1] for found in parsed.module.items] == ["good", "good", "actor", "good"]


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
    assert [plain(found)[1] for found in parsed.module.items] == ["r", "s"]


def test_only_the_first_invisible_character_of_a_line_is_reported() -> None:
    assert places("# \u200b\u200b \u200b\n# \u200b") == [
        ("invisible-character", 1, 3),
        ("invisible-character", 2, 3),
    ]


# Depth


def nested(levels: int, left: str = "(", right: str = ")") -> str:
    return f"p(x) if {left * levels}q(x){right * levels};"


def test_nesting_has_a_limit_with_a_problem_of_its_own() -> None:
    assert parse("policy.polar", nested(MAX_NESTING - 1)).problems == ()
    assert places(nested(MAX_NESTING + 1)) == [("too-deep", 1, 9 + MAX_NESTING)]
    assert places(nested(100_000)) == [("too-deep", 1, 9 + MAX_NESTING)]


@pytest.mark.parametrize(
    ("left", "right"), [("not ", ""), ("not (", ")"), ("(a() and not (", "))")]
)
def test_every_way_to_nest_is_limited(left: str, right: str) -> None:
    assert [code for code, *_ in places(nested(100_000, left, right))] == ["too-deep"]


def test_a_chain_may_be_long_because_it_is_not_deep() -> None:
    parsed = parse("policy.polar", f"p(x) if {'q(x) and not r(x) or ' * 5_000}s(x);")

    assert parsed.problems == ()


# Queries and files of facts


def test_a_query_is_a_head_with_or_without_a_semicolon() -> None:
    predicate, parameters = parse_goal('allow(Client{"ci"}, action: String, tool)')

    assert predicate == "allow"
    assert plain(parameters) == (
        ("Parameter", literal(Entity("Client", "ci")), None),
        ("Parameter", variable("action"), "String"),
        ("Parameter", variable("tool"), None),
    )
    assert parse_goal("open();") == ("open", ())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "syntax"),
        ("allow(x) allow(y)", "syntax"),
        ("allow(x); allow(y);", "syntax"),
        ("allow(x) if p(x);", "syntax"),
        ("allow(x == 3)", "no-double-equals"),
        ("allow(1.5)", "no-floats"),
        ("actor A {}", "syntax"),
    ],
)
def test_anything_but_one_query_is_refused(text: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_goal(text)

    assert [problem.code for problem in caught.value.problems] == [code]
    assert caught.value.problems[0].span.file == "<query>"


def test_a_file_of_facts_holds_ground_facts_only() -> None:
    parsed = parse_facts(
        "facts.polar",
        'has_role(Client{"ci"}, "caller", Server{"github"});\n'
        "p(x);\nq(1) if r(1);\nactor A {}\nlevel(3);\nr(x: Foo);\n",
    )

    assert [fact.predicate for fact in parsed.facts] == ["has_role", "level"]
    assert [place(problem) for problem in parsed.problems] == [
        ("fact-not-ground", 2, 3),
        ("syntax", 3, 6),
        ("syntax", 4, 1),
        ("fact-not-ground", 6, 3),
    ]
