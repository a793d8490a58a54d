"""What is removed of the record, is removed by its own word, and nothing else may go (T36, T37)."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage.journal import (
    Chain,
    Fault,
    Journal,
    JournalFullError,
    Kind,
    Limits,
    Removed,
    Signer,
    read,
    verify,
)
from storage.journal.ages import DAY, Age, Ages, oldest, outdated, trusted
from storage.journal.checkpoints import read_checkpoint
from storage.journal.frame import Link, Stamp, digest
from storage.journal.removal import LeftChains, retention_payload
from storage.journal.segments import Segment, chains
from tests.storage.disks import PowerCutFiles, QuickFiles
from tests.storage.samples import SMALL, decision, files, kept

SIGNER = Signer(b"retention" * 3 + b"-----")
N, GONE = Chain("n", 0), Chain("gone", 7)
NOON = 1_790_000_000.0


class Clock:
    """A clock that stands, in nanoseconds as a journal wants them, until it is set."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return int(self.now * 1_000_000_000)


async def journal(
    directory: Path,
    chain: Chain = N,
    limits: Limits = SMALL,
    clock: Callable[[], int] = time.time_ns,
    disk: QuickFiles | PowerCutFiles | None = None,
) -> Journal:
    return await Journal.open(
        directory,
        chain.node,
        chain.worker,
        limits=limits,
        clock=clock,
        files=disk or QuickFiles(),
        signer=SIGNER,
    )


async def appended(one: Journal, count: int) -> None:
    for number in range(count):
        await one.append(Kind.DECISION, decision(number))


def written(directory: Path, chain: Chain = N, count: int = 60) -> None:
    async def write() -> None:
        async with await journal(directory, chain) as one:
            await appended(one, count)

    asyncio.run(write())


def left(directory: Path, disk: QuickFiles | None = None) -> LeftChains:
    return LeftChains(directory, SMALL, time.time_ns, SIGNER, disk or QuickFiles())


def names(directory: Path) -> list[str]:
    return [path.name for path in files(directory)]


# How old it is.


def ages(*spans: tuple[float, float]) -> list[Age]:
    """Return segments of which each begins and ends so many days after noon."""
    return [
        Age(Segment(N, number), 100, NOON + began * DAY, NOON + ended * DAY, bare=False)
        for number, (began, ended) in enumerate(spans, 1)
    ]


YEARS = 3650.0


@pytest.mark.parametrize(
    ("spans", "now", "moment"),
    [
        ([(0, 0.9), (0.9, 1.8), (1.8, 2)], 2, 2),
        ([(0, 0.9), (0.9, 1.8)], 2, 1.8),  # nobody knows what the time since was
        ([(0, 0.9), (0.9, 1.8)], YEARS, 1.8),
        ([(0, 0.9), (YEARS, YEARS + 0.9)], YEARS + 0.9, 0.9),  # it jumped less than a day ago
        ([(0, 0.9), (YEARS, YEARS + 0.9), (YEARS + 0.9, YEARS + 1)], YEARS + 1, YEARS + 1),
        ([(0, 0.9), (YEARS, YEARS + 0.1), (1, 1.5)], 1.5, 0.9),  # and is right again
        ([(0, 0.9), (YEARS, YEARS + 0.1), (1, 1.9), (1.9, 2.1)], 2.1, 2.1),
        ([(0, 0.9), (-YEARS, -YEARS + 0.1)], -YEARS + 0.1, -YEARS + 0.1),
        ([(0, 0.9), (-YEARS, -YEARS + 0.1), (1, 1.5)], 1.5, -YEARS + 0.1),
        ([(0, 0.9), (4, 4.5), (7, 7.5)], 7.5, 0.9),  # two pauses, neither followed by a day
        ([(0, 0.9), (4, 4.5), (7, 8.5)], 8.5, 8.5),
        ([], 5, -NOON / DAY),
    ],
)
def test_r17_age_is_judged_by_a_time_that_has_lasted_a_day(
    spans: list[tuple[float, float]], now: float, moment: float
) -> None:
    assert trusted(ages(*spans), NOON + now * DAY) == pytest.approx(NOON + moment * DAY)


@pytest.mark.parametrize(
    ("spans", "before", "now", "written", "number"),
    [
        ([(0, 1), (1, 2), (2, 3)], 2.5, 3, True, 3),
        ([(0, 1), (1, 2), (2, 3)], 2, 3, True, 2),  # its last record is not older
        ([(0, 1), (1, 2), (2, 3)], 9, 9, True, 3),  # it is written
        ([(0, 1), (1, 2), (2, 3)], 9, 9, False, 4),
        ([(0, 1), (3, 4), (1, 2)], 2.5, 9, False, 2),  # what is old behind what is not stays
        ([(0, 1), (YEARS, YEARS), (1, 2), (2, 3)], 2.5, 3, True, 4),  # as old as what follows
        ([(0, YEARS)], 2.5, 3, False, 1),
    ],
)
def test_only_segments_that_are_old_from_the_first_on_are_outdated(
    spans: list[tuple[float, float]], before: float, now: float, *, written: bool, number: int
) -> None:
    found = outdated(ages(*spans), NOON + before * DAY, NOON + now * DAY, written=written)

    assert found == number


