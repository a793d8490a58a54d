"""The journal, with a bare write and sync beside it on the same disk.

Callers wait for each acknowledgement before the next append, as calls through the gateway do.
What it costs to be durable is the disk's; the ratio to the bare loop says what the rest is.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import tempfile
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import Any

from bench.report import Aim, Report
from bench.timing import GC_STATE, Series, once
from storage.journal import Journal, Kind, Limits, Signer, read, verify

ALONE, MANY, CROWD = 1, 32, 128
OURS, BARE = "northgate", "write and fdatasync"
BATCHED = f"write and fdatasync, {MANY} lines at once"
VERIFIED = "verify all of it"

LINE_BYTES = 800
SECOND = 1_000_000_000

RECORD: dict[str, Any] = {
    "principal": {
        "type": "Client", "id": "ci", "issuer": "northgate", "client": "ci",
        "token_id": "0198f2c0-7a5e-7c3e-9d1b-5a6f3c2e1d00", "acts_for": None,
    },
    "server": "github", "method": "tools/call", "action": "call",
    "resource": {"type": "Tool", "id": "github__create_issue"},
    "facts": [["argument_under", "path", "/srv/data", True]],
    "policy": "ab" * 32, "fact_version": 12, "now": 1_790_000_000,
    "verdict": "allow", "reason": "granted", "rules": ["grants.polar:12"],
    "args_digest": "cd" * 32,
}  # fmt: skip


def run(quick: bool) -> Report:  # noqa: FBT001  the one option that every benchmark takes
    """Measure what an acknowledgement takes, with one caller and with many."""
    rounds, each = (2, SECOND // 20) if quick else (25, SECOND // 5)
    directory = Path(tempfile.mkdtemp(prefix="northgate-journal-"))
    try:
        return asyncio.run(_measured(directory, rounds, each))
    finally:
        shutil.rmtree(directory)


async def _measured(directory: Path, rounds: int, each: int) -> Report:
    # Short turns: a disk has moods, and what is compared must meet the same one.
    own = directory / "journal"
    beside = {BARE: Series(), BATCHED: Series()}
    ours = {callers: Series() for callers in (ALONE, MANY, CROWD)}
    rates: dict[int, list[float]] = {callers: [] for callers in ours}
    line = b"x" * LINE_BYTES
    limits = Limits(total_bytes=2**34, deadline=30)
    # With a checkpoint every second, as in a gateway.
    signer = Signer(os.urandom(32))
    async with await Journal.open(own, "bench", 0, limits=limits, signer=signer) as journal:
        for _ in range(rounds):
            for name, data in ((BARE, line), (BATCHED, line * MANY)):
                bare(directory / "bare", data, each, beside[name])
            for callers, series in ours.items():
                rates[callers].append(await appended(journal, callers, each, series))
    report = Report("journal", _setting(rounds, rates))
    for callers, series in ours.items():
        first = BARE if callers == ALONE else BATCHED
        report.add(acknowledge(callers), 0, {first: beside[first], OURS: series})
    _check(report, own, sum(series.count for series in ours.values()))
    report.aims = _aims(report, beside, ours)
    return report


def acknowledge(callers: int) -> str:
    return f"acknowledge, {callers} waiting"


def bare(path: Path, data: bytes, duration: int, series: Series) -> None:
    """Append *data* and sync, again and again for *duration* nanoseconds."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    times = []
    cpu = process_time_ns()
    try:
        end = perf_counter_ns() + duration
        while (before := perf_counter_ns()) < end:
            os.write(handle, data)
            os.fdatasync(handle)
            times.append(perf_counter_ns() - before)
    finally:
        os.close(handle)
    series.cpu += process_time_ns() - cpu
    series.rounds.append(sorted(times))


async def appended(journal: Journal, callers: int, duration: int, series: Series) -> float:
    """Let *callers* append for *duration* nanoseconds; return the acknowledgements a second."""
    times: list[int] = []

    async def caller(end: int) -> None:
        while (before := perf_counter_ns()) < end:
            await journal.append(Kind.DECISION, RECORD)
            times.append(perf_counter_ns() - before)

    start, cpu = perf_counter_ns(), process_time_ns()
    await asyncio.gather(*(caller(start + duration) for _ in range(callers)))
    took = perf_counter_ns() - start
    series.cpu += process_time_ns() - cpu
    series.rounds.append(sorted(times))
    return len(times) / took * SECOND


def _check(report: Report, directory: Path, acknowledged: int) -> None:
    cpu = process_time_ns()
    found, took = once(lambda: verify(directory))
    cpu = process_time_ns() - cpu
    decisions = sum(record.kind is Kind.DECISION for record in read(directory))
    if not found.is_whole or decisions != acknowledged:
        raise LostRecordsError(f"{acknowledged} acknowledged, {decisions} found")
    size = sum(path.stat().st_size for path in directory.glob("*.jsonl"))
    report.setting["records"] = acknowledged
    report.setting["bytes a record"] = round(size / acknowledged)
    report.cost(VERIFIED, took)
    report.setting["verified MiB in a second of CPU"] = round(size / 2**20 * SECOND / cpu)


class LostRecordsError(Exception):
    """The journal does not hold what it acknowledged, so its speed means nothing."""


def _setting(rounds: int, rates: dict[int, list[float]]) -> dict[str, Any]:
    return {
        "Python": platform.python_version(),
        "processors": os.cpu_count(),
        "rounds": rounds,
        "garbage collector": GC_STATE,
        **{
            f"acknowledged a second, {callers} waiting": round(statistics.median(found))
            for callers, found in rates.items()
        },
    }


def _aims(report: Report, beside: dict[str, Series], ours: dict[int, Series]) -> list[Aim]:
    many = report.timing(acknowledge(MANY), 0, OURS)
    return [
        Aim(f"{acknowledge(MANY)}, p50", many.p50_us / 1000, 1, "ms"),
        Aim(f"{acknowledge(MANY)}, p99", many.p99_us / 1000, 1.5, "ms"),
        Aim(f"{acknowledge(ALONE)}, to {BARE}", within(ours[ALONE], beside[BARE]), 2.5, "times"),
        Aim(f"{acknowledge(MANY)}, to {BATCHED}", within(ours[MANY], beside[BATCHED]), 4, "times"),
        Aim(
            "a GiB verified",
            1024 / report.setting["verified MiB in a second of CPU"],
            10,
            "s of CPU",
        ),
    ]


def within(own: Series, other: Series) -> float:
    """Return the ratio of two p50s, taken in each round: the median over the rounds."""
    pairs = zip(own.rounds, other.rounds, strict=True)
    return statistics.median(statistics.median(one) / statistics.median(two) for one, two in pairs)
