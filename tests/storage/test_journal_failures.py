"""R05: a disk that fails or is full refuses calls, loses nothing acknowledged, and is retried."""

from __future__ import annotations

import asyncio
import errno
import random
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from storage.journal import (
    Chain,
    Journal,
    JournalBusyError,
    JournalClosedError,
    JournalFullError,
    JournalLateError,
    JournalUnavailableError,
    Kind,
    Limits,
    verify,
)
from storage.journal.chain import ChainFile
from storage.journal.files import Files
from storage.journal.frame import Stamp
from tests.storage.disks import (
    FailingFiles,
    ForgetfulFiles,
    FullFiles,
    HeldFiles,
    PowerCutFiles,
    QuickFiles,
    ShortFiles,
)
from tests.storage.samples import SMALL, decision, files, ids, kept

ROOT = Path(__file__).parents[2]

PATIENCE = 20


async def opened(directory: Path, disk: Files, limits: Limits = SMALL) -> Journal:
    return await Journal.open(directory, "n", 0, limits=limits, files=disk)


async def until_taken(journal: Journal, number: int) -> tuple[str, int]:
    """Append one record until the journal takes it; return its id and the refusals before."""
    refused = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await journal.append(Kind.DECISION, decision(number)), refused
            except JournalUnavailableError:
                refused += 1
                await asyncio.sleep(0)


async def appended_despite(disk: Files, directory: Path, records: int) -> tuple[set[str], int]:
    """Append *records*, each until it is taken; return their ids and the number of refusals."""
    journal, refused = None, 0
    while journal is None:
        try:
            journal = await opened(directory, disk)
        except JournalUnavailableError:
            refused += 1
    promised = set()
    async with journal:
        for number in range(records):
            name, times = await until_taken(journal, number)
            promised.add(name)
            refused += times
    return promised, refused


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("number", range(1, 41))
def test_r05_any_write_or_sync_may_fail_and_the_journal_recovers_unaided(
    tmp_path: Path, number: int, error: int
) -> None:
    disk = FailingFiles([number], error)

    promised, refused = asyncio.run(appended_despite(disk, tmp_path, 40))

    assert disk.failed == 1
    assert disk.misused == 0
    assert refused >= 1
    assert len(promised) == 40
    assert promised <= ids(tmp_path)
    assert verify(tmp_path).is_whole


def test_r05_many_failures_in_a_row_lose_nothing_and_leave_no_heap_of_segments(
    tmp_path: Path,
) -> None:
    chance = random.Random("disk")
    disk = FailingFiles(sorted(chance.sample(range(5, 400), 200)), errno.EIO)

    promised, refused = asyncio.run(appended_despite(disk, tmp_path, 80))

    assert disk.failed > 50
    assert disk.misused == 0
    assert refused > 20
    assert promised <= ids(tmp_path)
    assert verify(tmp_path).is_whole
    assert len(files(tmp_path)) <= 80


def test_r05_a_disk_that_takes_a_first_line_and_no_second_is_not_filled_with_segments(
    tmp_path: Path,
) -> None:
    # A first line is a write and a sync, and the write that follows fails.
    disk = FailingFiles(range(3, 150, 3), errno.ENOSPC)

    promised, _ = asyncio.run(appended_despite(disk, tmp_path, 3))

    assert disk.failed == 49
    assert len(files(tmp_path)) == 1
    assert promised == {record.id for record in kept(tmp_path)}
    assert verify(tmp_path).is_whole


def test_r05_a_chain_whose_sync_failed_takes_nothing_until_it_is_opened_anew(
    tmp_path: Path,
) -> None:
    disk = FailingFiles([4], errno.EIO)
    chain = Chain("n", 0)
    file = ChainFile(tmp_path, chain, SMALL, time.time_ns, disk)
    draft = Stamp(chain, time.time_ns).draft(Kind.DECISION, decision(1), 1000)

    for _ in range(2):
        with pytest.raises(OSError, match=r"Input/output error|sealed"):
            file.append([draft])
        assert file.is_sealed
    count = disk.count
    file.reopen()
    file.append([draft])
    file.close()

    assert disk.count == count + 4
    assert ids(tmp_path) >= {draft.id}


