"""Finding in the journal without reading all of it: never another answer than a full scan has."""

from __future__ import annotations

import asyncio
import errno
import random
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from storage.journal import (
    Chain,
    Journal,
    JournalDamagedError,
    JournalUnavailableError,
    Kind,
    Record,
    read,
)
from storage.journal.reading import id_at, reaching, read_chain, read_near
from storage.journal.segments import chains
from tests.storage.disks import FailingFiles, QuickFiles
from tests.storage.samples import SMALL, decision, files, kept

SECOND = 10**9
START = 1_700_000_000 * SECOND
JUMPS = [0, 1, 10**6, 50 * 10**6, SECOND, 3600 * SECOND, 40 * 86_400 * SECOND]
WHOLE = 36


@dataclass(slots=True)
class Clock:
    """Goes on in steps of any length, and now and then jumps, ahead or back."""

    draw: random.Random
    now: int = START
    moments: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        is_back = self.draw.random() < 0.1
        step = self.draw.choice(JUMPS[: None if self.draw.random() < 0.1 else 4])
        self.now = max(START // 2, self.now + (-step if is_back else step))
        self.moments.append(self.now)
        return self.now


async def lived(directory: Path, draw: random.Random) -> None:
    """Write chains of several processes, one after another, each by a clock of its own."""
    for _ in range(draw.randint(2, 7)):
        failing = FailingFiles(draw.sample(range(1, 60), draw.randint(0, 4)), errno.EIO)
        node, clock = draw.choice("ab"), Clock(draw, START + draw.choice(JUMPS))
        with suppress(JournalUnavailableError):
            await appended(directory, node, clock, failing, draw)


async def appended(
    directory: Path, node: str, clock: Clock, disk: QuickFiles, draw: random.Random
) -> None:
    async with await Journal.open(
        directory, node, 0, limits=SMALL, clock=clock, files=disk
    ) as journal:
        for number in range(draw.randint(1, 40)):
            with suppress(JournalUnavailableError):
                id_ = await journal.append(Kind.DECISION, decision(number, pad="x" * 300))
                journal.append_soon(Kind.OUTCOME, {"decision": id_})


def is_late(record: Record, since: str) -> bool:
    return record.time >= since


@pytest.mark.parametrize("seed", range(12))
def test_what_is_passed_over_holds_nothing_that_was_looked_for(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    asyncio.run(lived(tmp_path, draw))
    every = kept(tmp_path, None)
    times = sorted({record.time for record in every})

    for since in [times[0], times[-1], *draw.sample(times, min(12, len(times)))]:
        found = [one.id for one in read(tmp_path, least=id_at(since)) if is_late(one, since)]
        assert found == [one.id for one in every if is_late(one, since)]
    for one in draw.sample(every, min(20, len(every))):
        for length in (8, 13, WHOLE):
            assert_decisions_are_near(tmp_path, every, one.id[:length])


def assert_decisions_are_near(directory: Path, every: list[Record], beginning: str) -> None:
    wanted = [one.id for one in every if one.id.startswith(beginning)]
    decided = {one.id for one in every if one.kind is Kind.DECISION}
    near = [one.id for one in read_near(directory, beginning) if one.id.startswith(beginning)]
    behind = [one.id for one in read(directory, least=beginning) if one.id in set(wanted)]
    assert behind == wanted
    assert decided.intersection(near) == decided.intersection(wanted)


@pytest.mark.parametrize("seed", range(12))
def test_the_first_id_of_a_segment_is_greater_than_all_before_it_whatever_the_clock_does(
    tmp_path: Path, seed: int
) -> None:
    asyncio.run(lived(tmp_path, random.Random(100 + seed)))

    for chain in chains(tmp_path):
        newest, decided, segment = "", "", 0
        for record in read_chain(tmp_path, chain):
            if record.position.segment != segment:
                assert record.id > newest
                segment = record.position.segment
            if record.kind is Kind.DECISION:
                assert record.id > decided
                decided = record.id
            newest = max(newest, record.id)
            assert id_at(record.time) <= record.id


def steadily(directory: Path, count: int) -> list[Record]:
    """Write *count* decisions, a second apart, and return them."""
    seconds = iter(range(10**6))

    def clock() -> int:
        return START + next(seconds) * SECOND

    async def run() -> None:
        async with await Journal.open(
            directory, "n", 0, limits=SMALL, clock=clock, files=QuickFiles()
        ) as journal:
            for number in range(count):
                await journal.append(Kind.DECISION, decision(number))

    asyncio.run(run())
    return kept(directory)


def test_of_many_segments_those_are_read_that_can_hold_what_is_looked_for(tmp_path: Path) -> None:
    decisions = steadily(tmp_path, 100)
    own = chains(tmp_path)[Chain("n", 0)]
    assert len(own) > 5

    for one in decisions:
        place = one.position.segment
        for least in (one.id, id_at(one.time)):
            first, *_ = reaching(tmp_path, own, least)
            assert first.number in (place - 1, place)
        near = {record.position.segment for record in read_near(tmp_path, one.id)}
        assert near <= {place - 1, place, place + 1}


def test_a_segment_that_is_passed_over_is_not_complained_of(tmp_path: Path) -> None:
    *_, last = steadily(tmp_path, 60)
    files(tmp_path)[0].write_bytes(b"{}\n")

    with pytest.raises(JournalDamagedError):
        kept(tmp_path)
    assert last in list(read(tmp_path, least=last.id))


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"v":1}\n', b"\0\n"])
def test_what_stands_before_a_first_line_that_says_nothing_is_read(
    tmp_path: Path, line: bytes
) -> None:
    steadily(tmp_path, 60)
    own = chains(tmp_path)[Chain("n", 0)]
    for segment in own[1:]:
        path: Path = tmp_path / segment.file
        _, rest = path.read_bytes().split(b"\n", 1)
        path.write_bytes(line + rest)

    assert reaching(tmp_path, own, "f" * 8) == own


@pytest.mark.parametrize(
    ("time", "id_"),
    [
        ("1970-01-01T00:00:00.000000Z", "00000000-0000"),
        ("0001-01-01T00:00:00.000000Z", "00000000-0000"),
        ("1970-01-01T00:01:05.537000Z", "00000001-0000"),
        ("2026-01-31T08:00:00.000999Z", "019c1310-e3ff"),
    ],
)
def test_a_time_is_where_its_ids_begin(time: str, id_: str) -> None:
    assert id_at(time) == id_
    milliseconds = datetime.fromisoformat(time).timestamp() * 1000
    assert int(id_.replace("-", ""), 16) <= max(0, milliseconds)
