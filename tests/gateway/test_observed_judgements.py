"""What is judged on a server that is observed: which denials are not enforced, and which always."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, cast

import pytest

from policies.bundle import load
from policies.embedded import EmbeddedPoint
from policies.enforcement import ENFORCEMENT, observing
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import Entity, Fact, Reason, Verdict
from policies.polar.engine import Engine
from policies.polar.runtime import Limits
from proxy.call import Call
from proxy.freshness import Freshness, FreshPoint
from proxy.identity.principal import ActorType, Principal
from proxy.judgement import Judge, Judgement
from proxy.question import Origin, Question, document_question, going_on, template_id
from proxy.recording import denial
from proxy.upstream.http import Pool
from proxy.upstream.server import Catalogue, Server
from proxy.wire.refusals import WireError
from tests.policies.test_embedded import SHIPPED

UP: Final = Entity("Server", "up")
ECHO, NONE = Entity("Tool", "up__echo"), Entity("Tool", "up__none")
END: Final = 1_000

WEB: Final = Principal(
    ActorType.CLIENT, "ci", "http://gate", "client:ci", "ci", "t1", 2_000_000_000, "http://gate"
)
OFFERED: Final = (
    Fact("has_relation", (ECHO, "server", UP)),
    Fact("definition_state", (ECHO, "approved")),
)
CALL: Final = Question("call", ECHO, "echo", {})
TESTED: Final = """
has_permission(c: Client, "call", t: Tool) if
  acts_alone(c) and argument(t, "mode", "read");