def test_a_chain_of_which_nothing_is_left_to_remove_is_not_outdated() -> None:
    [one] = ages((0, 1))

    assert outdated([replace(one, bare=True)], NOON + 9 * DAY, NOON + 9 * DAY, written=False) == 1


def test_room_is_made_by_the_oldest_segments_of_all_chains() -> None:
    mine = ages((0, 1), (1, 4))
    other = [replace(one, segment=Segment(GONE, one.segment.number)) for one in ages((0, 2))]

    assert oldest([*mine, *other], 150) == [mine[0].segment, other[0].segment]
    assert oldest(mine, 0) == []


def test_segments_tell_when_they_began_and_ended(tmp_path: Path) -> None:
    clock = Clock()

    async def story() -> None:
        async with await journal(tmp_path, clock=clock) as one:
            await appended(one, 20)
            clock.now += 100

    asyncio.run(story())
    with files(tmp_path)[-1].open("ab") as file:
        file.write(b'{"v":1,"kind":')

    [own] = Ages(tmp_path).of(chains(tmp_path))

    assert [one.began for one in own] == [NOON] * len(own)
    assert [one.ended for one in own] == [NOON] * (len(own) - 1) + [NOON + 100]
    assert [one.size for one in own] == [path.stat().st_size for path in files(tmp_path)]


# When a segment ends.


@pytest.mark.parametrize("later", [DAY, YEARS * DAY, -YEARS * DAY])
def test_r17_a_segment_ends_after_a_day_and_where_the_clock_jumps(
    tmp_path: Path, later: float
) -> None:
    clock, limits = Clock(), replace(SMALL, segment_seconds=DAY)

    async def story() -> None:
        async with await journal(tmp_path, clock=clock, limits=limits) as one:
            await appended(one, 2)
            clock.now += 10
            await appended(one, 2)
            clock.now += later
            await appended(one, 2)
        async with await journal(tmp_path, clock=clock, limits=limits) as one:
            await appended(one, 1)
            clock.now += later
            await appended(one, 1)

    asyncio.run(story())

    assert len(names(tmp_path)) == 3
    assert verify(tmp_path).is_whole


def test_a_chain_in_which_nothing_happens_says_so_now_and_then(tmp_path: Path) -> None:
    async def story() -> None:
        async with await journal(tmp_path, limits=replace(SMALL, silence=0.01)) as one:
            await appended(one, 1)
            before = one.link.seq
            async with asyncio.timeout(10):
                while one.link.seq < before + 3:  # noqa: ASYNC110  nobody is told
                    await asyncio.sleep(0.005)

    asyncio.run(story())

    assert [one.kind for one in read(tmp_path)][-3:] == [Kind.CHECKPOINT] * 3
    assert verify(tmp_path).is_whole


# What is removed.


def test_t36_what_a_chain_says_was_removed_is_told_and_all_the_rest_is_whole(
    tmp_path: Path,
) -> None:
    written(tmp_path, count=30)
    early = verify(tmp_path).anchor()
    written(tmp_path, GONE)

    async def story() -> list[Segment]:
        async with await journal(tmp_path) as one:
            await appended(one, 60)
            return await one.release(5, why="room")

    gone = asyncio.run(story())

    assert [one.number for one in gone] == [1, 2, 3, 4]
    found = verify(tmp_path, early)
    assert found.is_whole
    removed = {report.chain: report.removed for report in found.chains}
    first = min(record.seq for record in read(tmp_path) if record.chain == N)
    [word] = [one for one in read(tmp_path) if one.payload.get("what") == "journal.retention"]
    assert removed == {GONE: None, N: Removed(first - 1, word.time, "room", anchored=True)}
    # It is signed before anything goes.
    lines = b"".join(path.read_bytes() for path in files(tmp_path)).splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if b"journal.retention" in line)
    assert read_checkpoint(lines[at + 1]) is not None
    # What was taken later proves it all.
    later = verify(tmp_path, found.anchor()).chains
    assert [one.removed is not None and one.removed.anchored for one in later] == [False, False]


@pytest.mark.parametrize("before", [3, 99])
def test_t36_a_chain_whose_writer_is_gone_is_released_and_none_accuses_anybody(
    tmp_path: Path, before: int
) -> None:
    written(tmp_path, GONE)
    written(tmp_path, count=5)
    early = verify(tmp_path).anchor()

    gone = left(tmp_path).release(GONE, lambda: before, why="older than 30 days")

    own = [path for path in files(tmp_path) if path.name.startswith("gone")]
    assert [one.number for one in gone] == list(range(1, len(gone) + 1))
    assert own[0].name == f"gone.0007.{len(gone) + 1:08d}.jsonl"
    found = verify(tmp_path, early)
    assert found.is_whole
    [report] = [one for one in found.chains if one.chain == GONE]
    assert report.removed is not None
    assert report.removed.anchored == (before == 99)
    if before == 99:
        assert len(own) == 1
        assert own[0].stat().st_size < 2000
        [[age], _] = Ages(tmp_path).of(chains(tmp_path))
        assert age.bare
    # Whoever has that name next goes on where it ended.
    written(tmp_path, GONE, count=5)
    assert verify(tmp_path, early).is_whole