def test_r05_a_segment_is_never_written_again_after_a_failed_sync(tmp_path: Path) -> None:
    disk = FailingFiles([6], errno.EIO)

    asyncio.run(appended_despite(disk, tmp_path, 10))

    assert disk.failed == 1
    first, second = files(tmp_path)
    assert b'"why":"recovered"' in second.read_bytes().splitlines()[0]
    assert len(first.read_bytes().splitlines()) == 2
    assert disk.misused == 0


def test_r05_a_failure_and_then_a_loss_of_power_lose_nothing_acknowledged(tmp_path: Path) -> None:
    class Both(PowerCutFiles):
        syncs = 0

        def sync(self, handle: int) -> None:
            self.syncs += 1
            if self.syncs % 5 == 0:
                raise OSError(errno.EIO, "failed")
            super().sync(handle)

    promised: list[str] = []
    disk = Both(lambda: len(promised))

    async def scenario() -> None:
        async with await opened(tmp_path / "live", disk) as journal:
            for number in range(60):
                name, _ = await until_taken(journal, number)
                promised.append(name)

    asyncio.run(scenario())
    chance = random.Random("both")
    for cut, moment in enumerate(chance.sample(disk.moments, 60)):
        copy = tmp_path / str(cut)
        moment.survive(copy, chance)
        asyncio.run(appended_despite(QuickFiles(), copy, 1))
        assert set(promised[: moment.acknowledged]) <= ids(copy)
        assert verify(copy).is_whole


def test_r05_lines_that_the_kernel_forgot_after_a_failed_sync_are_written_again(
    tmp_path: Path,
) -> None:
    disk = ForgetfulFiles(lambda: 0)
    slow = replace(SMALL, retry_first=1000, retry_most=1000)

    async def failed() -> None:
        async with await opened(tmp_path / "live", disk, slow) as journal:
            await journal.append(Kind.DECISION, decision(1))
            disk.fails = True
            with pytest.raises(JournalUnavailableError):
                await journal.append(Kind.DECISION, decision(2))
            disk.fails = False

    async def again() -> str:
        async with await opened(tmp_path / "live", disk, slow) as journal:
            return await journal.append(Kind.DECISION, decision(3))

    asyncio.run(failed())
    promised = asyncio.run(again())
    (name,) = disk.durable()
    (tmp_path / "after").mkdir()
    (tmp_path / "after" / name).write_bytes(disk.durable()[name])

    # The second was never acknowledged, but the third follows it in the chain.
    assert promised in ids(tmp_path / "after")
    assert verify(tmp_path / "after").is_whole
    assert verify(tmp_path / "after").chains[0].torn == 0


def test_r05_a_full_disk_refuses_until_there_is_room_and_outcomes_are_kept(tmp_path: Path) -> None:
    disk = FullFiles()

    async def scenario() -> tuple[str, str]:
        async with await opened(tmp_path, disk) as journal:
            first = await journal.append(Kind.DECISION, decision(1))
            disk.is_full = True
            with pytest.raises(JournalUnavailableError) as refusal:
                await journal.append(Kind.DECISION, decision(2))
            assert "ENOSPC" in refusal.value.detail
            assert journal.health.code == "journal-unavailable"
            outcome = journal.append_soon(Kind.OUTCOME, {"decision": first, "status": 200})
            disk.is_full = False
            await until_taken(journal, 3)
            health = journal.health
            assert health.available
            assert health.lost == 0
            return first, outcome

    first, outcome = asyncio.run(scenario())

    assert [record.payload["fact_version"] for record in kept(tmp_path)] == [1, 3]
    (written,) = kept(tmp_path, Kind.OUTCOME)
    assert (written.id, written.payload["decision"]) == (outcome, first)


