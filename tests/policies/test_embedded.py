"""The decision point in this process: an answer to every question, and never an exception."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import FrozenInstanceError, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.bundle import Bundle, load, read_sources
from policies.embedded import EmbeddedPoint
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Fact, Reason, Value, Verdict
from policies.pdp import DecisionPoint, UndecidedError
from policies.polar.engine import Engine
from policies.polar.runtime import BudgetExceededError, Limits
from policies.polar.schema import FactError

SHIPPED = load(read_sources([Path(__file__).parents[2] / "policies" / "rules"]), tested=False)

CI, BOT, ANN = Entity("Client", "ci"), Entity("Client", "bot"), Entity("User", "ann")
WEB, FETCH, ASK = (
    Entity("Server", "web"),
    Entity("Tool", "web__fetch"),
    Entity("Prompt", "web__ask"),
)
ALONE = Fact("acts_alone", (CI,))

SERVED = (
    Fact("has_relation", (FETCH, "server", WEB)),
    Fact("has_relation", (ASK, "server", WEB)),
    Fact("definition_state", (FETCH, "approved")),
)

CLAIMING = """
actor Client {}
resource Tool { permissions = ["call", "list"]; }
has_permission(c: Client, "call", _: Tool) if claim(c, "plan", "gold");
"""


def of(text: str) -> Bundle:
    return load({"p.polar": text}, tested=False)


def grounds(*facts: Fact, bundle: Bundle = SHIPPED) -> Grounds:
    return Grounds(bundle, FactSet.of("stored", facts))


def exhausted(standing: Grounds) -> Grounds:
    """Return *standing* with no budget for any question."""
    standing.engine = Engine(standing.bundle.program, standing.tables, Limits(steps=0))
    return standing


class Point:
    """An embedded point with what it failed of."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.point: DecisionPoint = EmbeddedPoint(self.failures.append)

    def decide(
        self, standing: Grounds, action: str, resource: Entity, *facts: Fact, actor: Entity = CI
    ) -> Decision:
        request = AccessRequest(actor, action, resource, facts, now=0)
        return asyncio.run(self.point.decide(request, standing))

    def visible(
        self, standing: Grounds, action: str, resources: Sequence[Entity], *facts: Fact
    ) -> Collection[Entity]:
        request = AccessRequest(CI, action, WEB, facts, now=0)
        return asyncio.run(self.point.visible(request, resources, standing))


@pytest.fixture
def point() -> Point:
    return Point()


# The answers.


def test_an_allow_names_its_rules_the_deciding_one_first(point: Point) -> None:
    standing = grounds(*SERVED, Fact("has_role", (CI, "caller", WEB)))

    decision = point.decide(standing, "call", FETCH, ALONE)

    assert (decision.verdict, decision.reason) == (Verdict.ALLOW, Reason.GRANTED)
    assert (decision.policy, decision.fact_version) == (SHIPPED.version, 1)
    assert [rule.partition(":")[0] for rule in decision.rules][:2] == ["allow.polar"] * 2
    lines = SHIPPED.sources["allow.polar"].splitlines()
    number = int(decision.rules[0].partition(":")[2])
    assert lines[number - 1].startswith("allow(client: Client, action")
    assert "acts_alone" in lines[number]


def test_with_nothing_granted_the_answer_is_no_and_names_no_rule(point: Point) -> None:
    decision = point.decide(grounds(*SERVED), "call", FETCH, ALONE)

    assert decision == Decision(Verdict.DENY, Reason.NO_RULE, SHIPPED.version, 1, ())


def test_who_is_suspended_is_told_so(point: Point) -> None:
    role = Fact("has_role", (CI, "caller", WEB))
    standing = grounds(*SERVED, role, Fact("is_suspended", (CI,)))

    decision = point.decide(standing, "call", FETCH, ALONE)

    assert decision == Decision(Verdict.DENY, Reason.SUSPENDED, SHIPPED.version, 1)
    other = point.decide(standing, "call", FETCH, Fact("acts_alone", (BOT,)), actor=BOT)
    assert other.reason is Reason.NO_RULE


