"""The candidate that is tried: one at most, with the counts of every process, a bounded number."""

from __future__ import annotations

import asyncio

import pytest

from storage.errors import TextRefusedError
from storage.shadows import MOST_PROCESSES, ShadowLedger, ShadowRunningError
from tests.storage.state.places import Place, opened, ticking

FILES = {"a.polar": "# a\n", "team/b.polar": "# é\n"}


def test_there_is_one_at_most_and_its_counts_end_with_it(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as database:
            ledger = ShadowLedger(database, ticking())
            assert await ledger.current() is None
            begun = await ledger.begin("v", FILES, "User:ann")
            assert await ledger.current() == begun
            assert begun.sources == FILES
            with pytest.raises(ShadowRunningError):
                await ledger.begin("w", FILES, "User:ann")
            await ledger.count(begun.run, "one", "1")
            await ledger.count(begun.run, "two", "2")
            await ledger.count(begun.run, "one", "3")
            assert await ledger.counts(begun.run) == {"one": "3", "two": "2"}
            assert await ledger.end(begun.run)
            assert not await ledger.end(begun.run)
            await ledger.count(begun.run, "one", "4")
            assert await ledger.counts(begun.run) == {}

    asyncio.run(story())


def test_of_more_processes_than_there_can_be_the_last_to_count_are_kept(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as database:
            ledger = ShadowLedger(database, ticking())
            run = (await ledger.begin("v", FILES, "User:ann")).run
            for number in range(MOST_PROCESSES + 2):
                await ledger.count(run, str(number), "0")
            names = {str(number) for number in range(2, MOST_PROCESSES + 2)}
            assert (await ledger.counts(run)).keys() == names

    asyncio.run(story())


def test_what_no_database_keeps_is_refused(place: Place) -> None:
    async def story() -> None:
        async with opened(place) as database:
            ledger = ShadowLedger(database, ticking())
            with pytest.raises(TextRefusedError):
                await ledger.begin("v", {"a.polar": "\0"}, "User:ann")
            assert await ledger.current() is None

    asyncio.run(story())
