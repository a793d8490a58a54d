"""The tests to run on each call of one resource, and what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.arguments import COMPLEMENTS, ArgumentTest
from policies.demands import CallTests, Demands
from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Entity, Fact

POLICY = """
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; }
resource Prompt { permissions = ["get"]; }
declare allowed_host(Tool, String);
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and allowed_host(t, h) and argument_host(t, "url", h);
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and argument(t, "amount", n) and n <= 10
  and argument_not_under(t, "path", "/etc") and argument_matches(t, "word", "a*");
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and argument_not_matches(t, "word", "a*")
  and argument_under(t, "/deep/path", "/srv") and not argument_present(t, "force");
has_permission(_: Client, "get", p: Prompt) if argument(p, "topic", "news");
"""
PROGRAM = read_policy({"p.polar": POLICY})
DEMANDS = Demands.of(PROGRAM)

FETCH, PUSH = Entity("Tool", "web__fetch"), Entity("Tool", "git__push")
REVIEW = Entity("Prompt", "web__review")
FACTS = FactSet.of(
    "stored",
    [
        Fact("allowed_host", (FETCH, "*.a.example")),
        Fact("allowed_host", (FETCH, "b.example")),
        Fact("allowed_host", (PUSH, "git.example")),
    ],
)
TESTS = DEMANDS.call_tests(FETCH, FACTS)

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-20, 20),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(
            ["abc", "xyz", "/etc/passwd", "/srv/a", "/srv/../a", "https://x.a.example/",
             "https://b.example", "https://evil.test/", "https://u@b.example/", ""]
        ),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("url", "amount", "path", "word", "force", "other"), VALUES),
        "deep": st.one_of(VALUES, st.fixed_dictionaries({}, optional={"path": VALUES})),
    },
)


def test_each_test_is_run_once_and_names_what_passes() -> None:
    assert set(TESTS.tests) == {
        ArgumentTest("argument_host", "url", "*.a.example"),
        ArgumentTest("argument_host", "url", "b.example"),
        ArgumentTest("argument", "amount"),
        ArgumentTest("argument_under", "path", "/etc"),
        ArgumentTest("argument_matches", "word", "a*"),
        ArgumentTest("argument_under", "/deep/path", "/srv"),
        ArgumentTest("argument_present", "force"),
    }
    assert len(TESTS.tests) == len(set(TESTS.tests))


def test_the_keys_are_those_that_the_tests_read() -> None:
    assert list(TESTS.keys) == sorted({test.key for test in TESTS.tests})


def test_facts_about_another_resource_bring_no_test() -> None:
    patterns = {test.pattern for test in DEMANDS.call_tests(PUSH, FACTS).tests}

    assert "git.example" in patterns
    assert "b.example" not in patterns
    assert DEMANDS.call_tests(REVIEW, FACTS).tests == (ArgumentTest("argument", "topic"),)


def test_a_resource_that_no_rule_limits_has_no_tests() -> None:
    server = DEMANDS.call_tests(Entity("Server", "web"), FACTS)

    assert server == CallTests((), frozenset(), ())
    assert server.outcomes(Entity("Server", "web"), {"url": "x"}) == []


@pytest.mark.parametrize(
    ("arguments", "said", "wanted"),
    [
        ({"word": "abc"}, {"argument_matches"}, {"argument_matches"}),
        ({"word": "xyz"}, {"argument_not_matches"}, {"argument_not_matches"}),
        ({"word": "a\n"}, set(), set()),
        ({"path": "/etc/x"}, {"argument_under"}, set()),
        ({"path": "/home/x"}, {"argument_not_under"}, {"argument_not_under"}),
        ({"path": "/etc/../x"}, set(), set()),
        ({"deep": {"path": "/var/x"}}, {"argument_not_under"}, set()),
        ({"deep": {"path": "/srv/x"}}, {"argument_under"}, {"argument_under"}),
        ({"url": "https://evil.test/"}, {"argument_not_host"}, set()),
        ({"url": "https://b.example/"}, {"argument_host", "argument_not_host"}, {"argument_host"}),
        ({"force": None}, {"argument_present"}, {"argument_present"}),
        ({"amount": 1.0}, set(), set()),
        ({"amount": 3, "other": 1}, {"argument"}, {"argument"}),
        ({}, set(), set()),
    ],
)
def test_what_tests_say_is_kept_and_what_no_rule_asks_for_is_not_supplied(
    arguments: dict[str, object], said: set[str], wanted: set[str]
) -> None:
    outcomes = TESTS.outcomes(FETCH, arguments)

    assert {fact.predicate for fact in outcomes if fact is not None} == said
    assert {fact.predicate for fact in TESTS.wanted(outcomes)} == wanted


@given(ARGUMENTS)
def test_what_is_wanted_was_said_and_is_accepted(
    arguments: dict[str, object],
) -> None:
    outcomes = TESTS.outcomes(FETCH, arguments)
    wanted = TESTS.wanted(outcomes)

    assert set(wanted) <= {fact for fact in outcomes if fact is not None}
    for fact in wanted:
        PROGRAM.schema.check(fact)


@given(ARGUMENTS)
def test_a_test_says_itself_or_its_opposite_or_nothing(arguments: dict[str, object]) -> None:
    outcomes = TESTS.outcomes(FETCH, arguments)

    for test, fact in zip(TESTS.tests, outcomes, strict=True):
        if fact is not None:
            assert fact.predicate in (test.predicate, COMPLEMENTS.get(test.predicate))
            assert fact.args[:2] == (FETCH, test.key)
            assert test.pattern is None or fact.args[2] == test.pattern


@given(ARGUMENTS)
def test_what_no_test_reads_changes_nothing(arguments: dict[str, object]) -> None:
    more = {**arguments, "unread": "/etc/passwd", "URL2": "https://b.example/"}

    assert TESTS.outcomes(FETCH, more) == TESTS.outcomes(FETCH, arguments)


def test_the_order_of_tests_is_the_same_in_every_process() -> None:
    program = (
        "from tests.policies.test_call_tests import TESTS\n"
        "print(*map(repr, TESTS.tests), sep='\\n')"
    )
    orders = {
        subprocess.run(  # noqa: S603  this interpreter and the text above
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert orders == {("\n".join(map(repr, TESTS.tests)) + "\n").encode()}