def test_a_policy_that_knows_no_suspension_denies_without_it(point: Point) -> None:
    assert point.decide(grounds(bundle=of(CLAIMING)), "call", FETCH).reason is Reason.NO_RULE
    assert point.failures == []


def test_facts_of_a_question_hold_for_that_question_alone(point: Point) -> None:
    standing = grounds(bundle=of(CLAIMING))
    gold = Fact("claim", (CI, "plan", "gold"))

    answers = [
        point.decide(standing, "call", FETCH, *facts).allowed for facts in ((gold,), (), (gold,))
    ]

    assert answers == [True, False, True]


@pytest.mark.parametrize("order", [1, -1])
def test_a_boolean_and_a_number_are_two_questions(point: Point, order: int) -> None:
    standing = grounds(bundle=of(CLAIMING.replace('"gold"', "true")))
    values: list[Value] = [True, 1, "true", False, 0]

    answers = {
        repr(value): point.decide(
            standing, "call", FETCH, Fact("claim", (CI, "plan", value))
        ).allowed
        for value in values[::order]
    }

    assert answers == {"True": True, "1": False, "'true'": False, "False": False, "0": False}


def test_the_same_question_is_decided_anew_when_a_second_has_passed_or_facts_have_changed(
    point: Point,
) -> None:
    leased = grounds(*SERVED, Fact("lease", (CI, "caller", FETCH, 10)))
    ended = leased.with_facts(leased.facts.changed("stored", add=[Fact("is_disabled", (WEB,))]))
    asked = [(leased, 9), (leased, 10), (leased, 9), (ended, 9), (leased, 9)]

    answers = [
        asyncio.run(point.point.decide(AccessRequest(CI, "call", FETCH, (ALONE,), now), standing))
        for standing, now in asked
    ]

    assert [answer.allowed for answer in answers] == [True, False, True, False, True]
    assert [answer.fact_version for answer in answers] == [1, 1, 1, 2, 1]


def test_facts_that_the_policy_has_no_use_for_are_left_out(point: Point) -> None:
    standing = grounds(bundle=of(CLAIMING))
    gold = Fact("claim", (CI, "plan", "gold"))
    useless = [
        ALONE,
        Fact("source_address", (CI, "10.0.0.0/8")),
        Fact("no_such_fact", ("x" * 1000,)),
        Fact("claim", (CI,)),
        Fact("claim", (FETCH, "plan", "gold")),
    ]

    assert point.decide(standing, "call", FETCH, gold, *useless).allowed
    assert not point.decide(standing, "call", FETCH, *useless).allowed
    assert point.failures == []


@pytest.mark.parametrize(
    ("actor", "action", "resource"),
    [
        (CI, "fly", FETCH),
        (CI, "", FETCH),
        (CI, "call", Entity("Rocket", "x")),
        (Entity("Robot", "x"), "call", FETCH),
        (CI, "call", Entity("Tool", "")),
        (CI, "call", Entity("Tool", "x" * 10_000)),
        (CI, "call", Entity("Tool", "\ud800")),
        (CI, "call", CI),
        (FETCH, "call", CI),
    ],
)
def test_a_question_about_what_nobody_knows_is_answered_with_no(
    point: Point, actor: Entity, action: str, resource: Entity
) -> None:
    standing = grounds(*SERVED, Fact("has_role", (CI, "caller", WEB)))

    decision = point.decide(standing, action, resource, ALONE, actor=actor)

    assert (decision.verdict, decision.reason) == (Verdict.DENY, Reason.NO_RULE)


def test_an_empty_policy_allows_and_shows_nothing(point: Point) -> None:
    rules = 'actor Client {}\nresource Tool { permissions = ["call", "list"]; }'
    standing = grounds(bundle=of(rules))

    assert point.decide(standing, "call", FETCH, ALONE).reason is Reason.NO_RULE
    assert list(point.visible(standing, "call", [FETCH], ALONE)) == []
    assert point.failures == []


