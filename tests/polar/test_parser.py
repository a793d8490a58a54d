"""The syntax of policy files: every form, its tree and its places."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from policies.model import Entity
from policies.polar import syntax
from policies.polar.parser import MAX_NESTING, parse, parse_facts, parse_goal
from policies.polar.source import PolicyError, Problem, Span


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


def plain(node: object) -> Any:  # noqa: ANN401 - as deep as the tree is
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
    assert [code for code, *_ in places(nested(20_000, left, right))] == ["too-deep"]


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
