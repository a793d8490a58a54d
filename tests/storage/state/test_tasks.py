"""Who began the tasks that servers run, and that nobody takes over the task of another."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Engine, event

from policies.model import Fact
from storage.errors import DatabaseUnavailableError
from storage.facts import Change, FactLedger
from storage.tasks import MAX_TASK_ID, OwnedTask, TaskLedger
from tests.storage.state.places import file_in, opened

ALICE, MALLORY = "User:alice", "Client:mallory"
TASK = OwnedTask("github", "t1", ALICE, "tool=search", 2_000.0)
CHANGE = Change((Fact("is_suspended", ("mallory",)),), (), "grant", "User:alice", "abuse")
T = TypeVar("T")


@dataclass
class Clock:
    """A clock that stands until it is set."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def using(directory: Path, story: Callable[[TaskLedger, Clock], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(directory) as database:
            clock = Clock()
            return await story(TaskLedger(database, clock), clock)

    return asyncio.run(run())


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the statements that any database runs in the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_task_belongs_to_who_began_it_after_a_restart(tmp_path: Path) -> None:
    assert using(tmp_path, lambda ledger, _: ledger.own(TASK))

    found = using(tmp_path, lambda ledger, _: ledger.owned("github", ALICE, ["t1", "t2"]))

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
    tmp_path: Path, server: str, owner: str, task_id: str
) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> Mapping[str, str]:
        await ledger.own(TASK)
        return await ledger.owned(server, owner, [task_id])

    assert using(tmp_path, story) == {}


def test_a_task_that_another_claims_stays_with_its_owner(tmp_path: Path) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> list[object]:
        await ledger.own(TASK)
        claim = replace(TASK, owner=MALLORY, origin="tool=other", expires_at=9_000.0)
        return [
            await ledger.own(claim),
            await ledger.owned("github", MALLORY, ["t1"]),
            await ledger.owned("github", ALICE, ["t1"]),
        ]

    assert using(tmp_path, story) == [False, {}, {"t1": "tool=search"}]


def test_a_claim_that_failed_makes_no_task_live_longer(tmp_path: Path) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> Mapping[str, str]:
        await ledger.own(TASK)
        await ledger.own(replace(TASK, owner=MALLORY, expires_at=9_000.0))
        clock.now = 2_000.0
        return await ledger.owned("github", ALICE, ["t1"])

    assert using(tmp_path, story) == {}


def test_the_same_id_is_another_task_on_another_server(tmp_path: Path) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> list[object]:
        await ledger.own(TASK)
        return [
            await ledger.own(replace(TASK, server="jira", owner=MALLORY)),
            await ledger.owned("github", ALICE, ["t1"]),
            await ledger.owned("jira", MALLORY, ["t1"]),
        ]

    assert using(tmp_path, story) == [True, {"t1": "tool=search"}, {"t1": "tool=search"}]


def test_an_owner_may_renew_a_task(tmp_path: Path) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> list[object]:
        await ledger.own(TASK)
        renewed = await ledger.own(replace(TASK, origin="tool=read", expires_at=3_000.0))
        clock.now = 2_999.5
        before = await ledger.owned("github", ALICE, ["t1"])
        clock.now = 3_000.0
        return [renewed, before, await ledger.owned("github", ALICE, ["t1"])]

    assert using(tmp_path, story) == [True, {"t1": "tool=read"}, {}]


