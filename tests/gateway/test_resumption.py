"""R10, T24, T28: streams that are cut or left, and taken up again by whom they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.gateway.harness import (
    CI,
    Rig,
    may,
    shared,
    until,
)
from tests.gateway.raw import LEGACY, MODERN
from tests.gateway.streams import (
    ECHO,
    FACTS,
    NEWS,
    OTHER,
    READER,
    Studio,
    get,
    getting,
    hearing,
    left,
    open_streams,
    posting,
    session_of,
    streaming,
    subscribed,
    tuned,
)
from tests.upstream.scripted import whole
from tests.upstream.speaking import Message, result_of, written


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("streams"), facts=FACTS) as rig:
        yield rig


# Cut, and taken up again.


def listed() -> Message:
    tools = [{"name": one, "description": f"To {one}."} for one in ("echo", "wipe")]
    return {"tools": [one | {"inputSchema": {"type": "object"}} for one in tools]}


@pytest.mark.parametrize("way", ["cut", "end"])
def test_a_list_that_comes_in_a_resumed_stream_is_filtered_and_is_the_outcome_of_its_own_decision(
    rig: Rig, way: str
) -> None:
    async def story() -> None:
        session = await session_of(rig, READER)
        more = [("Mcp-Session-Id", session)]
        with streaming(rig, "GET", "tools/list") as studio:
            raw = posting(rig, "tools/list", version=LEGACY, bearer=rig.bearer(READER), more=more)
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                decision = rig.records()[-1]
                await channel.block(b"id: e-0\nretry: 200\ndata:\n\n")
                last = await ear.event_id()
                await channel.say(NEWS, b"id: e-1\n")
                last = await ear.event_id()
                channel.cut() if way == "cut" else await channel.end()
                assert await ear.event() is None
            resumed = [("Last-Event-ID", last)]
            async with tuned(rig, studio, session, resumed, client=READER) as (ear, channel):
                assert b"Last-Event-ID: e-1\r\n" in channel.raw
                assert decision.id not in {
                    one.payload["decision"] for one in rig.records("outcome")
                }
                answer = {"jsonrpc": "2.0", "id": 7, "result": listed()}
                await channel.say(answer, b"id: e-2\n")
                heard = await ear.event()
            assert [one["name"] for one in heard["result"]["tools"]] == ["echo"]
            outcome = await rig.outcome_of(decision)
            assert (outcome["status"], outcome["is_error"]) == (200, False)
        assert b"wipe" not in ear.heard

    rig.run(story())


def test_a_resumed_stream_can_be_cut_and_resumed_again(rig: Rig) -> None:
    async def story() -> None:
        session = await session_of(rig, READER)
        more = [("Mcp-Session-Id", session)]
        with streaming(rig, "GET", "tools/list") as studio:
            raw = posting(rig, "tools/list", version=LEGACY, bearer=rig.bearer(READER), more=more)
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                decision = rig.records()[-1]
                await channel.block(b"id: e-0\ndata:\n\n")
                last = await ear.event_id()
                channel.cut()
                assert await ear.event() is None
            for number in range(1, 4):
                resumed = [("Last-Event-ID", last)]
                async with tuned(rig, studio, session, resumed, client=READER) as (ear, channel):
                    assert b"Last-Event-ID: e-%d\r\n" % (number - 1) in channel.raw
                    await channel.block(b"id: e-%d\nretry: 100\ndata:\n\n" % number)
                    last = await ear.event_id()
                    await channel.end()
                    assert await ear.event() is None
            resumed = [("Last-Event-ID", last)]
            async with tuned(rig, studio, session, resumed, client=READER) as (ear, channel):
                await channel.say({"jsonrpc": "2.0", "id": 7, "result": listed()})
                heard = await ear.event()
        assert [one["name"] for one in heard["result"]["tools"]] == ["echo"]
        assert (await rig.outcome_of(decision))["status"] == 200

    rig.run(story())


def test_a_call_that_is_resumed_by_somebody_else_or_in_another_session_is_unknown(
    rig: Rig,
) -> None:
    async def story() -> None:
        ids = iter(("s-1", "s-2", "s-3"))

        def begins(asked: Message) -> bytes:
            result = {"protocolVersion": LEGACY, "capabilities": {}}
            more = b"Mcp-Session-Id: %b\r\n" % next(ids).encode()
            return whole(written(result_of(asked, result)), more=more)

        with rig.saying({"initialize": begins}):
            own, second = await session_of(rig), await session_of(rig)
            foreign = await session_of(rig, OTHER)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, own) as (ear, channel):
                await channel.say(NEWS, b"id: e-1\n")
                last = await ear.event_id()
            seen = rig.mark
            for client, session, shown in (
                (OTHER, foreign, last),
                (CI, second, last),
                (CI, own, "e-1"),
                (CI, own, last[:-2] + "AA"),
            ):
                said = await get(rig, session, [("Last-Event-ID", shown)], client=client)
                assert (said.status, said.code) == (400, -32602)
                assert rig.records()[-1].payload["reason"] == "not_visible"
            assert rig.mark == seen

    rig.run(story())


def test_an_answer_that_is_resumed_is_fitted_by_what_holds_then(rig: Rig) -> None:
    grant = may(READER, "caller", "Tool", "up__echo")

    async def story() -> None:
        session = await session_of(rig, READER)
        more = [("Mcp-Session-Id", session)]
        with streaming(rig, "GET", "tools/list") as studio:
            raw = posting(rig, "tools/list", version=LEGACY, bearer=rig.bearer(READER), more=more)
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                await channel.block(b"id: e-0\ndata:\n\n")
                last = await ear.event_id()
                channel.cut()
                assert await ear.event() is None
            await rig.unstate(grant)
            resumed = [("Last-Event-ID", last)]
            async with tuned(rig, studio, session, resumed, client=READER) as (ear, channel):
                await channel.say({"jsonrpc": "2.0", "id": 7, "result": listed()})
                heard = await ear.event()
            await rig.state(grant)
        assert heard["result"]["tools"] == []

    rig.run(story())


# Left.


def test_a_stream_without_end_is_closed_upstream_as_soon_as_its_client_leaves(rig: Rig) -> None:
    async def story() -> None:
        session = await session_of(rig)
        with streaming(rig, "GET", "subscriptions/listen") as studio:
            async with tuned(rig, studio, session) as (_, channel):
                opening = rig.records()[-1]
            await channel.left()
            assert (await rig.outcome_of(opening))["status"] == 200
            async with subscribed(rig, studio, {"toolsListChanged": True}) as (_, channel):
                opening = rig.records()[-1]
            await channel.left()
            assert (await rig.outcome_of(opening))["status"] == "cancelled"

    rig.run(story())


def test_a_legacy_call_that_can_be_resumed_leaves_with_its_client_and_has_no_outcome_yet(
    rig: Rig,
) -> None:
    async def story() -> None:
        session = await session_of(rig)
        with streaming(rig, "GET", "tools/call") as studio:
            raw = posting(
                rig, "tools/call", ECHO, version=LEGACY, more=[("Mcp-Session-Id", session)]
            )
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                decision = rig.records()[-1]
                await channel.block(b"id: e-0\ndata:\n\n")
                last = await ear.event_id()
            await channel.left()
            async with tuned(rig, studio, session, [("Last-Event-ID", last)]) as (ear, channel):
                await channel.say({"jsonrpc": "2.0", "id": 7, "result": {"content": []}})
                assert (await ear.event())["result"] == {"content": []}
        outcome = await rig.outcome_of(decision)
        assert (outcome["status"], outcome["is_error"]) == (200, False)
        outcomes = [one.payload["decision"] for one in rig.records("outcome")]
        assert outcomes.count(decision.id) == 1

    rig.run(story())


def test_a_stream_that_gives_its_first_event_id_after_its_client_left_goes_on_to_its_end(
    rig: Rig,
) -> None:
    async def story() -> None:
        before = left(await rig.metrics())
        with streaming(rig, "tools/call") as studio:
            async with hearing(rig, posting(rig, "tools/call", ECHO, version=LEGACY)) as ear:
                channel = await studio.channel()
                decision = rig.records()[-1]
                await channel.block(b"retry: 500\n\n")
                assert await ear.block() == b"retry: 500\n\n"
            async with asyncio.timeout(5):
                while left(await rig.metrics()) == before:
                    pass
            await channel.block(b"id: e-0\ndata:\n\n")
            await channel.end()
            # Nobody knows where to go on, so nobody will.
            outcome = await rig.outcome_of(decision)
        assert outcome["is_error"] is True

    rig.run(story())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def leaving_modern(rig: Rig, _session: str) -> bytes:
    return posting(rig, "tools/call", ECHO)


def leaving_listen(rig: Rig, _session: str) -> bytes:
    params = {"notifications": {"toolsListChanged": True}}
    return posting(rig, "subscriptions/listen", params)


def leaving_legacy(rig: Rig, session: str) -> bytes:
    return posting(rig, "tools/call", ECHO, version=LEGACY, more=[("Mcp-Session-Id", session)])


LEAVINGS: dict[str, Callable[[Rig, str], bytes]] = {
    "GET": getting,
    "modern": leaving_modern,
    "listen": leaving_listen,
    "legacy": leaving_legacy,
}


async def flat(rig: Rig, leave: Callable[[], Awaitable[None]]) -> None:
    """Let two hundred clients *leave*, and see that nothing stays of them."""
    await leave()
    await until(lambda: rig.upstream.open <= 1)
    tasks, files = len(asyncio.all_tasks()), descriptors()
    for _ in range(10):
        await asyncio.gather(*(leave() for _ in range(20)))
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: descriptors() <= files)
    assert open_streams(await rig.metrics()) == 0


@pytest.mark.parametrize("name", LEAVINGS)
def test_nothing_stays_of_two_hundred_streams_whose_clients_left(rig: Rig, name: str) -> None:
    async def leave(studio: Studio, session: str) -> None:
        async with hearing(rig, LEAVINGS[name](rig, session)) as ear:
            channel = await studio.channel()
            await channel.say(NEWS)
            if name in ("GET", "legacy"):
                assert await ear.event() == NEWS
        if name == "legacy":
            await channel.answer({"content": []})
        await channel.left(5)

    async def story() -> None:
        session = await session_of(rig)
        with streaming(rig, "GET", "tools/call", "subscriptions/listen") as studio:
            await flat(rig, partial(leave, studio, session))

    rig.run(story())


@pytest.mark.parametrize("version", [LEGACY, MODERN])
def test_nothing_stays_of_two_hundred_calls_whose_clients_left_before_any_answer(
    rig: Rig, version: str
) -> None:
    async def leave(studio: Studio) -> None:
        async with rig.line() as line:
            await line.send(posting(rig, "tools/call", ECHO, version=version))
            channel = await studio.channel()
        if version == LEGACY:
            answer = result_of(channel.asked, {"content": []})
            await channel.line.send(whole(written(answer), more=b"Connection: close\r\n"))
        await channel.left(5)

    async def story() -> None:
        outcomes = len(rig.records("outcome"))
        with streaming(rig, "tools/call", is_silent=True) as studio:
            await flat(rig, partial(leave, studio))
        found = (await rig.recorded(outcomes + 201))[outcomes:]
        status = 200 if version == LEGACY else "cancelled"
        assert [one.payload["status"] for one in found] == [status] * 201

    rig.run(story())