# No answer.


def test_a_question_over_its_budget_is_undecided(point: Point) -> None:
    standing = exhausted(grounds(*SERVED, Fact("has_role", (CI, "caller", WEB))))

    decision = point.decide(standing, "call", FETCH, ALONE)

    assert decision == Decision(Verdict.UNDECIDED, Reason.UNDECIDED, SHIPPED.version, 1)
    assert [type(failure) for failure in point.failures] == [BudgetExceededError]


def test_what_is_visible_within_no_budget_is_undecided(point: Point) -> None:
    standing = exhausted(grounds(*SERVED, Fact("has_role", (CI, "caller", WEB))))

    with pytest.raises(UndecidedError) as caught:
        point.visible(standing, "call", [FETCH], ALONE)

    assert str(caught.value) == "BudgetExceededError"
    assert [type(failure) for failure in point.failures] == [BudgetExceededError]


@pytest.mark.parametrize(
    "value",
    ["x" * 385, "\u00e9" * 193, "", "\ud800", 2**63, -(2**63) - 1],
    ids=lambda v: ascii(v)[:9],
)
def test_a_fact_that_no_policy_can_hold_leaves_the_question_undecided(
    point: Point, value: Value
) -> None:
    standing = grounds(bundle=of(CLAIMING))
    facts = (Fact("claim", (CI, "plan", "gold")), Fact("claim", (CI, "other", value)))

    decision = point.decide(standing, "call", FETCH, *facts)

    assert (decision.verdict, decision.reason) == (Verdict.UNDECIDED, Reason.UNDECIDED)
    with pytest.raises(UndecidedError):
        point.visible(standing, "call", [FETCH], *facts)
    assert [type(failure) for failure in point.failures] == [FactError, FactError]


def test_a_fact_of_384_bytes_is_one_that_a_policy_can_hold(point: Point) -> None:
    standing = grounds(bundle=of(CLAIMING))
    facts = (Fact("claim", (CI, "plan", "gold")), Fact("claim", (CI, "other", "\u00e9" * 192)))

    assert point.decide(standing, "call", FETCH, *facts).allowed


ODDITIES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.floats(), st.text(), st.binary(), st.integers(), st.booleans(),
    st.lists(st.none()), st.builds(Entity, st.text(), st.text()), st.sampled_from([CI, FETCH]),
)  # fmt: skip
ODD_FACTS = st.lists(
    st.builds(
        Fact,
        st.one_of(st.text(), st.sampled_from(["claim", "acts_alone", "acts_for", "argument"])),
        st.lists(ODDITIES, max_size=4).map(tuple),
    ),
    max_size=3,
)


@given(
    st.builds(Entity, st.one_of(st.just("Client"), st.text()), st.text()),
    st.one_of(st.sampled_from(["call", "list"]), st.text()),
    st.builds(Entity, st.one_of(st.just("Tool"), st.text()), st.text()),
    ODD_FACTS,
    st.integers(),
)
def test_whatever_is_asked_there_is_an_answer_and_it_is_no_allow(
    actor: Entity, action: str, resource: Entity, facts: list[Fact], now: int
) -> None:
    point = EmbeddedPoint(lambda _: None)
    request = AccessRequest(actor, action, resource, tuple(facts), now)

    decision = asyncio.run(point.decide(request, EMPTY))

    assert decision.verdict in (Verdict.DENY, Verdict.UNDECIDED)


EMPTY = grounds(*SERVED)


@pytest.mark.parametrize(("verdict", "reason"), list(product(Verdict, Reason)))
def test_a_decision_allows_if_and_only_if_it_was_granted(verdict: Verdict, reason: Reason) -> None:
    if (verdict is Verdict.ALLOW) == (reason is Reason.GRANTED):
        decision = Decision(verdict, reason, "sha256:1", 1)
        assert decision.allowed is (verdict is Verdict.ALLOW)
    else:
        with pytest.raises(ValueError, match="granted"):
            Decision(verdict, reason, "sha256:1", 1)


