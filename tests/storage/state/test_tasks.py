"""Who began the tasks that servers run, and that nobody takes over the task of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest

from storage.errors import DatabaseUnavailableError
from storage.tasks import MAX_TASK_ID, OwnedTask, TaskLedger
from tests.storage.state.places import FilePlace, Place, opened, statements

ALICE, MALLORY = "User:alice", "Client:mallory"
TASK = OwnedTask("github", "t1", ALICE, "tool=search", 2_000.0)
T = TypeVar("T")


@dataclass
class Clock:
    """A clock that stands until it is set."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def using(place: Place, story: Callable[[TaskLedger, Clock], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(place) as database:
            clock = Clock()
            return await story(TaskLedger(database, clock), clock)

    return asyncio.run(run())


def test_a_task_belongs_to_who_began_it_after_a_restart(place: Place) -> None:
    assert using(place, lambda ledger, _: ledger.own(TASK))

    found = using(place, lambda ledger, _: ledger.owned("github", ALICE, ["t1", "t2"]))

    assert found == {"t1": "tool=search"}


@pytest.mark.parametrize(
    ("server", "owner", "task_id"),
    [
        ("github", MALLORY, "t1"),
        ("jira", ALICE, "t1"),
        ("github", ALICE, "T1"),
        ("github", ALICE, "t1 "),
        ("github", "user:alice", "t1"),
        ("github", ALICE + " ", "t1"),
        ("github", "", "t1"),
        ("github", ALICE, "t%"),
        ("github", ALICE, "t1\0"),
        ("github", ALICE, "\ud800"),
        ("github", ALICE, "t" * (MAX_TASK_ID + 1)),
    ],
)
def test_a_task_is_found_by_nothing_but_its_own_names(
    place: Place, server: str, owner: str, task_id: str
) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> Mapping[str, str]:
        await ledger.own(TASK)
        return await ledger.owned(server, owner, [task_id])

    assert using(place, story) == {}


def test_a_task_that_another_claims_stays_with_its_owner(place: Place) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> list[object]:
        await ledger.own(TASK)
        claim = replace(TASK, owner=MALLORY, origin="tool=other", expires_at=9_000.0)
        return [
            await ledger.own(claim),
            await ledger.owned("github", MALLORY, ["t1"]),
            await ledger.owned("github", ALICE, ["t1"]),
        ]

    assert using(place, story) == [False, {}, {"t1": "tool=search"}]


def test_a_claim_that_failed_makes_no_task_live_longer(place: Place) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> Mapping[str, str]:
        await ledger.own(TASK)
        await ledger.own(replace(TASK, owner=MALLORY, expires_at=9_000.0))
        clock.now = 2_000.0
        return await ledger.owned("github", ALICE, ["t1"])

    assert using(place, story) == {}


def test_the_same_id_is_another_task_on_another_server(place: Place) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> list[object]:
        await ledger.own(TASK)
        return [
            await ledger.own(replace(TASK, server="jira", owner=MALLORY)),
            await ledger.owned("github", ALICE, ["t1"]),
            await ledger.owned("jira", MALLORY, ["t1"]),
        ]

    assert using(place, story) == [True, {"t1": "tool=search"}, {"t1": "tool=search"}]


def test_an_owner_may_renew_a_task(place: Place) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> list[object]:
        await ledger.own(TASK)
        renewed = await ledger.own(replace(TASK, origin="tool=read", expires_at=3_000.0))
        clock.now = 2_999.5
        before = await ledger.owned("github", ALICE, ["t1"])
        clock.now = 3_000.0
        return [renewed, before, await ledger.owned("github", ALICE, ["t1"])]

    assert using(place, story) == [True, {"t1": "tool=read"}, {}]


@pytest.mark.parametrize(("now", "is_free"), [(1_999.5, False), (2_000.0, True), (9_000.0, True)])
def test_an_id_is_free_for_others_once_its_task_expired(
    place: Place, now: float, *, is_free: bool
) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> list[object]:
        await ledger.own(TASK)
        clock.now = now
        taken = await ledger.own(
            OwnedTask("github", "t1", MALLORY, "tool=other", expires_at=10_000.0)
        )
        return [
            taken,
            await ledger.owned("github", MALLORY, ["t1"]),
            await ledger.owned("github", ALICE, ["t1"]),
        ]

    others = [True, {"t1": "tool=other"}, {}]
    assert using(place, story) == (others if is_free else [False, {}, {"t1": "tool=search"}])


