"""R26, T24: streams of legacy sessions: opened, passed on event by event, and not too many."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.gateway.harness import (
    PATH,
    Rig,
    gateway,
    may,
    shared,
)
from tests.gateway.raw import LEGACY, MODERN, Said
from tests.gateway.streams import (
    ECHO,
    FACTS,
    NEWS,
    ONE,
    OTHER,
    READER,
    TOOLS,
    TWO,
    Channel,
    counted,
    get,
    getting,
    open_streams,
    session_of,
    streaming,
    told,
    tuned,
    updated,
)
from tests.upstream.scripted import whole


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("streams"), facts=FACTS) as rig:
        yield rig


# Opened.


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_stream_is_asked_for_with_our_headers_alone(rig: Rig, is_resumed: bool) -> None:  # noqa: FBT001
    foreign = [("Cookie", "a=b"), ("X-Forwarded-For", "192.0.2.1"), ("Mcp-Method", "ping")]

    async def story() -> list[bytes]:
        session = await session_of(rig)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session, foreign) as (ear, channel):
                if not is_resumed:
                    return [channel.raw]
                await channel.say(NEWS, b"id: 41\n")
                last = await ear.event_id()
            more = [*foreign, ("Last-Event-ID", last)]
            async with tuned(rig, studio, session, more) as (_, channel):
                return [channel.raw]

    resumption = b"Last-Event-ID: 41\r\n" if is_resumed else b""
    assert rig.run(story()) == [
        b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: keep-alive\r\n"
        b"Accept: text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: s-1\r\n"
        b"Authorization: Bearer of-the-gateway-for-up\r\n%b\r\n"
        % (rig.upstream.upstream.port, resumption)
    ]


@pytest.mark.parametrize("accept", ["application/json", "text/event-streams", "text/html", ""])
def test_whoever_does_not_accept_a_stream_gets_none(rig: Rig, accept: str) -> None:
    async def story() -> Said:
        session = await session_of(rig)
        raw = getting(rig, session).replace(b"text/event-stream", accept.encode())
        seen = rig.mark
        said = await rig.say(raw)
        assert rig.mark == seen
        return said

    assert rig.run(story()).status == 406
    assert rig.records()[-1].payload["reason"] == "malformed"


@pytest.mark.parametrize("verb", [b"GET", b"DELETE"])
def test_a_modern_client_can_only_post(rig: Rig, verb: bytes) -> None:
    async def story() -> Said:
        raw = getting(rig, None).replace(LEGACY.encode(), MODERN.encode())
        seen = rig.mark
        said = await rig.say(raw.replace(b"GET", verb, 1))
        assert rig.mark == seen
        return said

    said = rig.run(story())
    assert (said.status, said.header("allow")) == (405, "POST")
    last = rig.records()[-1].payload
    assert (last["method"], last["verdict"], last["reason"]) == (
        verb.decode(),
        "deny",
        "unknown_method",
    )


REFUSALS: dict[str, tuple[bytes, int, int]] = {
    "none": (b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", 405, -32600),
    "over": (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404, 40401),
    "json": (whole(b"{}"), 502, 50201),
    "page": (whole(b"<p>", media=b"text/html"), 502, 50201),
    "error": (whole(b"{}", status=b"500 Oops"), 502, 50201),
    "password": (whole(b"{}", status=b"401 No"), 502, 50201),
    "accepted": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 502, 50201),
    "elsewhere": (whole(b"", status=b"307 There", more=b"Location: http://a/\r\n"), 502, 50201),
    "a stream that failed": (
        whole(b"data: {}\n\n", media=b"text/event-stream", status=b"500 Oops"),
        502,
        50201,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_stream_that_the_upstream_does_not_open_is_refused_with_its_reason(
    rig: Rig, name: str
) -> None:
    answer, status, code = REFUSALS[name]

    async def story() -> Said:
        session = await session_of(rig)
        with rig.saying({"DELETE": lambda _: answer}):
            said = await get(rig, session)
        decision = rig.records()[-1]
        outcome = await rig.outcome_of(decision)
        assert (decision.payload["method"], decision.payload["verdict"]) == ("GET", "allow")
        assert outcome["is_error"] is True
        assert outcome["status"] in (status, "unknown")
        return said

    said = rig.run(story())
    assert (said.status, said.code) == (status, code)
    if status == 405:
        assert said.header("allow") == "POST, DELETE"


@pytest.mark.parametrize("verb", [b"GET", b"DELETE"])
def test_the_session_of_somebody_else_is_over_and_so_is_one_that_never_was(
    rig: Rig, verb: bytes
) -> None:
    async def story() -> list[bytes]:
        session, own = await session_of(rig), await session_of(rig, OTHER)
        seen = rig.mark
        said = []
        for one in (session, own[:-4] + "AAAA", "s-1", "x"):
            raw = getting(rig, one, bearer=rig.bearer(OTHER)).replace(b"GET", verb, 1)
            answer = await rig.say(raw)
            assert (answer.status, rig.records()[-1].payload["reason"]) == (404, "not_visible")
            said.append(answer.raw)
        assert rig.mark == seen
        return said

    assert len(set(rig.run(story()))) == 1


def test_whoever_may_not_connect_hears_as_little_as_of_a_server_that_is_not_there(
    rig: Rig,
) -> None:
    async def story() -> None:
        seen = rig.mark
        hidden = await get(rig, "s-1", client="nobody")
        raw = getting(rig, "s-1", bearer=rig.bearer("nobody"))
        absent = await rig.say(raw.replace(PATH.encode(), b"/servers/absent/mcp"))
        assert (hidden.status, hidden.code) == (404, 40401)
        assert hidden.raw == absent.raw
        assert rig.mark == seen

    rig.run(story())


def test_the_opening_of_a_stream_and_the_end_of_a_session_are_decisions_with_outcomes(
    rig: Rig,
) -> None:
    async def story() -> None:
        session = await session_of(rig)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session) as (ear, channel):
                opening = rig.records()[-1]
                await channel.say(NEWS)
                await channel.end()
                while await ear.block() is not None:
                    pass
        outcome = await rig.outcome_of(opening)
        assert (opening.payload["method"], opening.payload["action"]) == ("GET", "connect")
        assert (outcome["status"], outcome["is_error"]) == (200, False)
        assert outcome["bytes"] == len(ear.heard)

        said = await rig.say(getting(rig, session).replace(b"GET", b"DELETE", 1))
        end = rig.records()[-1]
        outcome = await rig.outcome_of(end)
        assert said.status == 200
        assert (end.payload["method"], end.payload["verdict"]) == ("DELETE", "allow")
        assert (outcome["status"], outcome["is_error"]) == (200, False)

    rig.run(story())


# Passed on, event by event.

LINE = json.dumps(NEWS, separators=(",", ":")).encode()
BLOCKS: dict[str, tuple[bytes, bytes]] = {
    "plain": (b"data: %b\n\n" % LINE, b"event: message\ndata: %b\n\n" % LINE),
    "spread": (
        b'data: {\ndata: "jsonrpc": "2.0",\r\ndata:  "method":\rdata: "%b"}\n\n' % TOOLS.encode(),
        b"event: message\ndata: %b\n\n" % LINE,
    ),
    "with a comment": (
        b": hidden\ndata: %b\nfoo: bar\n\n" % LINE,
        b"event: message\ndata: %b\n\n" % LINE,
    ),
    "an event that says that it is a message": (
        b"event: message\ndata: %b\n\n" % LINE,
        b"event: message\ndata: %b\n\n" % LINE,
    ),
    "an id": (b"id: e-1\ndata: %b\n\n" % LINE, b"id: #\nevent: message\ndata: %b\n\n" % LINE),
    "a beginning": (b"id: e-0\ndata:\n\n", b"id: #\nevent: message\ndata: \n\n"),
    "an id alone": (b"id: e-0\n\n", b"id: #\n\n"),
    "soon": (b"retry: 1\n\n", b"retry: 100\n\n"),
    "late": (b"retry: 99999999999999999999\n\n", b"retry: 60000\n\n"),
    "in between": (
        b"retry: 1500\ndata: %b\n\n" % LINE,
        b"retry: 1500\nevent: message\ndata: %b\n\n" % LINE,
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_an_event_is_written_anew(rig: Rig, name: str) -> None:
    given, expected = BLOCKS[name]

    async def story() -> bytes | None:
        session = await session_of(rig)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session) as (ear, channel):
                await channel.block(given)
                return await ear.block()

    block = rig.run(story())
    assert block is not None
    if b"id: #" in expected:
        first, _, rest = block.partition(b"\n")
        assert first.startswith(b"id: ")
        assert b"e-" not in first
        block = b"id: #\n" + rest
    assert block == expected


UNREADABLE: dict[str, bytes] = {
    "no JSON": b"data: {tools\n\n",
    "a batch": b"data: [%b]\n\n" % LINE,
    "an event of another type": b"event: endpoint\ndata: /elsewhere\n\n",
    "a key twice": b'data: {"jsonrpc":"2.0","method":"a","method":"%b"}\n\n' % TOOLS.encode(),
    "broken text": b"data: %b\n\n" % LINE.replace(b"tools", b"t\xffols"),
    "more members": b"data: %b\n\n" % LINE.replace(b"{", b'{"more":1,', 1),
    "an event without end": b"data: " + b"x" * (4 * 2**20 + 1),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_ends_the_stream_and_nothing_after_it_passes(
    rig: Rig, name: str
) -> None:
    async def story() -> None:
        session = await session_of(rig)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session) as (ear, channel):
                opening = rig.records()[-1]
                await channel.say(NEWS)
                assert await ear.event() == NEWS
                # The gateway may have hung up before all of it is sent.
                try:
                    await channel.block(UNREADABLE[name])
                    await channel.say(told("notifications/message", level="info", data="after"))
                except ConnectionError:
                    pass
                assert await ear.block() is None
                await channel.left()
        assert b"after" not in ear.heard
        await rig.outcome_of(opening)

    rig.run(story())


PASSES = [
    NEWS,
    told("notifications/prompts/list_changed"),
    told("notifications/resources/list_changed"),
    updated(ONE),
    told("notifications/message", level="info", data="x"),
]
DROPS = [
    told("notifications/subscriptions/acknowledged", notifications={}),
    told("notifications/unknown", tools=["wipe"]),
    told("notifications/cancelled", requestId=3),
    told("notifications/initialized"),
    {"jsonrpc": "2.0", "id": 7, "result": {"tools": [ECHO]}},
    {"jsonrpc": "2.0", "id": 7, "error": {"code": 1, "message": "wipe"}},
]


def test_what_nobody_asked_for_is_dropped_and_counted(rig: Rig) -> None:
    async def story() -> None:
        session = await session_of(rig)
        before = await rig.metrics()
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session) as (ear, channel):
                for one in DROPS:
                    await channel.say(one)
                for one in PASSES:
                    await channel.say(one)
                heard = [await ear.event() for _ in PASSES]
        assert heard == PASSES
        after = await rig.metrics()
        assert counted(after, "response") == counted(before, "response") + 2
        for name in ("notifications/cancelled", "other"):
            assert counted(after, name) == counted(before, name) + 1

    rig.run(story())


def test_a_client_hears_of_what_it_may_read_and_no_logs_where_it_may_not_have_them(
    rig: Rig,
) -> None:
    async def story() -> None:
        session = await session_of(rig, READER)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session, client=READER) as (ear, channel):
                await channel.say(updated(TWO))
                await channel.say(updated("note://one/"))
                await channel.say(told("notifications/resources/updated", uri=5))
                await channel.say(told("notifications/resources/updated"))
                await channel.say(told("notifications/message", level="info", data="x"))
                await channel.say(updated(ONE))
                await channel.say(NEWS)
                assert await ear.event() == updated(ONE)
                assert await ear.event() == NEWS

    rig.run(story())


def test_what_a_client_may_hear_is_judged_at_each_event(rig: Rig) -> None:
    grant = may(READER, "caller", "Document", f"up|{TWO}")
    level = may(READER, "caller", "Server", "up")

    async def story() -> None:
        session = await session_of(rig, READER)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session, client=READER) as (ear, channel):
                log = told("notifications/message", level="info", data="x")
                for _ in range(2):
                    for fact, message in ((grant, updated(TWO)), (level, log)):
                        await rig.state(fact)
                        await channel.say(message)
                        while (heard := await ear.event()) != message:
                            assert heard["method"].endswith("list_changed")
                        await rig.unstate(fact)
                        await channel.say(message)
                        await channel.say(updated(ONE))
                        while (heard := await ear.event()) != updated(ONE):
                            assert heard["method"].endswith("list_changed")

    rig.run(story())


# As many as there may be.


def test_one_principals_streams_are_limited_and_nobody_elses_with_them(rig: Rig) -> None:
    async def story() -> None:
        session, other = await session_of(rig), await session_of(rig, OTHER)
        with streaming(rig, "GET") as studio:
            async with AsyncExitStack() as stack:
                for _ in range(64):
                    await stack.enter_async_context(tuned(rig, studio, session))
                seen = rig.mark
                refused = await get(rig, session)
                assert (refused.status, refused.code) == (429, 42901)
                assert rig.records()[-1].payload["reason"] == "rate_limited"
                assert rig.mark == seen
                await stack.enter_async_context(tuned(rig, studio, other, client=OTHER))
                assert open_streams(await rig.metrics()) == 65
            async with asyncio.timeout(5):
                while open_streams(await rig.metrics()):
                    pass
            async with tuned(rig, studio, session):
                pass

    rig.run(story())


def test_streams_that_are_asked_for_all_at_once_are_limited_too(tmp_path: Path) -> None:
    async def story() -> None:
        settings = {"limits.streams_per_principal": 2}
        async with gateway(tmp_path, settings=settings) as rig, AsyncExitStack() as stack:
            session = await session_of(rig)
            with streaming(rig, "GET", is_silent=True) as studio:
                lines = [await stack.enter_async_context(rig.line()) for _ in range(5)]
                for line in lines:
                    await line.send(getting(rig, session))
                channels: list[Channel] = [await studio.channel() for _ in lines]
                for channel in channels:
                    await studio.opens_late(channel)
                heads = [await one.reader.readuntil(b"\r\n\r\n") for one in lines]
            assert sorted(one[9:12] for one in heads) == [b"200", b"200", b"429", b"429", b"429"]
            assert open_streams(await rig.metrics()) == 2

    asyncio.run(story())
