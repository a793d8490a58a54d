"""What is judged by whose database was restored behind its back: the old facts, or the new.

A database that is in use is not restored, unless nothing shows that it is: whoever lost sight of
it, or comes under another name, finds out by itself.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from pathlib import Path

import pytest

from policies.model import Fact
from proxy.standing import Standing
from storage.backup import restore_backup
from storage.errors import DatabaseUnavailableError, FactVersionError
from storage.facts import Change, FactLedger
from storage.versions import WHATS
from storage.watching import watching
from tests.admin.controlled import shipped
from tests.storage.state.filled import KEY, backed_up, caller, untold
from tests.storage.state.places import FilePlace, Place, ServerPlace, opened, ticking

MINE = ["a", "b", "c"]


def adding(name: str) -> Change:
    return Change((caller(name),), (), "grant", "User:ann", "needed")


def backup_with(directory: Path, names: Iterable[str]) -> io.BytesIO:
    """Return a backup in which each of *names* was granted something, one after another."""

    async def run() -> None:
        async with opened(FilePlace(directory)) as database:
            for name in names:
                await FactLedger(database, ticking()).change(adding(name))

    asyncio.run(run())
    return backed_up(FilePlace(directory))


def judged_by(standing: Standing) -> set[Fact]:
    return {fact for fact, _ in standing.grounds.facts.facts()}


@pytest.mark.parametrize("names", [["x"], ["x", "b", "y"], ["x", "y", "z", "c", "w"]])
def test_whatever_version_is_restored_no_mixture_is_judged_by(
    served: ServerPlace, tmp_path: Path, names: list[str]
) -> None:
    backup = backup_with(tmp_path, names)
    hidden = ServerPlace(served.server, served.name)
    hidden.url = served.server.url(served.name, application_name="behind-a-pooler")
    old, new = {caller(name) for name in MINE}, {caller(name) for name in names}
    seen: list[set[Fact]] = []

    async def run() -> None:
        async with opened(hidden) as database:
            standing = await Standing.opened(shipped(), FactLedger(database, ticking()))
            for name in MINE:
                await standing.change(adding(name))
            standing.on_change = lambda: seen.append(judged_by(standing))
            await restore_backup(served.url, backup, KEY, replace=True, told=untold)
            with pytest.raises(DatabaseUnavailableError):
                await standing.change(adding("late"))
            assert judged_by(standing) == old
            await standing.catch_up()
            assert judged_by(standing) == new
            await standing.change(adding("late"))

    asyncio.run(run())

    assert seen == [new, new | {caller("late")}]


def test_a_restored_version_that_is_as_it_was_is_news(place: Place) -> None:
    heard: list[str] = []

    async def run() -> None:
        all_heard = asyncio.Event()

        def hear(what: str) -> None:
            heard.append(what)
            if len(heard) == len(WHATS):
                all_heard.set()

        async with opened(place) as database, watching(database, hear):
            restoring = "INSERT INTO counters VALUES ('restores', 1)"
            await asyncio.to_thread(place.ask, restoring, "SELECT 1")
            async with asyncio.timeout(30):
                await all_heard.wait()

    asyncio.run(run())

    assert heard == [*WHATS]


def test_nothing_is_told_or_changed_on_facts_of_before_a_restoration(place: Place) -> None:
    async def run() -> tuple[int, int]:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            await ledger.living()
            await ledger.change(adding("a"))
            restoring = "INSERT INTO counters VALUES ('restores', 1)"
            await asyncio.to_thread(place.ask, restoring, "SELECT 1")
            with pytest.raises(FactVersionError):
                await ledger.since(1)
            with pytest.raises(DatabaseUnavailableError):
                await ledger.change(adding("b"))
            await ledger.living()
            return (await ledger.since(1)).version, (await ledger.change(adding("b"))).version

    assert asyncio.run(run()) == (1, 2)
