"""Copies of the record in the database: each record once, and found again by what it is about."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from policies.model import Entity, Reason, Verdict
from storage.backup.schema import newest
from storage.decisions import Decided, DecisionQueries, DecisionUnknownError, Wanted
from storage.engine import Database
from storage.errors import DatabaseUnavailableError
from storage.journal import Chain, Journal, Kind
from storage.shipping.ledger import OtherSchemaError, ShippingLedger
from storage.shipping.portions import Cursor, Portion, feed, portion
from storage.shipping.resuming import resumed
from storage.shipping.rows import MOST_INDEXED, document, indexed
from tests.storage.samples import SMALL, kept
from tests.storage.state.places import FilePlace, Place, ServerPlace, opened, ticking

CHAIN = Chain("n", 0)
LONG = "tool " * 1_000
CI, ANN = ("Client", "ci"), ("User", "ann")


def decided(
    who: tuple[str, str] = CI, tool: str = "github__echo", **more: object
) -> dict[str, Any]:
    return {
        "principal": {"type": who[0], "id": who[1], "issuer": "http://a", "acts_for": None},
        "server": tool.partition("__")[0],
        "method": "tools/call",
        "action": "call",
        "resource": {"type": "Tool", "id": tool},
        "verdict": "allow",
        "reason": "granted",
        "rules": ["tools.polar:3"],
        "fact_version": 7,
        **more,
    }


async def written(
    directory: Path, payloads: Sequence[Mapping[str, Any]], *, worker: int = 0
) -> list[str]:
    """Append *payloads* as decisions, each with an outcome unless it was denied."""
    async with await Journal.open(directory, "n", worker, limits=SMALL) as journal:
        ids = []
        for one in payloads:
            ids.append(await journal.append(Kind.DECISION, one))
            if one.get("verdict") == "allow":
                outcome = {"decision": ids[-1], "status": 200, "is_error": False, "bytes": 9}
                await journal.append(Kind.OUTCOME, {**outcome, "ms": 1.5})
        return ids


async def copied(database: Database, directory: Path, *, most: int = 7) -> int:
    """Copy all that is not copied yet, a few records at a time, and return how many they were."""
    ledger, own = ShippingLedger(database, ticking()), feed(directory, CHAIN)
    cursor, count = await resumed(ledger, directory, own), 0
    while (found := portion(directory, CHAIN, cursor, most=most)) is not None:
        await ledger.take(own, found)
        cursor, count = found.cursor, count + found.count
    return count


def in_last_segment(directory: Path) -> int:
    segments = Counter(one.position.segment for one in kept(directory, None))
    assert len(segments) > 2
    return segments[max(segments)]


def ids_in(place: Place, table: str = "decisions", name: str = "id") -> list[str]:
    return sorted(str(row[0]) for row in place.ask(f"SELECT {name} FROM {table}"))  # noqa: S608  ours


def test_every_record_is_copied_once_and_whole(place: Place, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    ids = asyncio.run(written(journal, [decided(), decided(ANN, verdict="deny")] * 9))

    async def run() -> tuple[int, int, list[Decided]]:
        async with opened(place) as database:
            first, again = await copied(database, journal), await copied(database, journal)
            return first, again, await DecisionQueries(database).latest(Wanted(), limit=99)

    first, again, found = asyncio.run(run())

    assert (first, again) == (len(kept(journal, None)), 0)
    assert ids_in(place) == sorted(ids)
    assert {one.id: one.record for one in found} == {one.id: document(one) for one in kept(journal)}
    assert [one.id for one in found] == ids[::-1]
    assert {one.id: one.outcome["decision"] for one in found if one.outcome} == {
        id_: id_ for id_ in ids[::2]
    }
    assert ids_in(place, "changes") == sorted(one.id for one in kept(journal, Kind.CHANGE))


def test_r21_duplicates_and_older_copies_of_segments_add_nothing(
    place: Place, tmp_path: Path
) -> None:
    journal, older = tmp_path / "journal", tmp_path / "older"
    asyncio.run(written(journal, [decided()] * 20))

    async def run() -> None:
        async with opened(place) as database:
            await copied(database, journal)
            shutil.copytree(journal, older)
            await written(journal, [decided()] * 20)
            await copied(database, journal)
            # The older copy does not reach as far as the database: its last segment comes anew.
            assert await copied(database, older) == in_last_segment(older)
            await written(older, [decided()])
            await copied(database, older)

    asyncio.run(run())

    wanted = {one.id for one in (*kept(journal), *kept(older))}
    assert ids_in(place) == sorted(wanted)
    assert len(wanted) == 41


def test_r21_where_a_cursor_is_lost_no_more_than_the_last_segment_is_read_again(
    place: Place, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    asyncio.run(written(journal, [decided()] * 30))

    async def run() -> tuple[int, int]:
        async with opened(place) as database:
            await copied(database, journal)
            await asyncio.to_thread(place.ask, "DELETE FROM cursors")
            again = await copied(database, journal)
            for path in journal.glob("*.feed"):
                path.unlink()
            return again, await copied(database, journal)

    again, anew = asyncio.run(run())

    assert again == anew == in_last_segment(journal)
    assert ids_in(place) == sorted(one.id for one in kept(journal))


def test_r21_a_torn_tail_is_no_record_and_what_replaces_it_is_copied(
    place: Place, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"

    async def run() -> None:
        async with opened(place) as database:
            await written(journal, [decided()] * 3)
            with max(journal.glob("*.jsonl")).open("ab") as file:
                file.write(b'{"v":1,"kind":"decision","id":"0')
            await copied(database, journal)
            await written(journal, [decided()] * 3)
            await copied(database, journal)

    asyncio.run(run())

    assert len(ids_in(place)) == 6
    assert ids_in(place) == sorted(one.id for one in kept(journal))


def test_nodes_that_have_one_name_by_mistake_are_copied_both(place: Place, tmp_path: Path) -> None:
    async def run() -> list[int]:
        async with opened(place) as database:
            counts = []
            for name in ("one", "two", "one", "two"):
                await written(tmp_path / name, [decided()] * 5)
                counts.append(await copied(database, tmp_path / name))
            return counts

    first, second, third, fourth = asyncio.run(run())

    assert (first, third) == (second, fourth)
    assert len(ids_in(place)) == 20
    assert len(ids_in(place, "cursors")) == 2


def test_nothing_is_copied_that_may_not_be_durable(tmp_path: Path) -> None:
    asyncio.run(written(tmp_path, [decided()] * 10))

    def seqs(until: int, after: Cursor | None = None) -> list[int]:
        found: list[int] = []
        while made := portion(tmp_path, CHAIN, after, until=until, most=3):
            after = made.cursor
            found.append(after.seq)
        return found

    assert seqs(8) == [3, 6, 8]


def test_a_portion_is_kept_with_its_cursor_or_not_at_all(place: Place, tmp_path: Path) -> None:
    asyncio.run(written(tmp_path / "journal", [decided()] * 5))
    found = portion(tmp_path / "journal", CHAIN, None)
    assert found is not None
    broken = Portion(found.cursor, found.count, {**found.rows, "outcomes": "[{}]"})

    async def run() -> Cursor | None:
        async with opened(place) as database:
            ledger, own = ShippingLedger(database, ticking()), feed(tmp_path / "journal", CHAIN)
            with pytest.raises(Exception, match=r"(?i)null"):
                await ledger.take(own, broken)
            return await ledger.cursor(own)

    assert asyncio.run(run()) is None
    assert ids_in(place) == []


def test_two_who_copy_one_chain_at_once_keep_each_record_once(place: Place, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    asyncio.run(written(journal, [decided()] * 20))

    async def run() -> list[int]:
        async with opened(place) as one, opened(place) as other:
            return list(await asyncio.gather(*(copied(each, journal) for each in (one, other))))

    assert max(asyncio.run(run())) == len(kept(journal, None))
    assert ids_in(place) == sorted(one.id for one in kept(journal))
    assert len(ids_in(place, "cursors")) == 1


@pytest.mark.parametrize("step", ["0001", "9999"])
def test_r22_a_schema_of_another_release_gets_nothing_and_loses_nothing(
    fresh: Place, tmp_path: Path, step: str
) -> None:
    journal = tmp_path / "journal"
    asyncio.run(written(journal, [decided()] * 3))

    async def stamp(database: Database, version: str) -> None:
        async with database.changing() as session:
            stamped = text("UPDATE alembic_version SET version_num = :version")
            await (await session.connection()).execute(stamped, {"version": version})

    async def run() -> int:
        async with opened(fresh) as database:
            await stamp(database, step)
            with pytest.raises(OtherSchemaError, match=step):
                await copied(database, journal)
            found = await DecisionQueries(database).latest(Wanted(), limit=9)
            await stamp(database, newest())
            await copied(database, journal)
            return len(found)

    assert asyncio.run(run()) == 0
    assert len(ids_in(fresh)) == 3


ODD = [
    {},
    {"principal": "ci", "resource": ["x"], "rules": "none", "verdict": {"a": 1}},
    decided(("Client", "nul\0"), "github__\0", fact_version=2**63, reason=None),
    decided(("Client", LONG), f"github__{LONG}", server=LONG, acts_for=LONG),
    decided(unknown={"field": [1, None, "\u2028'\";--"]}, policy=True, fact_version="7"),
]


def test_whatever_a_record_holds_it_does_not_stop_those_after_it(
    place: Place, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    small = [{**one, **({} if one else {"n": 1})} for one in ODD]

    async def run() -> list[Decided]:
        async with opened(place) as database:
            async with await Journal.open(journal, "n", 0) as writing:
                for one in small:
                    await writing.append(Kind.DECISION, one)
            await copied(database, journal)
            queries = DecisionQueries(database)
            long = Wanted(
                principal=Entity("Client", LONG), resource=Entity("Tool", f"github__{LONG}")
            )
            [searched] = await queries.latest(long, limit=2)
            assert searched.record["principal"]["id"] == LONG
            return await queries.latest(Wanted(), limit=9)

    found = asyncio.run(run())

    assert [one.record for one in found[::-1]] == [document(one) for one in kept(journal)]


def test_texts_that_are_too_long_for_an_index_stay_apart() -> None:
    texts = ["a" * 500, "a" * 5_000, "a" * 5_001, "ü" * 300, "ü" * 301, "a"]

    assert len({indexed(one) for one in texts}) == len(texts)
    assert max(len(indexed(one).encode()) for one in texts) <= MOST_INDEXED


FILTERS: list[tuple[Wanted, str]] = [
    (Wanted(), "012345"),
    (Wanted(principal=Entity("Client", "ci")), "0134"),
    (Wanted(principal=Entity("Client", "ann")), ""),
    (Wanted(principal=Entity("User", "ann")), "25"),
    (Wanted(acts_for="bob"), "5"),
    (Wanted(server="jira"), "1"),
    (Wanted(action="list"), "3"),
    (Wanted(resource=Entity("Tool", "github__echo")), "0345"),
    (Wanted(resource=Entity("Prompt", "github__echo")), ""),
    (Wanted(verdict=Verdict.DENY), "24"),
    (Wanted(reason=Reason.SUSPENDED), "4"),
    (Wanted(verdict=Verdict.DENY, principal=Entity("User", "ann")), "2"),
    (Wanted(enforced=False), "2"),
    (Wanted(enforced=True), "01345"),
    (Wanted(rule="tools.polar:3"), "0125"),
    (Wanted(rule="TOOLS.polar:3"), "3"),
    (Wanted(rule="tools.polar:30"), "4"),
    (Wanted(rule="tools.polar"), ""),
    (Wanted(rule='%"_'), ""),
]


async def sample(database: Database, directory: Path) -> list[str]:
    ids = await written(
        directory,
        [
            decided(),
            decided(tool="jira__find"),
            decided(ANN, "github__drop", verdict="deny", reason="no_rule", enforced=False),
            decided(action="list", rules=["TOOLS.polar:3"]),
            decided(verdict="deny", reason="suspended", rules=["tools.polar:30"]),
            decided(principal={"type": "User", "id": "ann", "acts_for": "bob"}),
        ],
    )
    await copied(database, directory)
    return ids


def test_decisions_are_found_by_everything_that_is_asked_for(place: Place, tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with opened(place) as database:
            ids = await sample(database, tmp_path / "journal")
            queries, answers = DecisionQueries(database), []
            for wanted, _ in FILTERS:
                found = await queries.latest(wanted, limit=9)
                answers.append("".join(sorted(str(ids.index(one.id)) for one in found)))
            return answers

    assert asyncio.run(run()) == [numbers for _, numbers in FILTERS]


def test_pages_hold_each_decision_once_even_of_one_moment(place: Place, tmp_path: Path) -> None:
    async def run() -> tuple[list[str], list[str], list[str]]:
        async with opened(place) as database:
            ids = await sample(database, tmp_path / "journal")
            async with database.changing() as session:
                same = text("UPDATE decisions SET recorded_at = 5.5 WHERE id <> :first")
                await (await session.connection()).execute(same, {"first": ids[0]})
            queries, pages, after = DecisionQueries(database), [], None
            while page := await queries.latest(Wanted(), limit=2, after=after):
                pages += [one.id for one in page]
                after = page[-1].id
            moment = await queries.latest(Wanted(since=5.5, until=5.6), limit=9)
            before = await queries.latest(Wanted(until=5.5), limit=9)
            assert before == []
            return ids, pages, [one.id for one in moment]

    ids, pages, moment = asyncio.run(run())

    assert pages == [ids[0], *ids[:0:-1]]
    assert moment == ids[:0:-1]


def test_a_decision_that_is_not_there_is_told_as_such(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            queries = DecisionQueries(database)
            with pytest.raises(DecisionUnknownError):
                await queries.find("0" * 36)
            with pytest.raises(DecisionUnknownError):
                await queries.latest(Wanted(), limit=1, after="0" * 36)

    asyncio.run(run())


def test_r04_a_server_that_hangs_is_given_up_and_gets_everything_once_later(
    served: ServerPlace, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    asyncio.run(written(journal, [decided()] * 5))

    async def run() -> float:
        async with opened(served, wait=0.4) as database:
            served.server.freeze()
            began = time.monotonic()
            try:
                with pytest.raises(DatabaseUnavailableError):
                    await copied(database, journal)
                seconds = time.monotonic() - began
            finally:
                served.server.thaw()
            await copied(database, journal)
            return seconds

    assert asyncio.run(run()) < 5
    assert len(ids_in(served)) == 5


def killed_while_copying(place: Place, journal: Path, seconds: float) -> None:
    """Run a process that copies *journal* again and again, and kill it."""
    command = [sys.executable, "-m", "tests.storage.copier", place.url, str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603  our own
        assert process.stdout
        process.stdout.readline()
        time.sleep(seconds)
        process.kill()


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.fuzz)])
def test_r21_whenever_the_copying_is_killed_each_decision_is_there_once(
    place: Place, tmp_path: Path, kills: int
) -> None:
    journal = tmp_path / "journal"
    asyncio.run(written(journal, [decided()] * 60))

    for number in range(kills):
        killed_while_copying(place, journal, 0.004 * (number % 15))

    async def run() -> None:
        async with opened(place) as database:
            await copied(database, journal)

    asyncio.run(run())
    assert ids_in(place) == sorted(one.id for one in kept(journal))


MILLION = {
    FilePlace: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)",
    ServerPlace: "WITH n(i) AS (SELECT generate_series(1, 1000000))",
}
MADE = """
INSERT INTO decisions
SELECT '0190' || i, 2.592 * i, 'n', 0, i, 'Client', 'c' || (i % 200), '', '', '', '',
    'github', 'tools/call', 'call', 'Tool', 'github__t' || (i % 300), 'allow', 'granted', 'p', 1,
    '{"pad": "some text"}', true FROM n
