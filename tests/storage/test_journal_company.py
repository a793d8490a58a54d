"""A record that nobody waits for goes with the next that somebody does, or else by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Event

from storage.journal import Journal, Kind, read
from tests.storage.disks import QuickFiles
from tests.storage.samples import SMALL, decision

WAIT_SECONDS = 10.0


class CountedFiles(QuickFiles):
    """Counts commits, which are the syncs of a segment, and tells of each."""

    def __init__(self) -> None:
        self.commits = 0
        self.told = Event()

    def sync(self, handle: int) -> None:
        del handle
        self.commits += 1
        self.told.set()


async def opened(directory: Path, files: CountedFiles) -> Journal:
    return await Journal.open(directory, "n", 0, limits=SMALL, files=files)


def kinds(directory: Path) -> list[Kind]:
    return [record.kind for record in read(directory) if record.kind is not Kind.CHANGE]


async def until_durable(journal: Journal, count: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while journal.health.durable < count:  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.001)


def test_an_outcome_shares_the_commit_of_the_next_decision(tmp_path: Path) -> None:
    files = CountedFiles()

    async def run() -> int:
        async with await opened(tmp_path, files) as journal:
            before = files.commits
            files.told.clear()
            journal.append_soon(Kind.OUTCOME, decision(1))
            # Were it on its way to the disk, the writer would have all this time to say so.
            assert not files.told.wait(0.1)
            await journal.append(Kind.DECISION, decision(2))
            return files.commits - before

    assert asyncio.run(run()) == 1
    assert kinds(tmp_path) == [Kind.OUTCOME, Kind.DECISION]


def test_an_outcome_that_nothing_follows_becomes_durable_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with await opened(tmp_path, CountedFiles()) as journal:
            journal.append_soon(Kind.OUTCOME, decision(1))
            await until_durable(journal, 1)
            journal.append_soon(Kind.OUTCOME, decision(2))
            await until_durable(journal, 2)

    asyncio.run(run())

    assert kinds(tmp_path) == [Kind.OUTCOME, Kind.OUTCOME]


def test_an_outcome_taken_just_before_the_end_is_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with await opened(tmp_path, CountedFiles()) as journal:
            journal.append_soon(Kind.OUTCOME, decision(1))

    asyncio.run(run())

    assert kinds(tmp_path) == [Kind.OUTCOME]
