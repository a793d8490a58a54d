"""What one process changes, others hear of: in time, after outages, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from policies.model import Fact
from storage.definitions import DefinitionLedger, Seen
from storage.engine import Database
from storage.errors import DatabaseUnavailableError
from storage.facts import Change, FactLedger
from storage.tasks import OwnedTask, TaskLedger
from storage.tokens import IssuedRecord, TokenLedger
from storage.versions import raised
from storage.watching import LOOK_SECONDS, Watch, watching
from tests.storage.postgres import LEAVE, SECONDS
from tests.storage.state.places import Place, ServerPlace, opened, ticking

ROOT = Path(__file__).parents[3]
ISSUED = IssuedRecord("t1", "data", "client:ci", "ci", "http://h", 1, 9, "user:alice", "k1")
TOOL = Seen("tool", "search", "A", {"name": "search"})
PROMISED = 1.0


class Heard:
    """What was told, and when."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, what: str) -> None:
        self.all.append(what)
        self._changed.set()

    async def until(self, *expected: str) -> float:
        """Wait until exactly *expected* was told, and return the seconds that took."""
        started = time.monotonic()
        async with asyncio.timeout(SECONDS):
            while sorted(self.all) != sorted(expected):
                self._changed.clear()
                await self._changed.wait()
        return time.monotonic() - started


async def true(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)


def fact(number: int = 0) -> Change:
    return Change((Fact("p", (number,)),), (), "grant", "alice", "needed")


@asynccontextmanager
async def two(place: Place) -> AsyncIterator[tuple[Database, Heard, Watch]]:
    """Open *place* twice, as two processes do: one to change it, one that watches."""
    heard = Heard()
    async with (
        opened(place) as changing,
        opened(place) as watched,
        watching(watched, heard) as watch,
    ):
        yield changing, heard, watch


async def change_facts(database: Database) -> None:
    await FactLedger(database, ticking()).change(fact())


async def revoke(database: Database) -> None:
    ledger = TokenLedger(database, ticking())
    await ledger.record(ISSUED)
    await ledger.revoke("t1", "user:bob", "leaked")


async def take(database: Database) -> None:
    await DefinitionLedger(database, ticking()).take("github", [TOOL], trust="none")


async def approve(database: Database) -> None:
    await DefinitionLedger(database, ticking()).approve("github", "tool", "search", "A")


@pytest.mark.parametrize(
    ("change", "what"), [(change_facts, "facts"), (revoke, "tokens"), (take, "definitions")]
)
def test_a_change_is_heard_of_in_time_and_as_what_it_is(
    place: Place, change: Callable[[Database], Awaitable[None]], what: str
) -> None:
    async def run() -> float:
        async with two(place) as (database, heard, _):
            await change(database)
            return await heard.until(what)

    assert asyncio.run(run()) < PROMISED


def test_news_comes_sooner_than_a_look_would(place: Place) -> None:
    async def run() -> float:
        async with two(place) as (database, heard, watch):
            await true(lambda: watch.behind < LOOK_SECONDS / 2)
            delays = []
            for number in range(5):
                await FactLedger(database, ticking()).change(fact(number))
                delays.append(await heard.until(*["facts"] * (number + 1)))
            return sorted(delays)[2]

    assert asyncio.run(run()) < LOOK_SECONDS / 2


def test_another_process_is_heard_of(place: Place) -> None:
    async def run() -> float:
        heard = Heard()
        async with opened(place) as database, watching(database, heard):
            command = [sys.executable, "-m", "tests.storage.state.changer", place.url, "a"]
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as changer:  # noqa: ASYNC220, S603  fixed
                assert changer.stdout
                await asyncio.to_thread(changer.stdout.readline)
                started = time.monotonic()
                await true(lambda: "facts" in heard.all)
                took = time.monotonic() - started
                changer.kill()
                await asyncio.to_thread(changer.stdout.read)
            return took

    assert asyncio.run(run()) < PROMISED


def test_what_was_there_before_is_no_change(place: Place) -> None:
    async def run() -> list[str]:
        async with opened(place) as database:
            await change_facts(database)
            await take(database)
            heard = Heard()
            async with watching(database, heard):
                await revoke(database)
                await heard.until("tokens")
            return heard.all

    assert asyncio.run(run()) == ["tokens"]


def test_what_changes_nothing_that_others_keep_is_not_told(place: Place) -> None:
    async def run() -> list[str]:
        async with opened(place) as database:
            facts, tokens = FactLedger(database, ticking()), TokenLedger(database, ticking())
            await facts.change(fact())
            await revoke(database)
            await take(database)
            await approve(database)
            heard = Heard()
            async with watching(database, heard):
                await facts.change(fact())
                await tokens.record(replace(ISSUED, jti="t2"))
                await tokens.revoke("t1", "user:bob", "again")
                await take(database)
                await approve(database)
                task = OwnedTask("github", "t", "User:alice", "", 9_000.0)
                await TaskLedger(database, ticking()).own(task)
                with pytest.raises(LookupError):
                    await fail(database)
                await facts.change(fact(1))
                await heard.until("facts")
            return heard.all

    async def fail(database: Database) -> None:
        async with database.changing() as session:
            await raised(session, "definitions")
            raise LookupError

    assert asyncio.run(run()) == ["facts"]


