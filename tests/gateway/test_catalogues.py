"""T25: what a server offers is looked at again in time, and what has changed waits for approval."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from policies.model import Entity, Fact
from proxy.admin.definitions import APPROVED
from proxy.catalogues import FIRST_SECONDS, MOST_INTERVALS, Catalogues, Pace
from proxy.standing import Standing
from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.server import Server
from storage.definitions import DefinitionLedger
from storage.engine import open_database
from storage.facts import FactLedger
from tests.admin.controlled import shipped
from tests.admin.offered import SOON, Desk, catalogues_of, offer, tool
from tests.gateway.desk import offering
from tests.gateway.harness import Rig, gateway, until
from tests.gateway.raw import ERAS
from tests.gateway.test_policy_changes import manage
from tests.upstream.speaking import Message, Speech, events, gives, result_of, understood

T = TypeVar("T")


# How often.


@pytest.mark.parametrize(
    ("interval", "failures", "chance", "pause"),
    [
        (300, 0, 0.0, 300),
        (300, 0, 1.0, 240),
        (300, 1, 0.0, 20),
        (300, 2, 0.0, 40),
        (300, 2, 1.0, 32),
        (300, 8, 0.0, 2560),
        (300, 9, 0.0, 3000),
        (300, 10**9, 0.0, 3000),
        (1, 1, 0.0, 10),
        (0, 0, 0.0, None),
        (0, 3, 0.5, None),
    ],
)
def test_the_next_look_is_in_an_interval_at_most_and_after_failures_in_ten(
    interval: float, failures: int, chance: float, pause: float | None
) -> None:
    assert MOST_INTERVALS == 10
    assert Pace(10, interval, lambda: chance).pause(failures) == pause


@dataclass(frozen=True, slots=True)
class Kept:
    """Catalogues of servers that offer what is on the desk."""

    catalogues: Catalogues
    desk: Desk
    standing: Standing

    @property
    def server(self) -> Server:
        return self.desk.servers["github"]


@asynccontextmanager
async def keeping(directory: Path, pace: Pace) -> AsyncIterator[Kept]:
    database = await open_database(f"sqlite:///{directory / 'northgate.db'}")
    standing = await Standing.opened(shipped(), FactLedger(database, time.time))
    desk = Desk()
    ledger = DefinitionLedger(database, time.time)
    catalogues = catalogues_of(standing, ledger, desk, pace=pace)
    await catalogues.recall(desk.servers)
    try:
        yield Kept(catalogues, desk, standing)
    finally:
        await catalogues.close()
        desk.close()
        await database.close()


def told(directory: Path, pace: Pace, story: Callable[[Kept], Awaitable[T]]) -> T:
    async def run() -> T:
        async with keeping(directory, pace) as kept:
            return await story(kept)

    return asyncio.run(run())


RARELY = Pace(rest=0.25, interval=0, chance=lambda: 0)


def test_what_is_wanted_too_soon_is_done_once_when_the_time_has_come(tmp_path: Path) -> None:
    async def story(kept: Kept) -> tuple[float, int]:
        began = time.monotonic()
        kept.catalogues.refresh_soon(kept.server)
        await until(lambda: len(kept.desk.taken) == 1)
        for _ in range(5):
            kept.catalogues.refresh_soon(kept.server)
            kept.catalogues.changed(kept.server)
        assert len(kept.desk.begun) == 1
        await until(lambda: len(kept.desk.taken) == 2)
        waited = time.monotonic() - began
        # Of the others nothing is left: the next one is of its own.
        kept.catalogues.changed(kept.server)
        await until(lambda: len(kept.desk.taken) == 3)
        assert time.monotonic() - began >= 2 * RARELY.rest
        return waited, len(kept.desk.begun)

    waited, begun = told(tmp_path, RARELY, story)

    assert waited >= RARELY.rest
    assert begun == 3


def test_what_changes_while_it_is_looked_at_is_seen_by_another_look(tmp_path: Path) -> None:
    async def story(kept: Kept) -> list[str]:
        desk, asked, answer = kept.desk, asyncio.Event(), asyncio.Event()

        async def slowly(_: Server) -> None:
            asked.set()
            await answer.wait()

        desk.offers["github"], desk.before = (tool("old"),), slowly
        kept.catalogues.refresh_soon(kept.server)
        await asked.wait()
        desk.offers["github"] = (tool("new"),)
        kept.catalogues.changed(kept.server)
        answer.set()
        await until(lambda: len(desk.taken) == 2)
        assert kept.server.catalogue is not None
        return [*desk.begun, *kept.server.catalogue.tools]

    assert told(tmp_path, SOON, story) == ["github", "github", "new"]


def test_what_is_never_said_to_change_is_looked_at_again_and_again(tmp_path: Path) -> None:
    async def story(kept: Kept) -> None:
        kept.catalogues.refresh_soon(kept.server)
        await until(lambda: len(kept.desk.taken) >= 4)

    told(tmp_path, Pace(0.01, 0.02, lambda: 0.5), story)


def test_a_server_that_fails_is_asked_until_it_answers(tmp_path: Path) -> None:
    failures: list[Exception] = [
        UpstreamError(Code.UNREACHABLE, Kind.CONNECT, "refused", sent=False),
        RuntimeError("a fault of ours"),
        UpstreamError(Code.UNREACHABLE, Kind.CONNECT, "refused", sent=False),
    ]

    async def story(kept: Kept) -> list[Exception]:
        waiting = list(failures)

        async def failing(_: Server) -> None:
            if waiting:
                raise waiting.pop(0)

        kept.desk.before = failing
        kept.desk.offers["github"] = (tool("echo"),)
        kept.catalogues.refresh_soon(kept.server)
        await until(lambda: kept.server.catalogue is not None)
        return kept.desk.failed

    assert told(tmp_path, Pace(0.01, 0.02, lambda: 0), story) == failures


def test_a_call_waits_for_the_first_look_but_not_again_after_one_that_failed(
    tmp_path: Path,
) -> None:
    async def story(kept: Kept) -> tuple[list[int], float]:
        async def failing(_: Server) -> None:
            await asyncio.sleep(0)
            raise UpstreamError(Code.UNREACHABLE, Kind.CONNECT, "refused", sent=False)

        kept.desk.before = failing
        await kept.catalogues.known(kept.server)
        failed = [len(kept.desk.failed)]
        began = time.monotonic()
        await kept.catalogues.known(kept.server)
        return [*failed, len(kept.desk.failed)], time.monotonic() - began

    failed, waited = told(tmp_path, Pace(60, 0, lambda: 0), story)

    assert failed == [1, 1]
    assert waited < FIRST_SECONDS / 2


def test_a_call_waits_again_when_the_look_that_failed_is_a_while_ago(tmp_path: Path) -> None:
    pace = Pace(0.05, 0, lambda: 0)

    async def story(kept: Kept) -> Server:
        async def failing(_: Server) -> None:
            raise UpstreamError(Code.UNREACHABLE, Kind.CONNECT, "refused", sent=False)

        kept.desk.before, began = failing, time.monotonic()
        await kept.catalogues.known(kept.server)
        kept.desk.before = None
        await until(lambda: time.monotonic() > began + 2 * pace.rest)
        assert len(kept.desk.begun) == 1
        await kept.catalogues.known(kept.server)
        return kept.server

    assert told(tmp_path, pace, story).catalogue is not None


def test_what_is_listed_is_known_by_name_and_uri(tmp_path: Path) -> None:
    async def story(kept: Kept) -> None:
        kept.desk.offers["github"] = (
            tool("echo"),
            offer("prompt", "greet", {"name": "greet"}),
            offer("resource", "note://one", {"uri": "note://one"}),
            offer("template", "note://{id}", {"uriTemplate": "note://{id}"}),
        )
        await kept.catalogues.known(kept.server)
        known = kept.server.catalogue
        assert known is not None
        assert list(known.tools) == ["echo"]
        assert known.prompts == {"greet"}
        assert known.resources == {"note://one"}
        assert known.templates == {"note://{id}"}
        kept.desk.offers["github"] = ()
        kept.catalogues.changed(kept.server)
        await until(lambda: len(kept.desk.taken) == 2)
        assert kept.server.catalogue is not None
        assert kept.server.catalogue.resources == frozenset()

    told(tmp_path, SOON, story)


# Through the gateway.

FIELDS: dict[str, Message] = {
    "name": {"name": "nam3"},
    "title": {"title": "Pinnet"},
    "description": {"description": "To pin!"},
    "inputSchema": {"inputSchema": {"type": "object", "properties": {"b": {"type": "string"}}}},
    "outputSchema": {"outputSchema": {"type": "object", "properties": {"d": {"type": "string"}}}},
    "annotations": {"annotations": {"title": "q"}},
}
"""One byte of each field of a tool, which has the name of its field."""

PINNED: dict[str, Message] = {
    field: {
        "name": field,
        "title": "Pinned",
        "description": "To pin.",
        "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
        "outputSchema": {"type": "object", "properties": {"c": {"type": "string"}}},
        "annotations": {"title": "p"},
    }
    for field in FIELDS
}


def lists(tools: list[Message]) -> dict[str, Speech]:
    return {"tools/list": gives({"tools": tools, "resultType": "complete"})}


PINNED_LIST = lists(list(PINNED.values()))
CHANGED_LIST = lists([PINNED[field] | change for field, change in FIELDS.items()])


def states(rig: Rig) -> dict[str, str]:
    """Return the state of each tool that decisions rest on."""
    facts = rig.gateway.standing.grounds.facts
    found = {}
    for name in (*FIELDS, "nam3"):
        for state in ("new", "approved", "changed", "gone"):
            fact = Fact("definition_state", (Entity("Tool", f"up__{name}"), state))
            if facts.origins(fact):
                found[name] = state
    return found


async def passing(rig: Rig) -> None:
    """Let the upstream's own list pass, which is not what it was."""
    await rig.ask("tools/list", version=ERAS[1])