"""

RULED = """
INSERT INTO decision_rules SELECT 'often', recorded_at, id FROM decisions
UNION ALL SELECT 'r' || (seq % 40), recorded_at, id FROM decisions
UNION ALL SELECT 'seldom', recorded_at, id FROM decisions WHERE seq % 20000 = 7
"""
ENDED = "INSERT INTO outcomes SELECT id, id, recorded_at, '200', false, 9, 1.5, '{}' FROM decisions"
EXPLAIN = {FilePlace: "EXPLAIN QUERY PLAN", ServerPlace: "EXPLAIN"}
BY_RULE = [
    Wanted(rule=rule, principal=principal, resource=resource)
    for rule in ("often", "r7", "r1", "seldom", "never")
    for principal in (None, Entity("Client", "c7"), Entity("Client", "nobody"))
    for resource in (None, Entity("Tool", "github__t7"))
]


async def explained(connection: AsyncConnection, how: str, run: Awaitable[object]) -> str:
    """Return the plans of what is asked of the database in *run*."""
    asked: list[tuple[str, Any]] = []

    def note(
        _connection: object, _cursor: object, statement: str, given: object, *_: object
    ) -> None:
        asked.append((statement, given))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await run
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    plans = []
    for statement, given in asked:
        if statement.startswith("SELECT"):
            plan = await connection.exec_driver_sql(f"{how} {statement}", given)
            plans += [str(line[-1]) for line in plan]
    return "\n".join(plans)


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.fuzz)])
def test_what_a_rule_decided_is_found_without_going_through_all_decisions(
    place: Place, count: int
) -> None:
    numbers = MILLION[type(place)].replace("1000000", str(count))

    async def run() -> list[str]:
        async with opened(place, wait=300) as database:
            async with database.changing() as session:
                connection = await session.connection()
                for one in (f"{numbers} {MADE}", RULED, ENDED, "ANALYZE"):
                    await connection.exec_driver_sql(one)
            queries, plans = DecisionQueries(database), []
            async with database.reading() as session:
                connection = await session.connection()
                for wanted in BY_RULE:
                    looking = queries.latest(wanted, limit=50, after="01905000")
                    plans.append(await explained(connection, EXPLAIN[type(place)], looking))
            return plans

    plans = asyncio.run(run())

    assert all(plans)
    scans = re.compile("Seq Scan|^SCAN", re.MULTILINE)
    assert [plan for plan in plans if scans.search(plan)] == []
