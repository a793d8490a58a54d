"""Which globs have to be stated, and of which ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.bundle import Bundle, load, read_sources
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.matching import matches
from policies.model import Entity, Fact

BASE = """
actor Client {}
resource Server {}
resource Tool { roles = ["caller"]; permissions = ["call"]; }
declare has_role_matching(Client, String, String);
declare watched(Tool, String);
declare hidden(String);
"""
MAY_CALL = 'has_permission(c: Client, "call", t: Tool) if has_role(c, "caller", t)'

CI, SERVER = Entity("Client", "ci"), Entity("Server", "web")
FETCH, PUSH = Entity("Tool", "web__fetch"), Entity("Tool", "git__push")

SHIPPED = load(read_sources([Path(__file__).parents[2] / "policies" / "rules"]), tested=False)


def bundle(*rules: str) -> Bundle:
    return load({"p.polar": BASE + "\n".join(rules)}, tested=False)


def globs(rule: str, *facts: Fact) -> set[str]:
    return set(Grounds(bundle(rule), FactSet.of("stored", facts)).globs)


def granted(glob: str) -> Fact:
    return Fact("has_role_matching", (CI, "caller", glob))


def matched(resource: Entity, *patterns: str) -> list[str]:
    facts = list(matches(resource, patterns))
    assert all(fact == Fact("id_matches", (resource, fact.args[1])) for fact in facts)
    return [str(fact.args[1]) for fact in facts]


def test_a_glob_that_a_rule_names_is_stated() -> None:
    assert globs(f'{MAY_CALL} and id_matches(t, "web__*");') == {"web__*"}


@pytest.mark.parametrize(
    "condition",
    [
        'id_matches(t, g) and g = "web__*"',
        '(id_matches(t, "web__*") or id_matches(t, "web__*"))',
        'id_matches(Tool{"web__fetch"}, "web__*") and id_matches(t, "web__*")',
        'not id_matches(t, "web__*")',
    ],
)
def test_however_a_rule_names_a_glob_it_is_stated(condition: str) -> None:
    assert globs(f"{MAY_CALL} and {condition};") == {"web__*"}


def test_each_glob_that_a_rule_leaves_the_choice_of_is_stated() -> None:
    assert globs(f'{MAY_CALL} and g in ["web__*", "git__*"] and id_matches(t, g);') == {
        "web__*",
        "git__*",
    }


def test_a_glob_that_a_fact_brings_is_stated() -> None:
    rule = f"{MAY_CALL} and has_role_matching(c, role, g) and id_matches(t, g) and role = role;"

    assert globs(rule) == set()
    assert globs(rule, granted("web__*"), granted("git__*")) == {"web__*", "git__*"}


def test_a_glob_that_a_fact_brings_for_one_resource_is_stated() -> None:
    rule = f"{MAY_CALL} and watched(t, g) and id_matches(t, g);"

    assert globs(rule, Fact("watched", (FETCH, "web__*"))) == {"web__*"}


def test_a_glob_that_is_denied_is_stated_too() -> None:
    rule = f"{MAY_CALL} and hidden(g) and not id_matches(t, g);"

    assert globs(rule, Fact("hidden", ("web__*",))) == {"web__*"}


def test_only_facts_that_the_rule_can_meet_bring_globs() -> None:
    rule = f'{MAY_CALL} and has_role_matching(c, "caller", g) and id_matches(t, g);'
    other = Fact("has_role_matching", (CI, "viewer", "git__*"))

    assert globs(rule, granted("web__*"), other) == {"web__*"}
    assert globs(rule, Fact("hidden", ("git__*",))) == set()


def test_the_shipped_policy_states_the_globs_of_grants_and_no_other() -> None:
    grounds = Grounds(SHIPPED, FactSet())
    more = grounds.with_facts(FactSet.of("stored", [granted("web__*"), granted("**")]))

    assert grounds.globs == frozenset()
    assert more.globs == {"web__*", "**"}


def test_a_grant_in_the_text_of_the_policy_brings_its_glob() -> None:
    stated = 'has_role_matching(Client{"ci"}, "caller", "web__*");'
    sources = {**SHIPPED.sources, "mine.polar": stated}

    assert Grounds(load(sources, tested=False), FactSet()).globs == {"web__*"}


@pytest.mark.parametrize(
    ("resource", "holding"),
    [
        (FETCH, ["web__*", "**", "*", "*fetch", "web__fetch"]),
        (PUSH, ["**", "*"]),
        (SERVER, ["**", "*"]),
        (Entity("Tool", "web__fetch_all"), ["web__*", "**", "*"]),
        (Entity("Tool", "WEB__fetch"), ["**", "*", "*fetch"]),
        (Entity("Tool", "my_web__fetch"), ["**", "*", "*fetch"]),
        (Entity("Document", "web|file:///a/b"), ["**", "web|file:///**"]),
        (Entity("Document", "web|file:///a"), ["**", "web|file:///**", "web|file:///*"]),
        (Entity("Tool", "web__fetch\n"), []),
        (Entity("Tool", "web__\x00"), []),
    ],
)
def test_a_glob_holds_of_the_ids_it_matches_as_a_whole(
    resource: Entity, holding: list[str]
) -> None:
    every = ["web__*", "**", "*", "*fetch", "web__fetch", "web|file:///**", "web|file:///*"]

    assert sorted(matched(resource, *every)) == sorted(holding)


def test_three_stars_match_nothing() -> None:
    assert matched(FETCH, "***", "web__***", "a***b") == []


def test_a_grant_by_glob_gives_what_matches_once_that_is_stated() -> None:
    served = [
        fact
        for tool, server in ((FETCH, "web"), (PUSH, "git"))
        for fact in (
            Fact("has_relation", (tool, "server", Entity("Server", server))),
            Fact("definition_state", (tool, "approved")),
        )
    ]
    grounds = Grounds(SHIPPED, FactSet.of("stored", [granted("web__*"), *served]))
    own = grounds.engine.overlay([(Fact("acts_alone", (CI,)), "call")])
    assert not grounds.engine.decide(CI, "call", FETCH, own, 0)

    stated = [fact for tool in (FETCH, PUSH) for fact in matches(tool, grounds.globs)]
    after = grounds.with_facts(grounds.facts.changed("registry", add=stated))

    own = after.engine.overlay([(Fact("acts_alone", (CI,)), "call")])
    assert after.engine.decide(CI, "call", FETCH, own, 0)
    assert not after.engine.decide(CI, "call", PUSH, own, 0)