def test_r05_an_outcome_that_cannot_be_written_before_the_end_is_counted(tmp_path: Path) -> None:
    disk = FullFiles()

    async def scenario() -> int:
        journal = await opened(tmp_path, disk)
        disk.is_full = True
        journal.append_soon(Kind.OUTCOME, {"status": 200})
        await journal.close()
        with pytest.raises(JournalClosedError):
            journal.append_soon(Kind.OUTCOME, {"status": 200})
        return journal.health.lost

    assert asyncio.run(scenario()) == 2


def test_r05_a_real_limit_on_the_size_of_files_is_met_by_a_refusal(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def scenario() -> set[str]:
        async with await opened(tmp_path, QuickFiles(), Limits(retry_first=0.001)) as journal:
            promised = {await journal.append(Kind.DECISION, decision(1))}
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
            with pytest.raises(JournalUnavailableError, match="EFBIG"):
                await journal.append(Kind.DECISION, decision(2, pad="x" * 1000))
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            name, _ = await until_taken(journal, 3)
            return promised | {name}

    try:
        promised = asyncio.run(scenario())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert promised == {record.id for record in kept(tmp_path)}
    assert verify(tmp_path).is_whole


@pytest.mark.fuzz  # not every machine lets its users mount something
def test_r05_a_disk_of_16_mib_that_is_full_refuses_and_loses_nothing(tmp_path: Path) -> None:
    run = 'mount -t tmpfs -o size=16m none "$1" && exec "$2" -m tests.storage.filler "$1"'
    command = ["unshare", "-rm", "sh", "-c", run, "sh", str(tmp_path), sys.executable]

    ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603

    count, *rest = ran.stdout.split()
    # About 160 of 100 kB.
    assert int(count) > 120
    assert rest == ["0", "True", "True"]


def test_r05_t37_a_full_journal_refuses_and_goes_on_when_segments_are_released(
    tmp_path: Path,
) -> None:
    limits = replace(SMALL, total_bytes=2**16)

    async def filled(journal: Journal) -> int:
        for number in range(10_000):
            try:
                await journal.append(Kind.DECISION, decision(number))
            except JournalFullError:
                return number
        raise AssertionError("it was never full")

    async def scenario() -> None:
        async with await opened(tmp_path, QuickFiles(), limits) as journal:
            count = await filled(journal)
            assert count > 100
            # What was begun gets its outcome all the same.
            journal.append_soon(Kind.OUTCOME, {"status": 200})
            assert journal.health.available
            await journal.release(10, why="shipped")
            await journal.append(Kind.DECISION, decision(-1))
            assert journal.health.lost == 0

    asyncio.run(scenario())

    assert sum(path.stat().st_size for path in files(tmp_path)) <= 2**16
    assert files(tmp_path)[0].name == "n.0000.00000010.jsonl"
    assert verify(tmp_path).is_whole
    assert len(kept(tmp_path, Kind.OUTCOME)) == 1
    assert kept(tmp_path)[-1].payload["fact_version"] == -1


def test_a_disk_that_writes_a_few_bytes_at_a_time_makes_whole_lines(tmp_path: Path) -> None:
    promised, refused = asyncio.run(appended_despite(ShortFiles(), tmp_path, 20))

    assert refused == 0
    assert promised <= ids(tmp_path)
    assert verify(tmp_path).is_whole


def test_r05_a_late_append_is_refused_and_a_later_one_succeeds(tmp_path: Path) -> None:
    disk = HeldFiles()

    async def scenario() -> None:
        async with await opened(tmp_path, disk, replace(SMALL, deadline=0.02)) as journal:
            disk.go.clear()
            with pytest.raises(JournalLateError):
                await journal.append(Kind.DECISION, decision(1))
            assert journal.health.late == 1
            disk.go.set()
            await until_taken(journal, 2)

    asyncio.run(scenario())

    assert kept(tmp_path)[-1].payload["fact_version"] == 2


def test_every_late_caller_is_told_and_none_before_its_time(tmp_path: Path) -> None:
    disk = HeldFiles()

    async def scenario() -> list[str | BaseException]:
        async with await opened(tmp_path, disk, replace(SMALL, deadline=0.02)) as journal:
            disk.go.clear()
            found = await asyncio.gather(
                *(journal.append(Kind.DECISION, decision(number)) for number in range(50)),
                return_exceptions=True,
            )
            disk.go.set()
            return found

    assert {type(one) for one in asyncio.run(scenario())} == {JournalLateError}
    # Late is not lost: their fate was unknown, and here they were written.
    assert len(kept(tmp_path)) == 50


@pytest.mark.parametrize(
    "bounds",
    [{"waiting": 3}, {"waiting_bytes": 2048, "record_bytes": 2048}],
    ids=["count", "bytes"],
)
def test_t37_what_waits_is_bounded(tmp_path: Path, bounds: dict[str, int]) -> None:
    disk = HeldFiles()

    async def scenario() -> list[str | BaseException]:
        async with await opened(tmp_path, disk, replace(SMALL, **bounds)) as journal:
            disk.go.clear()
            waiting = [
                asyncio.create_task(journal.append(Kind.DECISION, decision(number, pad="x" * 1900)))
                for number in range(2000)
            ]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            disk.go.set()
            return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(scenario())

    refused = [one for one in found if isinstance(one, BaseException)]
    assert {type(one) for one in refused} == {JournalBusyError}
    assert 900 < len(refused) < 2000
    assert len(kept(tmp_path)) == 2000 - len(refused)


def test_a_caller_that_gives_up_disturbs_no_other(tmp_path: Path) -> None:
    disk = HeldFiles()

    async def scenario() -> str:
        async with await opened(tmp_path, disk) as journal:
            disk.go.clear()
            first = asyncio.create_task(journal.append(Kind.DECISION, decision(1)))
            second = asyncio.create_task(journal.append(Kind.DECISION, decision(2)))
            await asyncio.to_thread(disk.reached.wait)
            first.cancel()
            disk.go.set()
            assert await asyncio.gather(first, return_exceptions=True)
            return await second

    assert asyncio.run(scenario()) in ids(tmp_path)


def test_r20_closing_on_a_disk_that_hangs_ends_in_time_and_says_so(tmp_path: Path) -> None:
    disk = HeldFiles()

    async def scenario() -> None:
        journal = await opened(tmp_path, disk)
        disk.go.clear()
        journal.append_soon(Kind.OUTCOME, {"status": 200})
        with pytest.raises(JournalLateError):
            await journal.close(seconds=0.02)
        disk.go.set()
        await journal.close()
        assert journal.health.lost == 0

    asyncio.run(scenario())

    assert len(kept(tmp_path, Kind.OUTCOME)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_ended_by_itself_takes_nothing_more(tmp_path: Path) -> None:
    class EndingFiles(QuickFiles):
        ends = False

        def sync(self, handle: int) -> None:  # noqa: ARG002  whatever it is
            if self.ends:
                raise SystemExit

    disk = EndingFiles()

    async def scenario() -> None:
        journal = await opened(tmp_path, disk, replace(SMALL, deadline=0.05))
        disk.ends = True
        with pytest.raises(JournalLateError):
            await journal.append(Kind.DECISION, decision(1))
        with pytest.raises(JournalClosedError):
            await journal.append(Kind.DECISION, decision(2))
        with pytest.raises(JournalClosedError):
            journal.append_soon(Kind.OUTCOME, {"status": 200})
        assert journal.health.code == "journal-closed"

    asyncio.run(scenario())


def test_r05_an_append_while_the_disk_fails_is_refused_at_once(tmp_path: Path) -> None:
    disk = FullFiles()
    limits = replace(SMALL, retry_first=1000, retry_most=1000)

    async def scenario() -> None:
        async with await opened(tmp_path, disk, limits) as journal:
            disk.is_full = True
            for _ in range(100):
                with pytest.raises(JournalUnavailableError):
                    await journal.append(Kind.DECISION, decision(1))
            assert journal.health.refused == 100
            assert journal.health.failures == 1
            disk.is_full = False

    asyncio.run(scenario())

    assert kept(tmp_path) == []
