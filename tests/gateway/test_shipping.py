"""The record of a running gateway in its database: copied beside the calls, and read from there."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from policies.model import Entity, Fact
from proxy.shipping import Reports, Shipper, Source, ToDatabase, shipping
from storage.engine import open_database
from storage.journal import Chain, Journal, Kind, read
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import claimed
from tests.gateway.harness import Rig, gateway, until
from tests.oauth.served import control_token, manage
from tests.storage.faults import Fault, way_to
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

EVE = Fact("has_role", (Entity("User", "eve"), "auditor"))
NOBODY = "0190aaaa-0000-7000-8000-000000000000"


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.url(postgres.new_database(TEMPLATE))


def copies(server: Server, url: str) -> list[str]:
    name = url.removeprefix("postgresql:///").partition("?")[0]
    return sorted(row[0] for row in server.ask("SELECT id FROM decisions", name))


async def call(rig: Rig, **more: object) -> int:
    said = await rig.ask("tools/call", {"name": "echo", "arguments": more})
    return said.status


async def behind(rig: Rig) -> float:
    found = re.search(r"^northgate_shipping_behind (\S+)$", await rig.metrics(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def all_copied(rig: Rig) -> None:
    """Return once the database has every record."""
    async with asyncio.timeout(10):
        while await behind(rig):  # noqa: ASYNC110  a gauge has no event
            await asyncio.sleep(0.02)


def test_decisions_are_read_from_the_database_by_whoever_may(tmp_path: Path) -> None:
    async def story() -> None:
        settings = {"record.arguments": "full"}
        async with gateway(tmp_path, settings=settings) as rig:
            await rig.state(EVE)
            eve = control_token(rig, "eve")
            assert await call(rig, text="hush") == 200
            await rig.ask("tools/call", {"name": "echo"}, client="stranger")
            await rig.recorded(1)
            await all_copied(rig)

            query = "decisions?principal=client:ci&action=call&resource=tool:up__echo"
            listed = await manage(rig, "GET", query, token=eve)
            [one] = listed.document["decisions"]
            assert listed.document["next"] is None
            id_ = one["record"]["id"]
            by_name = "decisions?principal=client:ci&server=up&tool="
            for name in ("echo", "up__echo"):
                named = await manage(rig, "GET", f"{by_name}{name}&action=call", token=eve)
                assert named.document == listed.document
            both = await manage(rig, "GET", "decisions?tool=up__echo&resource=tool:up__echo")
            alone = await manage(rig, "GET", "decisions?tool=echo")
            told = [one.document["problems"][0]["field"] for one in (both, alone)]
            assert told == ["tool", "tool"]
            assert (one["record"]["verdict"], one["outcome"]["status"]) == ("allow", 200)
            assert b"hush" not in listed.body

            shown = await manage(rig, "GET", f"decisions/{id_}", token=eve)
            assert shown.document == one
            hidden = await manage(rig, "GET", f"decisions/{id_}/arguments", token=eve)
            assert (hidden.status, hidden.document["action"]) == (403, "read_arguments")
            known = await manage(rig, "GET", f"decisions/{id_}/arguments")
            assert known.document == {"decision_id": id_, "arguments": {"text": "hush"}}
            denied = await manage(rig, "GET", "decisions?verdict=deny&principal=client:stranger")
            assert [each["outcome"] for each in denied.document["decisions"]] == [None]

    asyncio.run(story())


def test_pages_follow_each_other_and_mistakes_are_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path) as rig:
            for _ in range(5):
                await call(rig)
            await all_copied(rig)
            mine = "decisions?principal=client:ci&action=call&limit=2"
            ids, after = [], ""
            while True:
                page = (await manage(rig, "GET", mine + after)).document
                ids += [one["record"]["id"] for one in page["decisions"]]
                if page["next"] is None:
                    break
                after = f"&after={page['next']}"
            assert len(ids) == len(set(ids)) == 5
            assert ids == sorted(ids, reverse=True)
            until_then = f"{mine}&until=2001-01-01T00:00:00Z"
            assert (await manage(rig, "GET", until_then)).document["decisions"] == []

            wrong = "decisions?since=now&principal=ci&resource=matching:a*&verdict=no&limit=0&x=1"
            told = (await manage(rig, "GET", wrong)).document
            fields = {one["field"] for one in told["problems"]}
            assert fields == {"since", "principal", "resource", "verdict", "limit", "x"}
            assert (await manage(rig, "GET", f"decisions?after={NOBODY}")).status == 422
            unknown = await manage(rig, "GET", f"decisions/{NOBODY}")
            assert (unknown.status, unknown.document["code"]) == (404, "unknown-decision")
            stranger = control_token(rig, "ann")
            assert (await manage(rig, "GET", mine, token=stranger)).status == 403

    asyncio.run(story())


def test_r03_while_the_database_is_away_calls_go_on_and_later_each_record_is_there_once(
    postgres: Server, url: str, tmp_path: Path
) -> None:
    async def story() -> None:
        async with gateway(tmp_path, settings={"database.url": url}) as rig:
            await call(rig)
            await all_copied(rig)
            await asyncio.to_thread(postgres.stop)
            try:
                assert [await call(rig) for _ in range(20)] == [200] * 20
                await until(lambda: '"event":"shipping_failed"' in rig.log.getvalue())
                assert await behind(rig) >= 20
            finally:
                await asyncio.to_thread(postgres.start)
            assert await call(rig) == 200
            await all_copied(rig)
            assert rig.log.getvalue().count('"event":"shipping_failed"') == 1
            await until(lambda: '"event":"shipping_recovered"' in rig.log.getvalue())

    asyncio.run(story())

    # What was left when it ended is there too.
    kept = [one.id for one in read(tmp_path / "data" / "journal") if one.kind == Kind.DECISION]
    assert copies(postgres, url) == sorted(kept)


@pytest.mark.parametrize("step", ["0001", "9999"])
def test_r22_under_a_schema_of_another_release_calls_go_on_and_the_copy_waits(
    tmp_path: Path, step: str
) -> None:
    data = tmp_path / "data"

    def stamp(step: str) -> str:
        with closing(sqlite3.connect(data / "northgate.db")) as connection, connection:
            [(before,)] = connection.execute("SELECT version_num FROM alembic_version")
            connection.execute("UPDATE alembic_version SET version_num = ?", (step,))
        return str(before)

    async def story() -> None:
        async with gateway(tmp_path) as rig:
            await call(rig)
            await all_copied(rig)
            before = stamp(step)
            assert await call(rig) == 200
            await until(lambda: '"event":"shipping_failed"' in rig.log.getvalue())
            assert await behind(rig) >= 1
            assert '"code":"schema-other"' in rig.log.getvalue()
            assert f"step {step}, and this release needs {before}" in rig.log.getvalue()
            stamp(before)
            await all_copied(rig)

    asyncio.run(story())

    kept = {one.id for one in read(data / "journal") if one.kind == Kind.DECISION}
    with closing(sqlite3.connect(data / "northgate.db")) as connection:
        assert {row[0] for row in connection.execute("SELECT id FROM decisions")} == kept


@pytest.mark.parametrize("fault", Fault)
def test_r04_a_copy_that_meets_a_fault_holds_up_neither_calls_nor_grants(
    postgres: Server, tmp_path: Path, fault: Fault
) -> None:
    name = postgres.new_database(TEMPLATE)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            way = await stack.enter_async_context(way_to(postgres))
            settings = {"database.url": way.url(name)}
            async with gateway(tmp_path, settings=settings) as rig:
                await call(rig)
                await all_copied(rig)
                way.fault = fault
                assert await call(rig) == 200
                async with asyncio.timeout(10):
                    await way.hit.wait()
                wish = {"actor": "client:cd", "role": "caller", "resource": "server:up"}
                assert (await manage(rig, "POST", "grants", wish)).status == 201
                assert (await manage(rig, "DELETE", "grants", wish)).status == 200
                assert await call(rig) == 200
                # The copy hangs still: nobody waited until it was given up.
                is_reset = fault is Fault.RESET
                assert ('"event":"shipping_failed"' in rig.log.getvalue()) <= is_reset
                assert await behind(rig)
                way.heal()
                await all_copied(rig)

    asyncio.run(story())

    kept = [one.id for one in read(tmp_path / "data" / "journal") if one.kind == Kind.DECISION]
    assert copies(postgres, postgres.url(name)) == sorted(kept)


@asynccontextmanager
async def copying(directory: Path, told: list[str]) -> AsyncIterator[Shipper]:
    """Copy the journal in *directory* as worker 0 of `here` does; *told* gets what is reported."""
    database = await open_database(f"sqlite:///{directory / 'northgate.db'}")
    journal = directory / "journal"
    async with await Journal.open(journal, "here", 0) as own:
        shipper = Shipper(
            ToDatabase(ShippingLedger(database, time.time), journal),
            Source(journal, Chain("here", 0), lambda: own.link.seq),
            Reports(
                lambda code, _: told.append(code),
                lambda _: told.append("recovered"),
                lambda error: told.append(f"{error!r}"),
            ),
            time.monotonic,
            time.time,
        )
        async with shipping(shipper):
            yield shipper
    await database.close()


async def left(directory: Path, node: str, count: int) -> None:
    """Leave behind what a worker of *node* wrote, and when it was last seen."""
    async with await Journal.open(directory, node, 0) as journal:
        for number in range(count):
            await journal.append(Kind.DECISION, {"number": number, "server": node})
    aged(directory, node)


def aged(directory: Path, node: str) -> None:
    for path in directory.glob(f"{node}.*.jsonl"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def spoilt(directory: Path) -> None:
    """Put a line that is no record before what the worker of `gone` wrote."""
    [path] = directory.glob("gone.*.jsonl")
    path.write_bytes(b'"{"\n' + path.read_bytes())
    aged(directory, "gone")


async def servers(directory: Path) -> set[str]:
    database = await open_database(f"sqlite:///{directory / 'northgate.db'}")
    async with database.reading() as session:
        connection = await session.connection()
        rows = await connection.exec_driver_sql("SELECT DISTINCT server FROM decisions")
        found = {str(row[0]) for row in rows}
    await database.close()
    return found


@pytest.mark.parametrize(
    ("held", "broken", "found", "codes"),
    [
        (False, False, {"gone", "old"}, []),
        (True, False, {"old"}, []),  # another process copies it
        (False, True, {"old"}, ["journal-damaged"]),
    ],
)
def test_chains_whose_writers_are_gone_are_copied_by_one_who_is_there(
    tmp_path: Path, *, held: bool, broken: bool, found: set[str], codes: list[str]
) -> None:
    journal, told = tmp_path / "journal", list[str]()

    async def story() -> None:
        await left(journal, "gone", 5)
        await left(journal, "old", 5)
        if broken:
            spoilt(journal)
        holding = claimed(journal, Chain("gone" if held else "nobody", 0))
        with holding:
            async with copying(tmp_path, told):
                async with asyncio.timeout(10):
                    while await servers(tmp_path) < found:  # noqa: ASYNC110  a table has no event
                        await asyncio.sleep(0.02)

    asyncio.run(story())

    assert told == codes
    assert asyncio.run(servers(tmp_path)) == found