@pytest.mark.parametrize(("now", "is_free"), [(1_999.5, False), (2_000.0, True), (9_000.0, True)])
def test_an_id_is_free_for_others_once_its_task_expired(
    tmp_path: Path, now: float, *, is_free: bool
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
    assert using(tmp_path, story) == (others if is_free else [False, {}, {"t1": "tool=search"}])


def test_of_many_who_claim_an_id_at_once_one_gets_it(tmp_path: Path) -> None:
    owners = [f"User:{number}" for number in range(12)]

    async def run() -> tuple[list[bool], list[Mapping[str, str]]]:
        # Two databases, as two workers have them: only the file is between them.
        async with opened(tmp_path) as first, opened(tmp_path) as second:
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


@pytest.mark.parametrize("task_id", ["t" * (MAX_TASK_ID + 1), "t\0", "\ud800"])
def test_an_id_that_no_database_can_keep_is_refused(tmp_path: Path, task_id: str) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> None:
        await ledger.own(replace(TASK, task_id=task_id))

    with pytest.raises(ValueError, match="at most 1024 characters"):
        using(tmp_path, story)


@pytest.mark.parametrize(
    "task_id", ["", "t" * MAX_TASK_ID, "\u00e9", "e\u0301", "'; --", "\U0001f600" * MAX_TASK_ID]
)
def test_any_other_id_is_kept_as_it_is(tmp_path: Path, task_id: str) -> None:
    async def story(ledger: TaskLedger, _: Clock) -> Mapping[str, str]:
        await ledger.own(replace(TASK, task_id=task_id))
        return await ledger.owned("github", ALICE, [task_id, "\u00e9", "e\u0301"])

    assert using(tmp_path, story) == {task_id: "tool=search"}


@pytest.mark.parametrize(("asked", "queries"), [(0, 0), (1, 1), (500, 1), (501, 2), (1_200, 3)])
def test_five_hundred_ids_are_asked_for_in_one_query(
    tmp_path: Path, asked: int, queries: int
) -> None:
    ids = [f"t{number}" for number in range(asked)]

    async def run() -> tuple[Mapping[str, str], list[str]]:
        async with opened(tmp_path) as database:
            ledger = TaskLedger(database, Clock())
            for one in ids[::100]:
                await ledger.own(replace(TASK, task_id=one, origin=one))
            with statements() as seen:
                return await ledger.owned("github", ALICE, [*ids, *ids]), seen

    found, seen = asyncio.run(run())

    assert found == {one: one for one in ids[::100]}
    assert sum(one.startswith("SELECT") for one in seen) == queries


def test_what_expired_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    async def story(ledger: TaskLedger, clock: Clock) -> list[object]:
        for number in range(4):
            task = replace(TASK, task_id=f"t{number}", expires_at=2_000.0 + number)
            await ledger.own(task)
        clock.now = 2_001.0
        forgotten = await ledger.forget_ended()
        again = await ledger.forget_ended()
        clock.now = 0.0  # what is gone does not come back with the clock
        return [forgotten, again, [*await ledger.owned("github", ALICE, ["t0", "t1", "t2", "t3"])]]

    assert using(tmp_path, story) == [2, 0, ["t2", "t3"]]


def test_expired_tasks_are_found_by_their_index(tmp_path: Path) -> None:
    using(tmp_path, lambda ledger, _: ledger.own(TASK))

    with closing(sqlite3.connect(file_in(tmp_path))) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN DELETE FROM tasks WHERE expires_at <= 1")
        steps = [row[3] for row in plan]

    assert any("tasks_ended" in step for step in steps)


def test_a_ledger_whose_database_is_gone_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as database:
            await database.close()
            ledger = TaskLedger(database, Clock())
            for ask in (ledger.own(TASK), ledger.owned("github", ALICE, ["t1"])):
                with pytest.raises(DatabaseUnavailableError):
                    await ask
            with pytest.raises(DatabaseUnavailableError):
                await ledger.forget_ended()

    asyncio.run(run())


def test_a_database_of_the_first_schema_keeps_what_it_has(tmp_path: Path) -> None:
    async def before() -> None:
        async with opened(tmp_path) as database:
            await FactLedger(database, Clock()).change(CHANGE)

    asyncio.run(before())
    with closing(sqlite3.connect(file_in(tmp_path))) as connection, connection:
        connection.execute("DROP TABLE tasks")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")

    async def after() -> tuple[list[tuple[Fact, str]], bool]:
        async with opened(tmp_path) as database:
            _, facts = await FactLedger(database, Clock()).living()
            return facts, await TaskLedger(database, Clock()).own(TASK)

    assert asyncio.run(after()) == ([(CHANGE.add[0], "grant")], True)
