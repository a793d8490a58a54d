"""R01, R02: what was acknowledged survives kill -9 and a loss of power."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from storage.journal import Journal, Kind, verify
from tests.storage.disks import Moment, PowerCutFiles, QuickFiles
from tests.storage.early import EarlyJournal
from tests.storage.samples import SMALL, decision, files, ids

ROOT = Path(__file__).parents[2]


def killed_while_appending(directory: Path, count: int, *modes: str) -> list[str]:
    """Kill a process when it has printed *count* acknowledgements; return all that it printed."""
    command = [sys.executable, "-m", "tests.storage.appender", str(directory), *modes]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:  # noqa: S603
        pipe = process.stdout
        assert pipe is not None
        lines = [pipe.readline() for _ in range(count)]
        process.kill()
        lines += pipe.readlines()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


def survive_kills(directory: Path, trials: int) -> int:
    chance = random.Random("kill -9")
    promised: set[str] = set()
    for _ in range(trials):
        printed = killed_while_appending(directory, chance.randint(1, 2000))
        promised.update(printed)
        (report,) = verify(directory).chains
        last = files(directory)[-1].read_bytes()
        assert report.broken is None
        # At most one torn line: everything up to the last line break holds.
        assert report.torn == len(last) - 1 - last.rfind(b"\n")
        assert printed
        assert promised <= ids(directory)
    asyncio.run(reopened(directory))
    assert verify(directory).is_whole
    assert promised <= ids(directory)
    return len(promised)


async def reopened(directory: Path) -> None:
    async with await Journal.open(directory, "n", 0, files=QuickFiles()) as journal:
        await journal.append(Kind.DECISION, decision(0))


def test_r01_no_acknowledged_record_is_lost_in_20_kills_under_load(tmp_path: Path) -> None:
    assert survive_kills(tmp_path, 20) > 20


@pytest.mark.fuzz
def test_r01_no_acknowledged_record_is_lost_in_200_kills_under_load(tmp_path: Path) -> None:
    assert survive_kills(tmp_path, 200) > 200


def test_r01_the_kills_find_out_a_journal_that_acknowledges_early(tmp_path: Path) -> None:
    def lost(trial: int) -> set[str]:
        printed = killed_while_appending(tmp_path / str(trial), 3000, "early")
        return set(printed) - ids(tmp_path / str(trial))

    # Most kills show it, but one may come just after a write, so the first loss is waited for.
    assert any(lost(trial) for trial in range(40))


async def observed(
    kind: type[Journal], directory: Path, records: int
) -> tuple[list[Moment], list[str]]:
    """Append from several callers; return every moment of the disk, and what was promised."""
    promised: list[str] = []
    disk = PowerCutFiles(lambda: len(promised))

    async def caller(number: int) -> None:
        for turn in range(records):
            pad = "x" * (turn * 37 % 300)
            promised.append(await journal.append(Kind.DECISION, decision(number, pad=pad)))

    async with await kind.open(directory, "n", 0, limits=SMALL, files=disk) as journal:
        await asyncio.gather(*map(caller, range(3)))
    return disk.moments, promised


def losses(
    kind: type[Journal], directory: Path, cuts: int, records: int
) -> list[tuple[set[str], bool]]:
    """Return, for each of many cuts, what was promised and lost, and whether the chain holds."""
    moments, promised = asyncio.run(observed(kind, directory / "live", records))
    chance = random.Random("power")
    found = []
    for cut in range(cuts):
        moment = chance.choice(moments)
        copy = directory / str(cut)
        moment.survive(copy, chance)
        asyncio.run(restarted(copy))
        lost = set(promised[: moment.acknowledged]) - ids(copy)
        found.append((lost, verify(copy).is_whole))
    return found


async def restarted(directory: Path) -> None:
    journal = await Journal.open(directory, "n", 0, limits=SMALL, files=QuickFiles())
    await journal.append(Kind.DECISION, decision(0))
    await journal.close()


def test_r02_no_acknowledged_record_is_lost_in_500_losses_of_power(tmp_path: Path) -> None:
    found = losses(Journal, tmp_path, cuts=500, records=100)

    assert [lost for lost, _ in found if lost] == []
    assert all(whole for _, whole in found)


@pytest.mark.fuzz
def test_r02_no_acknowledged_record_is_lost_in_10_000_losses_of_power(tmp_path: Path) -> None:
    found = losses(Journal, tmp_path, cuts=10_000, records=500)

    assert [lost for lost, _ in found if lost] == []
    assert all(whole for _, whole in found)


def test_r02_losses_of_power_find_out_a_journal_that_acknowledges_early(tmp_path: Path) -> None:
    found = losses(EarlyJournal, tmp_path, cuts=30, records=100)

    assert any(lost for lost, _ in found)


def test_r02_a_second_loss_of_power_during_the_repair_loses_nothing(tmp_path: Path) -> None:
    moments, promised = asyncio.run(observed(Journal, tmp_path / "live", 20))
    chance = random.Random("again")
    for cut in range(40):
        moment = chance.choice(moments)
        first, second = tmp_path / f"{cut}", tmp_path / f"{cut}-again"
        moment.survive(first, chance)
        disk = repaired(first)
        chance.choice(disk.moments).survive(second, chance)
        asyncio.run(restarted(second))

        assert set(promised[: moment.acknowledged]) <= ids(second)
        assert verify(second).is_whole


def repaired(directory: Path) -> PowerCutFiles:
    """Open what a loss of power left in *directory*, on a disk that may lose it again."""
    disk = PowerCutFiles(lambda: 0)
    disk.know(directory)

    async def once() -> None:
        journal = await Journal.open(directory, "n", 0, limits=SMALL, files=disk)
        await journal.close()

    asyncio.run(once())
    return disk