async def announcing(rig: Rig) -> None:
    """Let the upstream say so itself, while it answers something else."""
    with rig.saying({"tools/call": announces}):
        await rig.ask("tools/call", {"name": "title"}, version=ERAS[1])


def announces(asked: Message) -> bytes:
    said = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    return events(said, result_of(asked, {"content": []}))


async def nothing(_: Rig) -> None:
    """Wait for the time to come."""


@pytest.mark.parametrize(("cause", "interval"), [(passing, 0), (announcing, 0), (nothing, 1)])
def test_t25_a_tool_that_changes_by_a_byte_in_any_field_is_denied_until_it_is_approved(
    tmp_path: Path, cause: Callable[[Rig], Awaitable[None]], interval: int
) -> None:
    settings = {"catalogue.refresh_seconds": 1, "catalogue.interval_seconds": interval}
    speeches = {"up": offering() | PINNED_LIST}
    changed = dict.fromkeys(FIELDS, "changed") | {"name": "gone", "nam3": "new"}

    async def story() -> None:
        async with gateway(tmp_path, speeches, settings=settings) as rig:
            assert states(rig) == dict.fromkeys(FIELDS, "approved")
            for field in FIELDS:
                assert (await called(rig, field, ERAS[0])) is None
            with rig.saying(CHANGED_LIST):
                await cause(rig)
                await until(lambda: states(rig) == changed)
                await denied(rig, (*FIELDS, "nam3"))
                for one in await waiting(rig):
                    said = await manage(rig, "POST", f"{PATH}/approve", written(one))
                    assert (said.status, said.message["state"]) == (200, "approved")
                    assert (await called(rig, one["name"], ERAS[0])) is None
                await allowed(rig, (*FIELDS, "nam3"))
            approvals = [one.payload for one in rig.records("change")]
            assert sum(one["what"] == APPROVED for one in approvals) == len(FIELDS)

    asyncio.run(story())


