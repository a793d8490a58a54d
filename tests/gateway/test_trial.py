"""What waits to be compared is bounded, what finds no room is counted, and so are groups."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from policies.bundle import load
from policies.facts import FactSet
from policies.model import Decision, Entity, Reason, Verdict
from policies.polar.runtime import Limits
from policies.replay import Compared, Difference
from policies.shadow import Candidate
from proxy.divergences import EXAMPLES, MOST_GROUPS, Divergences
from proxy.identity.principal import ActorType, Principal
from proxy.reporting import Reporting
from proxy.shadow import MOST_WAITING, MOST_WAITING_BYTES, Trial, Waiting
from proxy.telemetry.events import Events
from storage.shadows import Shadow
from tests.telemetry.test_metrics import measured

POLICY = b'actor Client {}\nresource Tool {}\nallow(_: Client, "call", _: Tool) if true;\n'
CI = Principal(ActorType.CLIENT, "ci", "i", "client:ci", "ci", "t", 2**53, "a")
DENIED = Decision(Verdict.DENY, Reason.NO_RULE, "v", 1)


@contextmanager
def trial() -> Iterator[Trial]:
    candidate = Candidate(load({"a.polar": POLICY}, portable=False), Limits())
    with measured() as metrics:
        reporting = Reporting(Events("info", io.StringIO()), metrics, lambda: "v")
        yield Trial(Shadow("run", "v", {}, time.time(), "User:ann"), candidate, reporting)


def waiting(number: int = 0, arguments: bytes | None = b"{}") -> Waiting:
    tool = Entity("Tool", "up__echo")
    about = (f"id-{number}", CI, "10.0.0.1", "up", "call", tool, arguments, (), 1, DENIED)
    return Waiting(*about, FactSet(), is_there=True)


@pytest.mark.parametrize(
    ("size", "room"),
    [(2, MOST_WAITING), (1024**2, MOST_WAITING_BYTES // 1024**2)],
)
def test_what_finds_no_room_is_counted_and_room_is_made_by_comparing(size: int, room: int) -> None:
    async def story() -> None:
        with trial() as one:
            text = b'"' + b"x" * (size - 2) + b'"'
            for number in range(room + 5):
                one.take(waiting(number, b"{}" if size == 2 else text))
            assert one.found.skipped == 5
            one.compare_one()
            one.take(waiting())
            assert one.found.skipped == 5
            while one.compare_one():
                pass
            assert one.found.compared == room + 1
            assert not one.is_due.is_set()

    asyncio.run(story())


def test_what_a_candidate_fails_of_is_counted_and_goes_no_further() -> None:
    async def story() -> None:
        with trial() as one:
            one.take(waiting(arguments=b"no JSON"))
            assert one.compare_one()
            assert one.found.counts == {Difference.CANNOT_TELL: 1}

    asyncio.run(story())


def test_what_diverges_in_too_many_ways_is_counted_and_not_told_apart() -> None:
    found, whole = Divergences(), Divergences()
    for number in range(MOST_GROUPS + 7):
        what = Entity("Tool", f"up__{number}")
        difference = Difference.NEWLY_DENIED if number % 2 else Difference.NEWLY_ALLOWED
        for again in range(2):
            told = Compared(difference, CI.actor, "call", what, ("a.polar:1",))
            found.add(told, f"{number}-{again}")
    whole.include(found.written())
    whole.include(found.written())

    assert (found.others, whole.others) == (14, 28)
    assert len(whole.documents()) == MOST_GROUPS
    assert whole.documents()[0]["difference"] == "newly-allowed"
    assert {one["count"] for one in whole.documents()} == {4}
    assert all(len(one["examples"]) <= EXAMPLES for one in whole.documents())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"counts": {"sideways": 1}}'])
def test_counts_of_another_release_are_told_from_ours(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Divergences().include(text)