def test_a_denial_cannot_be_turned_into_an_allow() -> None:
    denied = Decision(Verdict.DENY, Reason.NO_RULE, "sha256:1", 1)

    with pytest.raises(ValueError, match="granted"):
        replace(denied, verdict=Verdict.ALLOW)
    with pytest.raises(ValueError, match="granted"):
        replace(denied, reason=Reason.GRANTED)
    with pytest.raises(FrozenInstanceError):
        denied.verdict = Verdict.ALLOW  # type: ignore[misc]


# What may be seen.


@pytest.mark.parametrize(
    ("role", "tags", "seen"),
    [
        ("caller", (), {FETCH, ASK}),
        ("viewer", (), {FETCH, ASK}),
        ("caller", ("guarded",), {FETCH, ASK}),
    ],
)
def test_what_may_be_listed_or_used_is_visible(
    point: Point, role: str, tags: tuple[str, ...], seen: set[Entity]
) -> None:
    facts = [Fact("has_role", (CI, role, WEB)), *(Fact("has_tag", (FETCH, tag)) for tag in tags)]

    found = point.visible(grounds(*SERVED, *facts), "call", [FETCH, ASK], ALONE)

    assert set(found) == seen


def test_what_is_neither_listed_nor_used_is_not_visible(point: Point) -> None:
    role = Fact("has_role", (CI, "caller", FETCH))
    unknown = Entity("Tool", "web__unknown")

    found = point.visible(grounds(*SERVED, role), "call", [FETCH, ASK, unknown], ALONE)

    assert set(found) == {FETCH}


ARGUMENTS_ALONE = """
actor Client {}
resource Tool { permissions = ["call", "list"]; }
has_permission(_: Client, "call", t: Tool) if t = Tool{"web__fetch"} and argument(t, "x", "y");
has_permission(_: Client, "list", Tool{"web__shown"});
"""


def test_what_is_used_for_some_arguments_alone_is_visible_without_them(point: Point) -> None:
    standing = grounds(bundle=of(ARGUMENTS_ALONE))
    shown, other = Entity("Tool", "web__shown"), Entity("Tool", "web__other")

    assert not point.decide(standing, "call", FETCH).allowed
    assert set(point.visible(standing, "call", [other, FETCH, shown])) == {FETCH, shown}
    assert set(point.visible(standing, "get", [other, FETCH, shown])) == {shown}


def test_nothing_asked_about_is_nothing_seen(point: Point) -> None:
    assert list(point.visible(grounds(*SERVED), "call", [], ALONE)) == []


# What the shipped policy lets a caller use, it lets that caller see.

ACTORS = (CI, BOT, ANN, Entity("Team", "ops"))
SERVERS = (WEB, Entity("Server", "git"))
TOOLS = (FETCH, Entity("Tool", "web__post"), Entity("Tool", "git__push"))
TOOLSET = Entity("Toolset", "triage")
RESOURCES = (*TOOLS, ASK, Entity("Document", "git|file:///readme"))
USES = {"Tool": "call", "Prompt": "get", "Document": "read"}