"""


def role(name: str, resource: Entity) -> Fact:
    return Fact("has_role", (Entity("Client", "ci"), name, resource))


def server() -> Server:
    found = Server("up", cast("Pool", None), ())
    found.catalogue = Catalogue(
        tools={"echo": ()}, prompts=frozenset({"greet"}), templates=frozenset({"note://{id}"})
    )
    return found


def called(
    *facts: Fact,
    until: int | None = None,
    observed: bool = True,
    approved: bool = True,
    now: int = 5,
    acts_for: str | None = None,
) -> Call:
    """Return a call of a client that acts alone, or for a user, on the grounds of *facts*."""
    offered = OFFERED if approved else OFFERED[:1]
    known = FactSet.of("stored", (*offered, *facts))
    if observed:
        known = known.changed(ENFORCEMENT, add=[observing(UP, until)])
    grounds = Grounds(SHIPPED, known)
    principal = replace(WEB, acts_for=acts_for)
    return Call(principal, "up", server(), grounds, "127.0.0.1", now=now, started=0.0)


def ruled(call: Call, policy: str) -> Call:
    """Return *call* as it is judged by *policy* beside the shipped rules."""
    bundle = load({**dict(SHIPPED.sources), "own.polar": policy}, tested=False)
    return replace(call, grounds=Grounds(bundle, call.grounds.facts))


def judge() -> Judge:
    return Judge(EmbeddedPoint(lambda _: None), lambda _: None)


def judged(call: Call, question: Question = CALL) -> Judgement:
    async def run() -> Judgement:
        connect = await judge().connect(call)
        return await judge().judge(call, question, connect, 7)

    return asyncio.run(run())


def told(judgement: Judgement) -> tuple[str, str, bool]:
    return judgement.decision.verdict.value, judgement.decision.reason.value, judgement.enforced


ASKED: Final = {
    "a tool": CALL,
    "a prompt": Question("get", Entity("Prompt", "up__greet"), "greet", {}),
    "a document": document_question("read", "up", "note://one"),
    "a subscription": document_question("subscribe", "up", "note://one"),
    "a completion of a prompt": Question("complete", Entity("Prompt", "up__greet"), "greet", {}),
    "a completion of a template": Question(
        "complete", template_id("up", "note://{id}"), "note://{id}"
    ),
    "a task": going_on("up", Origin("echo")),
}


@pytest.mark.parametrize("question", ASKED.values(), ids=ASKED.keys())
@pytest.mark.parametrize("facts", [(), (role("viewer", UP),), (role("viewer", ECHO),)])
def test_what_no_rule_allows_is_denied_and_not_enforced(
    question: Question, facts: tuple[Fact, ...]
) -> None:
    found, enforced = judged(called(*facts), question), judged(called(*facts, observed=False))

    assert found.decision.verdict is Verdict.DENY
    assert (found.allowed, found.enforced) == (True, False)
    assert (enforced.allowed, enforced.enforced) == (False, True)
    assert found.question == question


def test_the_verdict_and_its_reason_are_those_of_a_server_that_enforces() -> None:
    seen = (role("viewer", UP),)

    assert told(judged(called(*seen))) == ("deny", "no_rule", False)
    assert told(judged(called(*seen, observed=False))) == ("deny", "no_rule", True)
    assert told(judged(called())) == ("deny", "not_visible", False)
    assert told(judged(called(observed=False))) == ("deny", "not_visible", True)


def test_what_is_allowed_is_allowed_as_ever() -> None:
    assert told(judged(called(role("caller", UP)))) == ("allow", "granted", True)


def test_who_may_not_connect_is_denied_what_a_rule_of_its_own_gives_him() -> None:
    call = ruled(called(), 'has_permission(_: Client, "call", _: Tool);')

    assert told(judged(call)) == ("deny", "not_visible", False)


NOT_OBSERVED: Final = {
    "an unknown tool": (called(), replace(CALL, resource=NONE, subject="none"), "not_visible"),
    "a name that no policy can speak of": (called(), replace(CALL, nameable=False), "not_visible"),
    "a suspended client": (called(Fact("is_suspended", (WEB.actor,))), CALL, "suspended"),
    "a suspended user behind a client": (
        called(Fact("is_suspended", (Entity("User", "ann"),)), acts_for="ann"),
        CALL,
        "not_visible",
    ),
    "a disabled server": (called(Fact("is_disabled", (UP,))), CALL, "not_visible"),
    "a tool whose definition changed": (
        called(Fact("definition_state", (ECHO, "changed")), approved=False),
        CALL,
        "not_visible",
    ),
    "a disabled tool": (called(Fact("is_disabled", (ECHO,))), CALL, "not_visible"),
}


@pytest.mark.parametrize(
    ("call", "question", "reason"), NOT_OBSERVED.values(), ids=NOT_OBSERVED.keys()
)
def test_whatever_is_no_want_of_a_rule_is_enforced(
    call: Call, question: Question, reason: str
) -> None:
    assert told(judged(call, question)) == ("deny", reason, True)


def test_what_could_not_be_decided_is_refused() -> None:
    call = called()
    call.grounds.engine = Engine(SHIPPED.program, call.grounds.tables, Limits(steps=0))

    found = judged(call)

    assert told(found) == ("undecided", "undecided", True)
    assert not found.allowed


def test_on_a_state_that_is_too_old_nothing_is_observed() -> None:
    stale = Freshness(10)
    stale.follow(lambda: 11.0)

    async def run() -> Judgement:
        point = FreshPoint(EmbeddedPoint(lambda _: None), stale, lambda _: None)
        return await Judge(point, lambda _: None).connect(called())

    assert told(asyncio.run(run())) == ("undecided", "undecided", True)


@pytest.mark.parametrize(
    "reason", [Reason.MALFORMED, Reason.RATE_LIMITED, Reason.UNKNOWN_METHOD, Reason.NOT_VISIBLE]
)
def test_what_never_came_to_a_question_is_refused(reason: Reason) -> None:
    assert not denial(called(), reason).allowed


def test_arguments_that_may_be_taken_for_tested_ones_are_malformed_all_the_same() -> None:
    call = ruled(called(role("viewer", UP)), TESTED)

    with pytest.raises(WireError):
        judged(call, replace(CALL, arguments={"Mode": "read"}))
    assert told(judged(call, replace(CALL, arguments={"mode": "no"}))) == ("deny", "no_rule", False)


def test_it_ends_by_itself_at_its_second() -> None:
    told_ = [judged(called(until=END, now=now)).allowed for now in (END - 1, END, END + 1)]

    assert told_ == [True, False, False]


def test_what_a_server_asks_of_a_client_is_observed_as_well() -> None:
    async def run(call: Call) -> list[tuple[bool, bool]]:
        found = [await judge().on_server(call, *one) for one in (("elicit",), ("sample", "elicit"))]
        return [(one.allowed, one.enforced) for one in found]

    assert asyncio.run(run(called())) == [(True, False)] * 2
    assert asyncio.run(run(called(role("caller", UP)))) == [(True, True)] * 2
    assert asyncio.run(run(called(observed=False))) == [(False, True)] * 2
    assert asyncio.run(run(called(Fact("is_suspended", (WEB.actor,))))) == [(False, True)] * 2


def test_all_is_shown_but_what_is_disabled_and_nothing_to_who_is_suspended() -> None:
    off = Entity("Tool", "up__off")
    tools = [ECHO, off]

    async def run(*facts: Fact) -> set[Entity]:
        return await judge().shown(called(*facts), "Tool", tools)

    assert asyncio.run(run()) == {*tools}
    assert asyncio.run(run(Fact("is_disabled", (off,)))) == {ECHO}
    assert asyncio.run(run(Fact("is_disabled", (UP,)))) == set()
    assert asyncio.run(run(Fact("is_suspended", (WEB.actor,)))) == set()