def test_t36_a_chain_that_is_gone_altogether_is_missing_however_old_it_was(tmp_path: Path) -> None:
    written(tmp_path, GONE)
    written(tmp_path, count=5)
    left(tmp_path).release(GONE, lambda: 99, why="older than 30 days")
    written(tmp_path, count=5)
    for path in tmp_path.glob("gone*.jsonl"):
        path.unlink()

    found = verify(tmp_path).first_break

    assert found is not None
    assert found.fault is Fault.MISSING


def test_t36_a_removal_that_nobody_signed_is_no_retention(tmp_path: Path) -> None:
    written(tmp_path)
    [report] = verify(tmp_path).chains
    first, last = Segment(N, 1), files(tmp_path)[-1]
    kept_from = Segment(N, 3)
    draft = Stamp(N, time.time_ns).draft(
        Kind.CHANGE, retention_payload(first, kept_from, "room"), 9999
    )
    with last.open("ab") as file:
        file.write(draft.line(Link(report.link.seq, report.link.digest)))
    assert digest(last.read_bytes().splitlines(keepends=True)[-2]) == report.link.digest
    for path in files(tmp_path)[:2]:
        path.unlink()

    found = verify(tmp_path).first_break

    assert found is not None
    assert (found.file, found.fault) == (Segment(N, 2).file, Fault.MISSING)


def test_nothing_is_removed_of_a_chain_that_is_written_or_still_needed(tmp_path: Path) -> None:
    written(tmp_path, GONE)

    async def story() -> list[Segment]:
        async with await journal(tmp_path):
            return left(tmp_path).release(N, lambda: 99, why="room")

    assert asyncio.run(story()) == []
    before = names(tmp_path)
    assert left(tmp_path).release(GONE, lambda: 1, why="room") == []
    assert names(tmp_path) == before


def test_r02_no_loss_of_power_during_a_removal_looks_like_tampering(tmp_path: Path) -> None:
    disk = PowerCutFiles(lambda: 0)

    async def story() -> None:
        async with await journal(tmp_path / "live", disk=disk) as one:
            await appended(one, 40)
            disk.moments.clear()
            await one.release(4, why="room")

    asyncio.run(story())
    chance = random.Random("removal")
    for cut, moment in enumerate(disk.moments):
        copy = tmp_path / str(cut)
        moment.survive(copy, chance)
        written(copy, count=1)
        assert verify(copy).is_whole, cut
    assert len(disk.moments) > 6


class StubbornFiles(QuickFiles):
    """Removes so many files, and then none."""

    def __init__(self, most: int) -> None:
        self.most = most

    def remove(self, path: Path) -> None:
        self.most -= 1
        if self.most < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().remove(path)


@pytest.mark.parametrize("most", [0, 1, 2])
@pytest.mark.parametrize("chain", [N, GONE])
def test_a_removal_that_failed_half_way_is_continued(
    tmp_path: Path, chain: Chain, most: int
) -> None:
    disk = StubbornFiles(most)
    written(tmp_path, GONE)

    async def released(one: Journal) -> None:
        if chain == GONE:
            left(tmp_path, disk).release(GONE, lambda: 4, why="room")
        else:
            await one.release(4, why="room")

    async def story() -> None:
        async with await journal(tmp_path, disk=disk) as one:
            await appended(one, 60)
            with pytest.raises(OSError, match="Input/output"):
                await released(one)
            assert verify(tmp_path).is_whole
            disk.most = 99
            await released(one)

    asyncio.run(story())

    assert chains(tmp_path)[chain][0].number == 4
    assert verify(tmp_path).is_whole


def test_segments_that_go_while_they_are_verified_break_nothing(tmp_path: Path) -> None:
    written(tmp_path, GONE)
    written(tmp_path, count=5)
    rounds = iter((2, 4, 99))

    def release(_: int) -> None:
        before = next(rounds, 1)
        left(tmp_path).release(GONE, lambda: before, why="room")

    found = verify(tmp_path, walked=release)

    assert found.is_whole
    assert [report.segments for report in found.chains] == [1, 1]


# How much room there is.


def test_t37_workers_share_one_bound(tmp_path: Path) -> None:
    limits = replace(SMALL, total_bytes=2**16)

    async def filled(one: Journal) -> int:
        for number in range(10_000):
            try:
                await one.append(Kind.DECISION, decision(number))
            except JournalFullError:
                return number
        raise AssertionError("it was never full")

    async def story() -> tuple[int, int, int]:
        async with (
            await journal(tmp_path, limits=limits) as one,
            await journal(tmp_path, GONE, limits=limits) as other,
        ):
            first, second = await filled(one), await filled(other)
            await one.release(9, why="room")
            return first, second, await filled(other)

    first, second, then = asyncio.run(story())

    assert first > 100
    assert second == 0
    assert then > 20
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2**16
    assert verify(tmp_path).is_whole
    assert len(kept(tmp_path)) > 100
