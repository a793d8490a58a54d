"""The record is kept for as long as it is asked for and within its bound, and not a day less."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from proxy import retention as retaining
from proxy import shipping as copying
from proxy.audit import Audit, Redaction
from proxy.keptpolicies import KeptPolicies
from proxy.retention import Bounds, Consumer, Kept, Reports, Retention
from proxy.shipping import Reports as ShippingReports
from proxy.shipping import Shipper, Source, ToDatabase, shipping
from storage.engine import Database
from storage.journal import Chain, Journal, JournalFullError, Kind, Limits, Signer, read, verify
from storage.journal.ages import DAY
from storage.journal.files import lock, size_of
from storage.journal.removal import LeftChains
from storage.shipping.expiry import Expiry
from storage.shipping.ledger import ShippingLedger
from tests.gateway.harness import gateway, until
from tests.storage.disks import QuickFiles
from tests.storage.samples import SMALL, decision
from tests.storage.state.places import FilePlace, opened

HERE, BESIDE, GONE = Chain("here", 0), Chain("here", 1), Chain("gone", 0)
SIGNER = Signer(b"s" * 32)
DATED = replace(SMALL, segment_seconds=DAY)


@dataclass
class Node:
    """A journal, its copies, and who keeps both within bounds. The clock stands until it is set."""

    directory: Path
    journal: Journal
    shipper: Shipper
    database: Database
    clock: Clock
    chain: Chain
    told: list[tuple[object, ...]] = field(default_factory=list)

    def retention(
        self, days: int = 0, size: int = 2**30, consumers: Sequence[Consumer] | None = None
    ) -> Retention:
        redaction = Redaction(b"k" * 32, "facts")
        return Retention(
            Kept(
                self.journal,
                self.chain,
                LeftChains(self.directory / "journal", DATED, self.clock, SIGNER, QuickFiles()),
                Expiry(self.database),
                self.policies,
                lambda: ("sha256:now",),
                Audit(self.journal, redaction, lambda code: self.told.append(("audit", code))),
            ),
            Bounds(days, size),
            [self.shipper.needs] if consumers is None else consumers,
            Reports(
                lambda chain, count, _size, why: self.told.append((chain.node, count, why)),
                lambda found, before: self.told.append((found.decisions, before)),
                lambda seconds: self.told.append(("held", round(seconds / DAY))),
                lambda code, _: self.told.append((code,)),
                lambda error: self.told.append((error,)),
            ),
            time.monotonic,
            lambda: self.clock.now,
        )

    @property
    def policies(self) -> KeptPolicies:
        return KeptPolicies(self.directory / "policies")

    async def live(self, days: int, each: int = 20) -> None:
        """Append *each* decisions on each of so many *days*, and have them copied."""
        for _ in range(days):
            for _ in range(4):
                for number in range(each // 4):
                    await self.journal.append(Kind.DECISION, decision(number))
                self.clock.now += DAY / 4
        await self.copied()

    async def copied(self) -> None:
        await until(lambda: not self.shipper.behind)

    async def decided_at(self) -> list[float]:
        async with self.database.reading() as session:
            connection = await session.connection()
            rows = await connection.exec_driver_sql(
                "SELECT recorded_at FROM decisions ORDER BY recorded_at"
            )
            return [float(row[0]) for row in rows]

    def days(self, chain: Chain = HERE) -> set[str]:
        """Return the days of which the journal has decisions."""
        found = (one for one in read(self.directory / "journal") if one.chain == chain)
        return {one.time[:10] for one in found if one.kind is Kind.DECISION}


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_035_200.0  # midnight

    def __call__(self) -> int:
        return int(self.now * 1_000_000_000)


@asynccontextmanager
async def node(directory: Path, limits: Limits = DATED, chain: Chain = HERE) -> AsyncIterator[Node]:
    journal, clock = directory / "journal", Clock()
    async with (
        opened(FilePlace(directory)) as database,
        await Journal.open(
            journal, *chain, limits=limits, clock=clock, files=QuickFiles(), signer=SIGNER
        ) as own,
    ):
        told: list[tuple[object, ...]] = []
        shipper = Shipper(
            ToDatabase(ShippingLedger(database, time.time), journal),
            Source(journal, chain, lambda: own.link.seq),
            ShippingReports(
                lambda code, _: told.append(("shipping", code)),
                lambda _: None,
                lambda error: told.append((error,)),
            ),
            time.monotonic,
            time.time,
        )
        async with shipping(shipper):
            yield Node(directory, own, shipper, database, clock, chain, told)
    assert verify(journal).is_whole


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(retaining, "LOOK_SECONDS", 0.005)


def policy(one: Node, name: str, days_ago: float) -> None:
    place = one.directory / "policies" / name
    place.mkdir(parents=True)
    (place / "main.polar").write_text("")
    used = one.clock.now - days_ago * DAY
    os.utime(place, (used, used))


def test_what_is_older_than_it_is_kept_goes_everywhere_and_the_record_says_so(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with node(tmp_path) as one:
            await one.live(6)
            await one.journal.append(Kind.DECISION, decision(0))
            await one.copied()
            policy(one, "old", 5.5)
            policy(one, "cited", 3.5)
            policy(one, "now", 5.5)

            retention = one.retention(days=3)
            await retention.look()

            kept = await one.decided_at()
            assert len(kept) == 3 * 20 + 1
            assert kept[0] == one.clock.now - 3 * DAY
            # A segment goes when all of it is too old, and lasts a day at most.
            assert min(one.days()) in {"2026-09-24", "2026-09-25"}
            assert 3 * DAY <= retention.oldest < 4 * DAY + 1
            assert one.told == [
                ("here", one.told[0][1], "older than 3 days"),
                (60, "2026-09-25T00:00:00+00:00"),
            ]
            [word] = [
                record
                for record in read(tmp_path / "journal")
                if record.payload.get("what") == "record.retention"
            ]
            assert word.payload["who"] == {"type": "System", "id": "gateway"}
            assert word.payload["before"]["decisions"] == 60
            names = {path.name for path in (tmp_path / "policies").iterdir()}
            assert names == {"cited", "now"}
            assert (tmp_path / "policies" / "now").stat().st_mtime == one.clock.now

            one.told.clear()
            await one.retention(days=3).look()
            assert one.told == []

    asyncio.run(story())


def nobody_knows(_: Chain) -> int | None:
    return None


@pytest.mark.parametrize("consumers", [[], [nobody_knows], [lambda _: 1]])
@pytest.mark.parametrize("bounds", [(3, 2**30), (0, 2**14)])
def test_t37_what_somebody_still_needs_is_never_removed(
    tmp_path: Path, consumers: list[Consumer], bounds: tuple[int, int]
) -> None:
    async def story() -> None:
        async with node(tmp_path) as one:
            await one.live(6)
            await one.retention(*bounds, consumers).look()
            assert len(one.days()) == 6
            more = [*consumers, one.shipper.needs]
            await one.retention(*bounds, more).look()
            assert (len(one.days()) == 6) == bool(consumers)

    asyncio.run(story())


def test_t37_a_full_journal_refuses_until_it_is_copied_and_then_makes_room_by_itself(
    tmp_path: Path,
) -> None:
    size = 2**16

    async def filled(one: Node) -> bool:
        for number in range(10_000):
            try:
                await one.journal.append(Kind.DECISION, decision(number))
            except JournalFullError:
                return True
        return False

    async def story() -> None:
        limits = replace(SMALL, total_bytes=size)
        async with node(tmp_path, limits) as one:
            is_known = False

            def needs(chain: Chain) -> int | None:
                return one.shipper.needs(chain) if is_known else 1

            retention = one.retention(size=size, consumers=[needs])
            assert await filled(one)
            await retention.look()
            assert one.told == []
            with pytest.raises(JournalFullError):
                await one.journal.append(Kind.DECISION, decision(-1))

            is_known = True
            await one.copied()
            await retention.look()
            assert retention.size <= size * 9 // 10
            assert [(chain, why) for chain, _, why in one.told] == [("here", "room")]
            await one.journal.append(Kind.DECISION, decision(-1))
            assert len(await one.decided_at()) > 100

    asyncio.run(story())


def test_r17_a_clock_that_jumps_ten_years_wipes_nothing_and_is_told_of(tmp_path: Path) -> None:
    async def story() -> None:
        async with node(tmp_path) as one:
            await one.live(2)
            retention = one.retention(days=30)
            right = one.clock.now
            one.clock.now += 3650 * DAY
            await one.journal.append(Kind.DECISION, decision(1))
            await one.copied()
            await retention.look()
            assert len(await one.decided_at()) == 41
            assert one.told == [("held", 3650)]

            one.clock.now = right
            await one.live(1)
            await one.retention(days=30).look()
            assert len(await one.decided_at()) == 61
            assert len(one.days()) == 4

    asyncio.run(story())


def test_one_process_at_a_time_removes_anything(tmp_path: Path) -> None:
    async def story() -> None:
        async with node(tmp_path) as one:
            await one.live(6)
            turn = lock(tmp_path / "journal" / "retention.lock")
            retention = one.retention(days=3)
            await retention.look()
            assert one.told == []
            os.close(turn)
            await retention.look()
            assert len(one.days()) < 6

    asyncio.run(story())


def test_t37_workers_that_share_a_bound_keep_it_together(tmp_path: Path) -> None:
    size = 2**18
    limits = replace(SMALL, total_bytes=size)

    def taken() -> int:
        return size_of(tmp_path / "journal")

    async def busy(one: Node) -> int:
        refused = 0
        # Both together write less at a time than the tenth of the room that is kept free.
        for _ in range(64):
            for number in range(10):
                try:
                    await one.journal.append(Kind.DECISION, decision(number))
                except JournalFullError:
                    refused += 1
            await one.copied()
            await until(lambda: taken() < size * 9 // 10)
        return refused

    async def story() -> None:
        async with node(tmp_path, limits) as one, node(tmp_path, limits, BESIDE) as other:
            both = (one, other)
            works = [asyncio.create_task(each.retention(size=size).follow()) for each in both]
            refused = await asyncio.gather(*map(busy, both))
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            assert tuple(refused) == (0, 0)
            assert len(await one.decided_at()) == 2 * 64 * 10
            kept = [len(list(found)) for found in (one.days(), other.days())]
            assert kept == [1, 1]
            assert {told[0] for told in (*one.told, *other.told)} == {"here"}
            assert taken() < size

    asyncio.run(story())


async def left(directory: Path, clock: Callable[[], int]) -> None:
    async with await Journal.open(
        directory, *GONE, limits=DATED, clock=clock, files=QuickFiles(), signer=SIGNER
    ) as one:
        for number in range(40):
            await one.append(Kind.DECISION, decision(number))
    for path in segments(directory):
        os.utime(path, (time.time() - 60, time.time() - 60))


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("gone.*.jsonl"))


@pytest.mark.parametrize(
    ("days", "size", "broken"), [(3, 2**30, False), (0, 2**15, False), (3, 2**30, True)]
)
def test_a_chain_whose_writer_is_gone_goes_once_it_is_copied(
    tmp_path: Path, *, days: int, size: int, broken: bool
) -> None:
    journal = tmp_path / "journal"

    async def story() -> None:
        await left(journal, Clock())
        last = segments(journal)[-1]
        content = last.read_bytes()
        async with node(tmp_path) as one:
            await one.live(6)
            await until(lambda: (one.shipper.needs(GONE) or 0) > len(segments(journal)))
            if broken:
                last.write_bytes(content.replace(b'"allow"', b'"ALLOW"'))
            retention = one.retention(days, size)
            await retention.look()
            await retention.look()
            if broken:
                assert ("journal-damaged",) in one.told
                assert one.told.count(("journal-damaged",)) == 1
                last.write_bytes(content)
                assert one.days(GONE)
            else:
                assert one.days(GONE) == set()
                assert len(segments(journal)) == 1
            assert ("gone" in {told[0] for told in one.told}) != broken
            assert one.days()

    asyncio.run(story())


def test_a_failure_is_told_once_and_does_not_end_the_work(tmp_path: Path) -> None:
    async def story() -> None:
        async with node(tmp_path) as one:
            await one.live(6)
            asked = 0

            def needs(chain: Chain) -> int | None:
                nonlocal asked
                asked += 1
                if asked <= 3:
                    raise OSError(5, "Input/output error")
                return one.shipper.needs(chain)

            retention = one.retention(0, 2**14, [needs])
            work = asyncio.create_task(retention.follow())
            await until(lambda: len(one.told) == 2)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            assert one.told[0] == ("journal-unreadable",)
            assert one.told[1][0] == "here"

    asyncio.run(story())


def test_a_gateway_tells_what_its_record_takes_and_how_old_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, settings={"record.keep_days": 30}) as rig:
            await rig.ask("tools/call", {"name": "echo"})

            async def told(name: str) -> float:
                found = re.search(rf"^{name} (\S+)$", await rig.metrics(), re.MULTILINE)
                assert found is not None
                return float(found[1])

            async with asyncio.timeout(10):
                while not await told("northgate_journal_size_bytes"):  # noqa: ASYNC110  a gauge
                    await asyncio.sleep(0.01)
            assert await told("northgate_journal_limit_bytes") == 2**30
            assert 0 <= await told("northgate_journal_oldest_seconds") < 60
            assert "retention_" not in rig.log.getvalue()

    asyncio.run(story())