PATH = "/api/v0/definitions"


def written(one: Message) -> bytes:
    wanted = ("server", "kind", "name", "hash")
    return json.dumps({name: one[name] for name in wanted}).encode()


async def called(rig: Rig, name: str, era: str) -> int | None:
    return (await rig.ask("tools/call", {"name": name}, version=era)).code


async def listed(rig: Rig, era: str) -> set[str]:
    said = await rig.ask("tools/list", version=era)
    return {one["name"] for one in said.message["result"]["tools"]}


async def denied(rig: Rig, names: tuple[str, ...]) -> None:
    seen = rig.mark
    for era in ERAS:
        assert await listed(rig, era) == set()
        for name in names:
            assert (await called(rig, name, era)) == -32602
    assert "tools/call" not in [understood(raw)[0] for raw in rig.upstream.seen[seen:]]


async def allowed(rig: Rig, names: tuple[str, ...]) -> None:
    """Find all of *names* there but the one that is gone."""
    for era in ERAS:
        assert await listed(rig, era) == {one for one in names if one != "name"}
    assert (await called(rig, "name", ERAS[0])) == -32602


async def waiting(rig: Rig) -> list[Any]:
    """Return what waits for approval."""
    found: list[Any] = []
    for state in ("new", "changed"):
        said = await manage(rig, "GET", f"{PATH}?server=up&kind=tool&state={state}")
        found += said.message["definitions"]
    return found
