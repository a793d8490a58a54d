"""What a decision rests on does not change under it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Thread

from policies.bundle import Bundle, load, read_sources
from policies.embedded import EmbeddedPoint
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Fact, Reason, StepKind

CI, WEB = Entity("Client", "ci"), Entity("Server", "web")
FETCH = Entity("Tool", "web__fetch")

SHIPPED = read_sources([Path(__file__).parents[2] / "policies" / "rules"])
HOST = 'allowed_host(Tool{"web__fetch"}, "docs.example.com");'

SERVED = (
    Fact("has_relation", (FETCH, "server", WEB)),
    Fact("definition_state", (FETCH, "approved")),
)
CALLER = Fact("has_role", (CI, "caller", WEB))
GUARDED = Fact("has_tag", (FETCH, "guarded"))
SUSPENDED = Fact("is_suspended", (CI,))

CLOSED = """
actor Client {}
resource Tool { permissions = ["call"]; }
has_permission(Client{"other"}, "call", Tool{"other"});
"""


def shipped(**more: str) -> Bundle:
    mine = {f"{name}.polar": text.encode() for name, text in more.items()}
    return load({**SHIPPED, **mine}, tested=False)


BUNDLE = shipped()


def standing(*facts: Fact, bundle: Bundle = BUNDLE) -> Grounds:
    return Grounds(bundle, FactSet.of("stored", [*SERVED, *facts]))


def decided(grounds: Grounds, url: str | None = None) -> Decision:
    """Return the decision on a call by *grounds*, with the facts that they themselves ask for."""
    arguments = {} if url is None else {"url": url}
    tests = grounds.call_tests(FETCH)
    facts = tests.wanted(tests.outcomes(FETCH, arguments))
    request = AccessRequest(CI, "call", FETCH, (Fact("acts_alone", (CI,)), *facts), now=0)
    return asyncio.run(EmbeddedPoint(raise_it).decide(request, grounds))


def raise_it(error: Exception) -> None:
    raise error


def test_a_call_that_holds_old_grounds_is_judged_by_the_old_facts() -> None:
    old = standing(CALLER)

    new = old.with_facts(old.facts.changed("stored", add=[SUSPENDED]))

    assert (decided(old).reason, decided(new).reason) == (Reason.GRANTED, Reason.SUSPENDED)
    assert (decided(old).fact_version, decided(new).fact_version) == (1, 2)
    assert decided(old).policy == decided(new).policy == BUNDLE.version


def test_a_call_that_holds_old_grounds_is_judged_by_the_old_policy() -> None:
    old = standing(CALLER)
    bundle = load({"closed.polar": CLOSED}, tested=False)

    new = old.with_bundle(bundle, old.facts)

    assert (decided(old).reason, decided(new).reason) == (Reason.GRANTED, Reason.NO_RULE)
    assert (decided(old).policy, decided(new).policy) == (BUNDLE.version, bundle.version)
    assert decided(old).fact_version == decided(new).fact_version


def test_what_a_later_bundle_asks_of_a_call_is_its_own() -> None:
    old = standing(CALLER)
    rule = """
    has_permission(c: Client, "call", t: Tool) if
      has_role(c, "caller", t) and argument(t, "mode", "fast");
    """

    new = old.with_bundle(shipped(mine=rule), old.facts)

    assert "mode" not in old.call_tests(FETCH).keys
    assert "mode" in new.call_tests(FETCH).keys
    assert new.demands is not old.demands


def test_tests_that_facts_bring_follow_the_facts_of_their_grounds() -> None:
    old = standing(CALLER, GUARDED)
    url = "https://docs.example.com/x"
    assert not decided(old, url).allowed

    host = Fact("allowed_host", (FETCH, "docs.example.com"))
    new = old.with_facts(old.facts.changed("stored", add=[host]))
    gone = new.with_facts(new.facts.changed("stored", remove=[host]))

    assert [decided(grounds, url).allowed for grounds in (old, new, gone)] == [False, True, False]
    assert not decided(new, "https://evil.example.com/x").allowed


def test_a_fact_in_the_text_of_the_policy_brings_its_pattern() -> None:
    grounds = standing(CALLER, GUARDED, bundle=shipped(mine=HOST))

    assert [test.pattern for test in grounds.call_tests(FETCH).tests if test.pattern] == [
        "docs.example.com"
    ]
    assert decided(grounds, "https://docs.example.com/x").allowed
    assert not decided(grounds, "https://evil.test/x").allowed
    assert not decided(grounds).allowed


def test_a_pattern_in_the_text_goes_with_the_text() -> None:
    with_host = standing(CALLER, GUARDED, bundle=shipped(mine=HOST))

    without = with_host.with_bundle(BUNDLE, with_host.facts)

    assert decided(with_host, "https://docs.example.com/").allowed
    assert not decided(without, "https://docs.example.com/").allowed


def test_a_fact_in_the_text_stays_when_who_stated_it_too_withdraws_it() -> None:
    host = Fact("allowed_host", (FETCH, "docs.example.com"))
    both = standing(CALLER, GUARDED, host, bundle=shipped(mine=HOST))

    one = both.with_facts(both.facts.changed("stored", remove=[host]))

    assert both.call_tests(FETCH) == one.call_tests(FETCH)
    assert decided(one, "https://docs.example.com/").allowed


def test_a_fact_in_the_text_is_proved_by_its_line_once() -> None:
    role = 'has_role(Client{"ci"}, "caller", Server{"web"});'
    grounds = standing(bundle=shipped(mine=f"# ours\n{role}"))
    own = grounds.engine.overlay([(Fact("acts_alone", (CI,)), "call")])

    proof = grounds.engine.decide(CI, "call", FETCH, own, 0).proof

    assert proof is not None
    sources = {step.claim: step.source for step in proof.steps if step.kind is StepKind.FACT}
    assert sources[CALLER] == "mine.polar:2"
    assert sources[SERVED[0]] == "stored"


def test_stated_facts_are_not_mixed_into_the_stored_ones() -> None:
    facts = FactSet.of("stored", SERVED)

    grounds = Grounds(shipped(mine=HOST), facts)

    assert grounds.facts is facts
    assert "allowed_host/2" not in facts
    assert "allowed_host/2" in grounds.tables


def test_more_resources_than_are_remembered_get_the_same_tests() -> None:
    grounds = standing(Fact("allowed_host", (FETCH, "docs.example.com")))
    first = grounds.call_tests(FETCH)

    for number in range(10_001):
        grounds.call_tests(Entity("Tool", f"web__{number}"))

    assert grounds.call_tests(FETCH) == first
    assert grounds.call_tests(Entity("Tool", "web__0")) != first


def test_calls_in_other_threads_keep_their_grounds_while_new_ones_are_made() -> None:
    old = standing(CALLER)
    reasons: list[Reason] = []

    def call() -> None:
        reasons.extend(decided(old).reason for _ in range(100))

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    current = old
    for _ in range(20):
        current = current.with_facts(current.facts.changed("stored", add=[SUSPENDED]))
        assert decided(current).reason is Reason.SUSPENDED
    for thread in threads:
        thread.join()

    assert reasons == [Reason.GRANTED] * 400