def test_of_many_who_claim_an_id_at_once_one_gets_it(place: Place) -> None:
    owners = [f"User:{number}" for number in range(12)]

    async def run() -> tuple[list[bool], list[Mapping[str, str]]]:
        # Two databases, as two workers have them: only the file is between them.
        async with opened(place) as first, opened(place) as second:
            ledgers = [TaskLedger(first, Clock()), TaskLedger(second, Clock())]
            claims = [
                ledgers[number % 2].own(replace(TASK, owner=owner, origin=owner))
                for number, owner in enumerate(owners)
            ]
            won = await asyncio.gather(*claims)
            found = [await ledgers[0].owned("github", owner, ["t1"]) for owner in owners]
        return won, found

    won, found = asyncio.run(run())

    assert won.count(True) == 1
    expected = [{"t1": owner} if is_won else {} for owner, is_won in zip(owners, won, strict=True)]
    assert found == expected


@pytest.mark.parametrize("task_id", ["t" * (MAX_TASK_ID + 1), "t\0", "\ud800", "\U0001f600" * 650])
def test_an_id_that_no_database_can_keep_is_refused(place: Place, task_id: str) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> None:
        await ledger.own(replace(TASK, task_id=task_id))

    with pytest.raises(ValueError, match="at most 1024 characters"):
        using(place, story)


@pytest.mark.parametrize(
    "task_id", ["", "t" * MAX_TASK_ID, "\u00e9", "e\u0301", "'; --", "\U0001f600" * 640]
)
def test_any_other_id_is_kept_as_it_is(place: Place, task_id: str) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> Mapping[str, str]:
        await ledger.own(replace(TASK, task_id=task_id))
        return await ledger.owned("github", ALICE, [task_id, "\u00e9", "e\u0301"])

    assert using(place, story) == {task_id: "tool=search"}


@pytest.mark.parametrize(("asked", "queries"), [(0, 0), (1, 1), (500, 1), (501, 2), (1_200, 3)])
def test_five_hundred_ids_are_asked_for_in_one_query(
    place: Place, asked: int, queries: int
) -> None:
    ids = [f"t{number}" for number in range(asked)]

    async def run() -> tuple[Mapping[str, str], list[str]]:
        async with opened(place) as database:
            ledger = TaskLedger(database, Clock())
            for one in ids[::100]:
                await ledger.own(replace(TASK, task_id=one, origin=one))
            with statements() as seen:
                return await ledger.owned("github", ALICE, [*ids, *ids]), seen

    found, seen = asyncio.run(run())

    assert found == {one: one for one in ids[::100]}
    assert sum(one.startswith("SELECT") for one in seen) == queries


def test_what_expired_is_forgotten_and_nothing_else(place: Place) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> list[object]:
        for number in range(4):
            task = replace(TASK, task_id=f"t{number}", expires_at=2_000.0 + number)
            await ledger.own(task)
        clock.now = 2_001.0
        forgotten = await ledger.forget_ended()
        again = await ledger.forget_ended()
        clock.now = 0.0  # what is gone does not come back with the clock
        return [forgotten, again, [*await ledger.owned("github", ALICE, ["t0", "t1", "t2", "t3"])]]

    assert using(place, story) == [2, 0, ["t2", "t3"]]


def test_expired_tasks_are_found_by_their_index(tmp_path: Path) -> None:
    place = FilePlace(tmp_path)
    using(place, lambda ledger, _: ledger.own(TASK))

    steps = place.ask("EXPLAIN QUERY PLAN DELETE FROM tasks WHERE expires_at <= 1")

    assert any("tasks_ended" in step[3] for step in steps)


def test_a_ledger_whose_database_is_gone_says_so(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await database.close()
            ledger = TaskLedger(database, Clock())
            for ask in (ledger.own(TASK), ledger.owned("github", ALICE, ["t1"])):
                with pytest.raises(DatabaseUnavailableError):
                    await ask
            with pytest.raises(DatabaseUnavailableError):
                await ledger.forget_ended()

    asyncio.run(run())
