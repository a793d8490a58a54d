"""What a policy may say with the words that the gateway supplies."""

from __future__ import annotations

import pytest

from policies.dialect import read_policy
from policies.polar.source import PolicyError, Problem

BASE = """actor Client {}
resource Server {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
"""


def problems(rule: str) -> list[Problem]:
    """Return everything said about *rule*, which stands on line 4."""
    try:
        return list(read_policy({"p.polar": BASE + rule}).warnings)
    except PolicyError as error:
        return list(error.problems)


def limited(condition: str) -> str:
    return f'allow(c: Client, "call", t: Tool) if has_permission(c, "call", t) and {condition};'


@pytest.mark.parametrize(
    ("condition", "code", "says"),
    [
        ('not argument(t, "k", "v")', "negated-test", "name the values that are allowed"),
        ('not argument_matches(t, "k", "v")', "negated-test", "`argument_not_matches`"),
        ('not argument_under(t, "k", "/v")', "negated-test", "`argument_not_under`"),
        ('not argument_host(t, "k", "a.example")', "negated-test", "`argument_not_host`"),
        ('not argument_not_host(t, "k", "a.example")', "negated-test", "write `argument_host`"),
        ('argument_matches(t, "u", "https://*.example/**")', "bad-pattern", "use argument_host"),
        ('argument_under(t, "p", "srv")', "bad-pattern", "absolute"),
        ('argument_host(t, "u", "a.example:80")', "bad-pattern", "host"),
        ('argument_present(t, "/a~2b")', "bad-key", "~"),
        ("k matches String and words(k) and argument_present(t, k)", "variable-key", "as a string"),
        ('h matches String and argument_host(t, "u", h)', "unbound-pattern", "stored fact"),
        ('argument_host(t, "u", 5)', "type-conflict", "can never hold"),
        ('argument_matches(t, "k", "report?")', "literal-character", "stand for themselves"),
        ('argument_matches(t, "k", "[abc]*")', "literal-character", "stand for themselves"),
        ("not is_suspnded(c)", "unknown-fact", "no test states one"),
    ],
)
def test_a_condition_that_cannot_mean_what_it_says_is_told(
    condition: str, code: str, says: str
) -> None:
    found = problems(limited(condition))

    assert code in [problem.code for problem in found]
    assert any(says in problem.message for problem in found)
    assert {problem.span.line for problem in found} == {4}


@pytest.mark.parametrize(
    "condition",
    [
        'not argument_present(t, "k")',
        'argument_not_under(t, "k", "/v")',
        'h matches String and allowed(t, h) and argument_host(t, "u", h)',
        'argument(t, "n", n) and n <= 3',
        'argument_matches(t, "u", "https://a.example/search?q=*")',
        "not is_suspended(c)",
    ],
)
def test_a_sound_condition_is_not_remarked_on(condition: str) -> None:
    assert problems(limited(condition)) == []


def test_a_pattern_may_not_come_through_the_head_of_a_rule() -> None:
    rule = 'fits(t: Tool, h: String) if argument_host(t, "u", h);' + limited('fits(t, "a.example")')

    assert [problem.code for problem in problems(rule)] == ["unbound-pattern"]


def test_a_pattern_may_not_come_from_a_rule() -> None:
    rule = (
        'good(t: Tool, "a.example") if has_tag(t, "a");'
        'good(t: Tool, "b.example") if has_tag(t, "b");'
        + limited('good(t, h) and argument_host(t, "u", h)')
    )

    assert [problem.code for problem in problems(rule)] == ["unbound-pattern"]


def test_an_action_that_is_never_asked_is_told_with_the_one_that_was_meant() -> None:
    found = problems('allow(c: Client, "cal", t: Tool) if has_role(c, "caller", t);')

    assert [(problem.code, problem.hint) for problem in found] == [
        ("unknown-action", "Did you mean `call`?")
    ]


def test_what_the_gateway_supplies_cannot_be_defined() -> None:
    found = problems('argument(t: Tool, "k", "v") if has_tag(t, "x");')

    assert [problem.code for problem in found] == ["reserved-name"]


def test_a_name_of_the_derived_rules_cannot_be_used() -> None:
    found = problems('possible_allow(c: Client, "call", t: Tool) if has_role(c, "caller", t);')

    assert [problem.code for problem in found] == ["reserved-name"]


def test_what_is_wrong_at_every_stage_is_told_at_once_and_nothing_twice() -> None:
    files: dict[str, str | bytes] = {
        "types.polar": "actor Client {}\n"
        'resource Tool { roles = ["caller"]; permissions = ["call"];\n'
        'relations = { owner: Persn };\n"call" if "callr";\n"caller" if "caller" on "owner";\n}\n',
        "rules.polar": 'allow(c: Client "call", t: Tool) if x(c);\n'
        "helper(t: Tol) if x(t);\n"
        + limited('not argument_host(t, "u", "a.b")')
        + "\n"
        + limited("not (x(t) and y(t))")
        + "\n"
        'test "t" { assert helper(Tool{"t"}); }\n',
    }

    with pytest.raises(PolicyError) as caught:
        read_policy(files)

    assert [(one.span.file, one.span.line, one.code) for one in caught.value.problems] == [
        ("rules.polar", 1, "syntax"),
        ("rules.polar", 2, "undeclared-type"),
        ("rules.polar", 3, "negated-test"),
        ("rules.polar", 4, "not-portable"),
        ("types.polar", 3, "undeclared-type"),
        ("types.polar", 4, "undeclared-word"),
    ]