UNIVERSE = (
    *(
        Fact("has_role", (actor, role, resource))
        for actor in ACTORS
        for role in ("caller", "viewer")
        for resource in (*SERVERS, *RESOURCES, TOOLSET)
    ),
    *(Fact("has_role", (actor, role)) for actor in (CI, ANN) for role in ("admin", "user")),
    *(Fact("has_relation", (actor, "team", ACTORS[3])) for actor in ACTORS[:3]),
    *(Fact("has_relation", (tool, "toolset", TOOLSET)) for tool in TOOLS),
    *(Fact("has_role_matching", (actor, "caller", "web__*")) for actor in ACTORS),
    *(Fact("id_matches", (resource, "web__*")) for resource in (FETCH, TOOLS[1], ASK)),
    *(Fact("lease", (CI, "caller", tool, until)) for tool in TOOLS for until in (0, 10)),
    *(Fact("has_tag", (resource, "guarded")) for resource in RESOURCES),
    *(Fact("allowed_host", (tool, "docs.example.com")) for tool in TOOLS),
    *(Fact("allowed_directory", (tool, "/srv")) for tool in TOOLS),
    *(Fact("amount_limit", (tool, 10)) for tool in TOOLS),
)
HINDRANCES = (
    *(Fact("is_suspended", (actor,)) for actor in ACTORS),
    *(Fact("is_disabled", (resource,)) for resource in (*SERVERS, *RESOURCES, TOOLSET)),
    *(Fact("definition_state", (tool, "changed")) for tool in TOOLS),
)
OFFERED = (
    *(Fact("has_relation", (one, "server", Entity("Server", one.id[:3]))) for one in RESOURCES),
    *(Fact("definition_state", (tool, "approved")) for tool in TOOLS),
)
CALLS: tuple[dict[str, object], ...] = (
    {},
    {"url": "https://docs.example.com/x", "path": "/srv/x", "amount": 5},
    {"url": "https://evil.test/", "path": "/etc", "amount": 50},
    {"url": "https://docs.example.com/", "amount": 50},
    {"path": "/srv/a"},
    {"amount": 0},
)


def world(chance: random.Random) -> Grounds:
    offered = [fact for fact in OFFERED if chance.random() < 0.9]
    facts = chance.sample(UNIVERSE, chance.randint(1, 40))
    facts += chance.sample(HINDRANCES, chance.randint(0, 3))
    return grounds(*offered, *facts)


def used(point: Point, standing: Grounds, facts: tuple[Fact, ...], actor: Entity) -> set[Entity]:
    """Return the resources that *actor* may use with the arguments of some call."""
    return {
        resource
        for resource in RESOURCES
        for tests in [standing.call_tests(resource)]
        for arguments in CALLS
        if point.decide(
            standing,
            USES[resource.type],
            resource,
            *facts,
            *tests.wanted(tests.outcomes(resource, arguments)),
            actor=actor,
        ).allowed
    }


def seen(standing: Grounds, facts: tuple[Fact, ...], actor: Entity) -> set[Entity]:
    point = EmbeddedPoint(raise_it)
    found: set[Entity] = set()
    for type_, action in USES.items():
        request = AccessRequest(actor, action, WEB, facts, now=0)
        asked = [one for one in RESOURCES if one.type == type_]
        found.update(asyncio.run(point.visible(request, asked, standing)))
    return found


def raise_it(error: Exception) -> None:
    raise error


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_may_be_used_is_visible(seed: int) -> None:
    chance = random.Random(seed)
    point, standing = Point(), world(chance)
    callers: tuple[tuple[Entity, tuple[Fact, ...]], ...] = (
        (CI, (ALONE,)),
        (CI, (Fact("acts_for", (CI, ANN)),)),
        (ANN, ()),
    )

    for actor, facts in callers:
        allowed = used(point, standing, facts, actor)
        listed = {
            resource
            for resource in RESOURCES
            if point.decide(standing, "list", resource, *facts, actor=actor).allowed
        }
        visible = seen(standing, facts, actor)
        assert allowed <= visible
        assert listed <= visible
    assert point.failures == []


def test_the_worlds_of_that_property_use_something_and_hide_something() -> None:
    point = Point()
    allowed = hidden = limited = 0
    for seed in range(60):
        standing = world(random.Random(seed))
        visible = seen(standing, (ALONE,), CI)
        use = used(point, standing, (ALONE,), CI)
        allowed += len(use)
        hidden += len(RESOURCES) - len(visible)
        limited += sum(
            not point.decide(standing, USES[one.type], one, ALONE).allowed for one in use
        )

    assert min(allowed, hidden, limited) >= 5
