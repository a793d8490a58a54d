"""What is asked again and again is answered as if it were asked for the first time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from policies.bundle import Bundle, load
from policies.embedded import EmbeddedPoint
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Fact, Reason, Value
from policies.polar.engine import Engine

CI, WEB = Entity("Client", "ci"), Entity("Server", "web")
MEMBER = Fact("is_member", (CI,))
UNTIL = 100

POLICY = """
actor Client {}
resource Server { permissions = ["connect"]; }
declare is_member(Client);
declare plan(Client, Boolean);
declare plan(Client, Integer);
declare until(Client, Integer);
has_permission(c: Client, "connect", _: Server) if is_member(c);
has_permission(c: Client, "connect", _: Server) if plan(c, true);
has_permission(c: Client, "connect", _: Server) if until(c, t) and @current_unix_time < t;
"""


def bundle(text: str = POLICY) -> Bundle:
    return load({"p.polar": text + ALLOW}, tested=False)


ALLOW = """
allow(actor: Actor, action: String, resource: Resource) if
  has_permission(actor, action, resource);
"""


def standing(*facts: Fact, policy: str = POLICY) -> Grounds:
    return Grounds(bundle(policy), FactSet.of("stored", facts))


def decided(point: EmbeddedPoint, grounds: Grounds, *facts: Fact, now: int = 0) -> Decision:
    return asyncio.run(point.decide(AccessRequest(CI, "connect", WEB, facts, now), grounds))


@pytest.fixture
def point() -> EmbeddedPoint:
    return EmbeddedPoint(lambda error: pytest.fail(repr(error)))


def test_a_question_asked_twice_has_the_same_answer(point: EmbeddedPoint) -> None:
    grounds = standing(MEMBER)

    assert decided(point, grounds) == decided(point, grounds)
    assert decided(point, grounds).allowed


def test_an_answer_does_not_outlive_the_facts_it_rests_on(point: EmbeddedPoint) -> None:
    before = standing(MEMBER)
    after = before.with_facts(before.facts.changed("stored", remove=[MEMBER]))

    answers = [decided(point, grounds).allowed for grounds in (before, after, before)]

    assert answers == [True, False, True]


def test_an_answer_does_not_outlive_its_policy(point: EmbeddedPoint) -> None:
    before = standing(MEMBER)
    after = before.with_bundle(bundle(POLICY.replace("if is_member(c)", "if not is_member(c)")),
                               before.facts)  # fmt: skip

    first, second = decided(point, before), decided(point, after)

    assert first.allowed
    assert not second.allowed
    assert (first.policy, second.policy) == (before.bundle.version, after.bundle.version)


def test_an_answer_does_not_outlive_its_second(point: EmbeddedPoint) -> None:
    grounds = standing(Fact("until", (CI, UNTIL)))

    answers = [decided(point, grounds, now=now).allowed for now in (UNTIL - 1, UNTIL, UNTIL - 1)]

    assert answers == [True, False, True]


@pytest.mark.parametrize("values", [(True, 1), (1, True)])
def test_what_a_dictionary_takes_for_one_question_is_two_to_a_policy(
    point: EmbeddedPoint, values: tuple[Value, Value]
) -> None:
    grounds = standing()

    answers = [decided(point, grounds, Fact("plan", (CI, value))).allowed for value in values]

    assert answers == [value is True for value in values]


def test_each_caller_has_an_answer_of_its_own(point: EmbeddedPoint) -> None:
    grounds = standing(MEMBER)
    other = replace(AccessRequest(CI, "connect", WEB, (), 0), actor=Entity("Client", "bot"))

    assert decided(point, grounds).allowed
    assert not asyncio.run(point.decide(other, grounds)).allowed


def test_a_question_that_failed_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Exception] = []
    point, grounds = EmbeddedPoint(failures.append), standing(MEMBER)

    with monkeypatch.context() as broken:
        broken.setattr(Engine, "decide", lambda *_: 1 / 0)
        failed = decided(point, grounds)

    assert failed.reason is Reason.UNDECIDED
    assert len(failures) == 1
    assert decided(point, grounds).allowed