@pytest.mark.parametrize("offer", [[], [replace(TOOL, hash="B")], [TOOL, replace(TOOL, name="x")]])
def test_every_change_of_an_offer_is_told(place: Place, offer: list[Seen]) -> None:
    async def run() -> None:
        async with two(place) as (database, heard, _):
            await take(database)
            await heard.until("definitions")
            await DefinitionLedger(database, ticking()).take("github", offer, trust="none")
            await heard.until("definitions", "definitions")

    asyncio.run(run())


def test_an_approval_is_told(place: Place) -> None:
    async def run() -> None:
        async with two(place) as (database, heard, _):
            await take(database)
            await heard.until("definitions")
            await approve(database)
            await heard.until("definitions", "definitions")

    asyncio.run(run())


def test_a_version_that_went_back_is_a_change(place: Place) -> None:
    async def run() -> None:
        async with two(place) as (database, heard, _):
            await change_facts(database)
            await heard.until("facts")
            await asyncio.to_thread(place.ask, "UPDATE counters SET value = 0")
            await heard.until("facts", "facts")

    asyncio.run(run())


def test_one_that_raises_is_told_again(place: Place) -> None:
    async def run() -> tuple[list[str], list[str]]:
        heard, reported = Heard(), list[str]()
        refusals = iter([True, True])

        def refuse_twice(what: str) -> None:
            if next(refusals, False):
                raise LookupError
            heard(what)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
        async with opened(place) as database, watching(database, refuse_twice):
            await change_facts(database)
            await heard.until("facts")
        return heard.all, reported

    assert asyncio.run(run()) == (["facts"], ["What is told of changes failed"] * 2)


def test_a_false_announcement_hides_no_change(served: ServerPlace) -> None:
    async def run() -> list[str]:
        async with two(served) as (database, heard, watch):
            for payload in ("facts:9999", "facts:-1", "", "tokens", "\x01" * 900):
                await served.server.answer(f"NOTIFY northgate, '{payload}'", served.name)
            await true(lambda: watch.behind < LOOK_SECONDS / 2)
            await change_facts(database)
            await heard.until("facts")
            return heard.all

    assert asyncio.run(run()) == ["facts"]


def test_a_watch_outlives_its_connection(served: ServerPlace) -> None:
    async def run() -> float:
        async with two(served) as (database, heard, _):
            await served.server.cut(served.name)
            await change_facts(database)
            return await heard.until("facts")

    assert asyncio.run(run()) < PROMISED


def test_a_watch_outlives_a_restart_of_the_server_and_knows_how_far_it_is_behind(
    served: ServerPlace,
) -> None:
    async def run() -> float:
        async with two(served) as (database, heard, watch):
            await asyncio.to_thread(served.server.stop)
            await true(lambda: watch.behind > 2 * LOOK_SECONDS)
            await asyncio.to_thread(served.server.start)
            await change_facts(database)
            took = await heard.until("facts")
            assert watch.behind < LOOK_SECONDS
            await FactLedger(database, ticking()).change(fact(1))
            await heard.until("facts", "facts")
            return took

    assert asyncio.run(run()) < PROMISED


def test_what_changed_while_it_was_cut_off_is_told_after(served: ServerPlace) -> None:
    async def run() -> list[str]:
        server, name = served.server, served.name
        inside = await asyncpg.connect(served.url)
        async with two(served) as (_, heard, watch):
            await server.answer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", "postgres")
            try:
                await inside.execute(LEAVE)
                await inside.execute("UPDATE counters SET value = 7 WHERE name = 'tokens'")
                await true(lambda: watch.behind > LOOK_SECONDS)
                before = list(heard.all)
            finally:
                await server.answer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", "postgres")
            await inside.close()
            await heard.until("tokens")
        return before

    assert asyncio.run(run()) == []


def test_a_server_that_hangs_is_told_of_by_how_far_the_watch_is_behind(
    served: ServerPlace,
) -> None:
    async def run() -> None:
        heard = Heard()
        async with (
            opened(served) as database,
            opened(served, wait=0.5) as watched,
            watching(watched, heard) as watch,
        ):
            served.server.freeze()
            try:
                await true(lambda: watch.behind > 2 * LOOK_SECONDS)
            finally:
                served.server.thaw()
            await change_facts(database)
            await heard.until("facts")

    asyncio.run(run())


def test_a_watch_that_cannot_begin_says_so(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await database.close()
            async with watching(database, Heard()):
                pass

    with pytest.raises(DatabaseUnavailableError):
        asyncio.run(run())


def test_a_watch_that_ended_tells_nothing_and_leaves_no_task(place: Place) -> None:
    async def run() -> tuple[list[str], int]:
        heard = Heard()
        async with opened(place) as database:
            async with watching(database, heard):
                before = len(asyncio.all_tasks())
            await change_facts(database)
            await FactLedger(database, ticking()).living()
            return heard.all, before - len(asyncio.all_tasks())

    assert asyncio.run(run()) == ([], 1)


def test_an_error_in_the_block_comes_out_as_it_is(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database, watching(database, Heard()):
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(run())


def test_a_database_that_closes_before_its_watch_lets_go_of_it(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database, watching(database, Heard()) as watch:
            await database.close()
            await true(lambda: watch.behind > LOOK_SECONDS)

    asyncio.run(run())
