"""Transactions that are whole or nothing, one after another, on every kind of database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from policies.model import Fact
from storage.engine import Database
from storage.errors import DatabaseUnavailableError
from storage.facts import FactLedger
from storage.tables import ServerRow
from tests.storage.state.places import Place, opened, ticking
from tests.storage.state.servers import add, names

ROOT = Path(__file__).parents[3]


async def made(place: Place) -> None:
    async with opened(place):
        pass


def test_what_was_changed_is_there_after_a_restart(place: Place) -> None:
    async def run() -> list[str]:
        async with opened(place) as database:
            await add(database, "github")
        async with opened(place) as database:
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_change_that_raises_leaves_nothing(place: Place) -> None:
    async def fail(database: Database) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="github", first_seen_at=1.0))
            await session.flush()
            raise LookupError

    async def run() -> list[str]:
        async with opened(place) as database:
            with pytest.raises(LookupError):
                await fail(database)
            return await names(database)

    assert asyncio.run(run()) == []


def test_a_cancelled_change_leaves_nothing_and_the_next_has_its_turn(place: Place) -> None:
    async def hang(database: Database, has_written: asyncio.Event) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="github", first_seen_at=1.0))
            await session.flush()
            has_written.set()
            await asyncio.Event().wait()

    async def run() -> list[str]:
        async with opened(place, wait=1.0) as database:
            has_written = asyncio.Event()
            task = asyncio.create_task(hang(database, has_written))
            await has_written.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await add(database, "jira")
            return await names(database)

    assert asyncio.run(run()) == ["jira"]


def test_a_change_is_seen_by_nobody_before_it_is_whole(place: Place) -> None:
    async def run() -> tuple[list[str], list[str]]:
        async with opened(place) as database:
            async with database.changing() as session:
                session.add(ServerRow(name="github", first_seen_at=1.0))
                await session.flush()
                during = await names(database)
            return during, await names(database)

    assert asyncio.run(run()) == ([], ["github"])


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(place: Place) -> None:
    async def run() -> tuple[list[str], list[str]]:
        async with opened(place) as database, database.reading() as session:
            first = (await session.exec(select(ServerRow.name))).all()
            await add(database, "github")
            return list(first), list((await session.exec(select(ServerRow.name))).all())

    assert asyncio.run(run()) == ([], [])


def test_changes_have_their_turns_in_the_order_they_came(place: Place) -> None:
    async def change(database: Database, number: int, order: list[int]) -> None:
        async with database.changing():
            order.append(number)

    async def run() -> list[int]:
        order: list[int] = []
        async with opened(place) as database:
            await asyncio.gather(*(change(database, number, order) for number in range(20)))
        return order

    assert asyncio.run(run()) == list(range(20))


def test_a_change_whose_turn_does_not_come_gives_up(place: Place) -> None:
    async def run() -> list[str]:
        async with opened(place, wait=0.5) as database:
            async with database.changing():
                with pytest.raises(DatabaseUnavailableError):
                    await add(database, "late")
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_reader_gives_up_when_no_connection_becomes_free(place: Place) -> None:
    async def hold(database: Database, until: asyncio.Event) -> None:
        async with database.reading() as session:
            await session.connection()
            await until.wait()

    async def run() -> str:
        async with opened(place, wait=0.5) as database:
            until = asyncio.Event()
            holders = [asyncio.create_task(hold(database, until)) for _ in range(50)]
            done, _ = await asyncio.wait(holders, return_when=asyncio.FIRST_EXCEPTION)
            until.set()
            await asyncio.wait(holders)
            assert await names(database) == []
            return repr(next(iter(done)).exception())

    assert "no connection became free" in asyncio.run(run())


def test_a_mistake_of_ours_is_not_told_as_a_failure_of_the_database(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await add(database, "github")
            await add(database, "github")

    with pytest.raises(IntegrityError):
        asyncio.run(run())


def test_a_failure_does_not_repeat_what_was_to_be_written(fresh: Place) -> None:
    async def run() -> None:
        async with opened(fresh) as database:
            await add(database, "confidential")

    asyncio.run(made(fresh))
    fresh.ask("DROP TABLE definitions", "DROP TABLE servers")
    with pytest.raises(DatabaseUnavailableError) as failure:
        asyncio.run(run())

    assert "no such table" in failure.value.detail or "does not exist" in failure.value.detail
    assert "confidential" not in f"{failure.value} {failure.value.__cause__}"


def test_a_mistake_of_ours_does_not_repeat_what_was_to_be_written(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await add(database, "confidential")
            await add(database, "confidential")

    with pytest.raises(IntegrityError) as failure:
        asyncio.run(run())

    assert "confidential" not in str(failure.value)


def test_closing_lets_what_runs_end(place: Place) -> None:
    async def run() -> list[str]:
        async with opened(place) as database:
            async with database.changing() as session:
                closing_down = asyncio.create_task(database.close())
                await asyncio.sleep(0)
                session.add(ServerRow(name="github", first_seen_at=1.0))
            await closing_down
        async with opened(place) as database:
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_nothing_runs_once_it_is_closed(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await database.close()
            await names(database)

    with pytest.raises(DatabaseUnavailableError):
        asyncio.run(run())


# Several processes, killed.


def test_changes_that_were_told_survive_kill_9_and_the_others_are_whole(place: Place) -> None:
    command = [sys.executable, "-m", "tests.storage.state.changer", place.url]
    changers = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603  fixed
        for name in "ab"
    ]
    told: dict[int, Fact] = {}
    for changer, name in zip(changers, "ab", strict=True):
        with changer:
            assert changer.stdout
            lines = [changer.stdout.readline() for _ in range(5)]
            changer.kill()
            for line in [*lines, *changer.stdout]:
                version, number = map(int, line.split())
                told[version] = Fact("counted", (name, number))

    async def run() -> tuple[int, list[Fact]]:
        async with opened(place) as database:
            version, living = await FactLedger(database, ticking()).living()
            return version, [fact for fact, _ in living]

    newest, living = asyncio.run(run())
    assert len(living) == newest
    assert {version: living[version - 1] for version in told} == told
