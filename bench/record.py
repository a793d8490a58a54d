"""The record in its database: copied from a journal, and searched when there is a month of it.

A file is always measured. A server is where `NORTHGATE_BENCH_DATABASE` names an empty database of
one, as `postgresql://...`: what a copy costs there is mostly the server's work.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Final

from bench.journal import RECORD
from bench.report import Aim, Report
from bench.timing import Series
from policies.model import Entity
from storage.decisions import DecisionQueries, Wanted
from storage.engine import Database, open_database
from storage.journal import Chain, Journal, Kind, Limits
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import feed, portion

DATABASE: Final = "NORTHGATE_BENCH_DATABASE"
FILE, SERVER = "SQLite", "PostgreSQL"
CHAIN: Final = Chain("bench", 0)
CLIENTS, TOOLS, RULES = 200, 300, 50
MONTH, HOUR, START = 30 * 86_400, 3_600, 1_790_000_000
CALLS_OF_ONE_OUTCOME: Final = 10
PAGE: Final = 500
ROUNDS: Final = 10

BY_PRINCIPAL = "an hour of one principal"
BY_RULE = "the newest decisions of one rule"
NEWEST = "the newest decisions"

_AT_ONCE: Final = 500


def run(quick: bool) -> Report:  # noqa: FBT001  the one option that every benchmark takes
    """Measure how fast a month of decisions is copied, and how soon some of them are found."""
    count = 5_000 if quick else 1_000_000
    directory = Path(tempfile.mkdtemp(prefix="northgate-record-"))
    try:
        return asyncio.run(_measured(directory, count))
    finally:
        shutil.rmtree(directory)


async def _measured(directory: Path, count: int) -> Report:
    urls = {FILE: f"sqlite:///{directory / 'northgate.db'}"}
    if DATABASE in os.environ:
        urls[SERVER] = os.environ[DATABASE]
    setting: dict[str, Any] = {
        "Python": platform.python_version(),
        "processors": os.cpu_count(),
        "decisions": count,
        "databases": ", ".join(urls),
    }
    report = Report("record", setting)
    await _write(directory / "journal", count)
    found: dict[str, dict[str, Series]] = {BY_PRINCIPAL: {}, BY_RULE: {}, NEWEST: {}}
    for name, url in urls.items():
        database = await open_database(url, wait=60)
        try:
            setting[f"records copied a second, {name}"] = await _copied(database, directory)
            for what, series in (await _searched(database)).items():
                found[what][name] = series
        finally:
            await database.close()
    for what, each in found.items():
        report.add(what, 0, each)
    report.aims = list(_aims(report, urls))
    return report


def _aims(report: Report, urls: dict[str, str]) -> Iterator[Aim]:
    for name in urls:
        slowest = max(one.p99_us for one in report.timings if one.who == name) / 1000
        yield Aim(f"the slowest search, {name}", slowest, 100, "ms")
    if SERVER in urls:
        each = 1000 / report.setting[f"records copied a second, {SERVER}"]
        yield Aim(f"a record copied, {SERVER}", each, 0.1, "ms")


async def _write(directory: Path, count: int) -> None:
    """Write *count* decisions, some with their outcomes, that a month is filled with."""
    now = START * 10**9
    limits = Limits(total_bytes=2**34, deadline=60)
    async with await Journal.open(
        directory, CHAIN.node, CHAIN.worker, limits=limits, clock=lambda: now
    ) as journal:

        async def call(number: int) -> None:
            decision = await journal.append(Kind.DECISION, _decision(number))
            if number % CALLS_OF_ONE_OUTCOME:
                return
            outcome = {"decision": decision, "status": 200, "is_error": False, "bytes": 512}
            await journal.append(Kind.OUTCOME, {**outcome, "ms": 4.25})

        for begin in range(0, count, _AT_ONCE):
            now = (START + MONTH * begin // count) * 10**9
            await asyncio.gather(*(call(begin + number) for number in range(_AT_ONCE)))


def _decision(number: int) -> dict[str, Any]:
    client, tool = f"c{number % CLIENTS}", f"github__t{number % TOOLS}"
    return {
        **RECORD,
        "principal": {**RECORD["principal"], "id": client, "client": client},
        "resource": {"type": "Tool", "id": tool},
        "rules": [f"grants.polar:{number % RULES}"],
    }


async def _copied(database: Database, directory: Path) -> int:
    """Copy all of the journal, and return how many records a second that were."""
    journal = directory / "journal"
    ledger, own = ShippingLedger(database, time.time), feed(journal, CHAIN)
    cursor, count = None, 0
    began = perf_counter()
    while found := await asyncio.to_thread(portion, journal, CHAIN, cursor):
        await ledger.take(own, found)
        cursor, count = found.cursor, count + found.count
    return round(count / (perf_counter() - began))


async def _searched(database: Database) -> dict[str, Series]:
    queries = DecisionQueries(database)
    times: dict[str, list[int]] = {BY_PRINCIPAL: [], BY_RULE: [], NEWEST: []}
    for number in range(ROUNDS):
        since = START + number * MONTH // ROUNDS
        client = Entity("Client", f"c{number % CLIENTS}")
        wanted = {
            BY_PRINCIPAL: Wanted(since=since, until=since + HOUR, principal=client),
            BY_RULE: Wanted(rule=f"grants.polar:{number % RULES}"),
            NEWEST: Wanted(),
        }
        gc.collect()
        for what, one in wanted.items():
            before = perf_counter_ns()
            await queries.latest(one, limit=PAGE)
            times[what].append(perf_counter_ns() - before)
    # One round of all: the slowest of them counts.
    return {what: Series([sorted(each)]) for what, each in times.items()}
