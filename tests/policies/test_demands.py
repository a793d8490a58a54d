"""A policy publishes what it asks of a call, and the gateway runs exactly that."""

from __future__ import annotations

from policies.demands import Demands
from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Entity, Fact

POLICY = """
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; }
resource Prompt { permissions = ["get"]; }
declare allowed_host(Tool, String);
declare safe_word(String);
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and allowed_host(t, h) and argument_host(t, "url", h);
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and argument(t, "amount", n) and n <= 10
  and argument_not_under(t, "/file/path", "/etc");
has_permission(c: Client, "call", Tool{"say"}) if
  has_role(c, "caller", Tool{"say"}) and safe_word(w) and argument_matches(Tool{"say"}, "word", w)
  and hour_of_day("Europe/Berlin", hour) and hour >= 9;
has_permission(c: Client, "get", p: Prompt) if
  claim(c, "plan", "gold") and not argument_present(p, "raw");
"""

PROGRAM = read_policy({"p.polar": POLICY})
DEMANDS = Demands.of(PROGRAM)
FETCH, SAY, REVIEW = Entity("Tool", "fetch"), Entity("Tool", "say"), Entity("Prompt", "review")


def call_facts(
    resource: Entity, arguments: dict[str, object], *stored: Fact
) -> set[tuple[str, ...]]:
    tests = DEMANDS.call_tests(resource, FactSet.of("stored", stored))
    facts = tests.wanted(tests.outcomes(resource, arguments))
    for fact in facts:
        PROGRAM.schema.check(fact)
    return {(fact.predicate, *map(str, fact.args[1:])) for fact in facts}


def test_only_the_tests_that_rules_ask_for_are_run() -> None:
    assert call_facts(FETCH, {"amount": 3, "other": 4, "url": "https://a.example/"}) == {
        ("argument", "amount", "3")
    }


def test_a_pattern_that_a_fact_brings_is_run_for_the_tool_the_fact_names() -> None:
    arguments: dict[str, object] = {"url": "https://docs.a.example/x"}
    mine = Fact("allowed_host", (FETCH, "*.a.example"))
    other = Fact("allowed_host", (SAY, "docs.a.example"))

    assert call_facts(FETCH, arguments, mine, other) == {("argument_host", "url", "*.a.example")}


def test_a_pattern_of_a_fact_that_names_no_tool_is_run_for_all() -> None:
    found = call_facts(SAY, {"word": "peace"}, Fact("safe_word", ("pea*",)))

    assert found == {("argument_matches", "word", "pea*")}


def test_only_the_polarity_that_a_rule_asks_for_is_supplied() -> None:
    assert call_facts(FETCH, {"file": {"path": "/srv/x"}}) == {
        ("argument_not_under", "/file/path", "/etc")
    }
    assert call_facts(FETCH, {"file": {"path": "/etc/passwd"}}) == set()


def test_a_rule_about_one_tool_asks_nothing_of_another() -> None:
    assert "word" not in DEMANDS.keys(FETCH)
    assert DEMANDS.keys(SAY) == ["/file/path", "amount", "url", "word"]
    assert DEMANDS.keys(REVIEW) == ["raw"]


def test_other_facts_are_named_by_what_the_text_mentions() -> None:
    assert DEMANDS.named["claim"] == {1: frozenset({"plan"}), 2: frozenset({"gold"})}
    assert DEMANDS.named["hour_of_day"] == {0: frozenset({"Europe/Berlin"})}


def test_the_worst_case_counts_tests_once_and_names_what_facts_add() -> None:
    count, grows_with = DEMANDS.worst_case(FETCH)

    assert count == 2 + len(DEMANDS.named)
    assert grows_with == ["allowed_host"]


def test_a_policy_without_argument_rules_asks_for_nothing() -> None:
    plain = Demands.of(
        read_policy({"p.polar": 'actor Client {} resource Tool { permissions = ["call"]; }'})
    )

    assert plain.call_tests(FETCH, FactSet()).tests == ()
    assert plain.worst_case(FETCH) == (0, [])
