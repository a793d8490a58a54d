"""Which servers are observed, until when, and by whose word."""

from __future__ import annotations

import pytest

from policies.enforcement import (
    ENFORCEMENT,
    is_observed,
    is_stopped,
    observed,
    observing,
    stated,
)
from policies.facts import FactSet
from policies.model import Entity, Fact
from tests.policies.test_embedded import ANN, CI, CLAIMING, FETCH, WEB, exhausted, grounds, of

OTHER = Entity("Server", "other")


def facts(*some: Fact, origin: str = ENFORCEMENT) -> FactSet:
    return FactSet.of(origin, some)


@pytest.mark.parametrize(
    ("known", "now", "wanted"),
    [
        (facts(), 5, {}),
        (facts(observing(WEB)), 5, {"web": None}),
        (facts(observing(WEB, 6)), 5, {"web": 6}),
        (facts(observing(WEB, 6)), 6, {}),
        (facts(observing(OTHER), observing(WEB, 6)), 9, {"other": None}),
        (facts(observing(WEB), origin="fact"), 5, {}),
        (facts(observing(WEB, 6), origin="grant"), 5, {}),
        (facts(Fact("is_observed", (WEB, "for ever"))), 5, {"web": None}),
    ],
)
def test_a_server_is_observed_while_the_gateway_itself_says_so(
    known: FactSet, now: int, wanted: dict[str, int | None]
) -> None:
    assert observed(known, now) == wanted
    assert [is_observed(known, one, now) for one in (WEB, OTHER)] == [
        "web" in wanted,
        "other" in wanted,
    ]


def test_what_is_over_is_still_stated_so_that_it_can_be_withdrawn() -> None:
    known = facts(observing(WEB, 6), observing(OTHER))

    assert stated(known, WEB) == [observing(WEB, 6)]


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        (None, False),
        (Fact("is_suspended", (CI,)), True),
        (Fact("is_suspended", (ANN,)), True),
        (Fact("is_suspended", (Entity("Client", "bot"),)), False),
        (Fact("is_disabled", (WEB,)), True),
        (Fact("is_disabled", (FETCH,)), True),
        (Fact("definition_state", (FETCH, "changed")), True),
        (Fact("definition_state", (FETCH, "new")), True),
        (Fact("definition_state", (FETCH, "approved")), False),
    ],
)
def test_who_is_suspended_and_what_is_switched_off_or_unapproved_is_stopped_everywhere(
    fact: Fact | None,
    wanted: object,
) -> None:
    standing = grounds(*([] if fact is None else [fact]))

    assert is_stopped(standing, [CI, ANN], [WEB, FETCH], 0) is wanted


def test_what_cannot_be_told_is_stopped() -> None:
    policy = f"{CLAIMING}declare number(Integer);is_suspended(_: Client) if number(n) and n > 9;"
    numbers = [Fact("number", (n,)) for n in range(3)]
    known = grounds(*numbers, bundle=of(policy))

    assert not is_stopped(known, [CI], [WEB], 0)
    assert is_stopped(exhausted(known), [CI], [WEB], 0)
