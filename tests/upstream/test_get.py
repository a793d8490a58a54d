"""Streams without end: asked for by a GET or a POST, and never in the way of calls (R26)."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.upstream.addresses import upstream
from proxy.upstream.answers import Answer, Stream
from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.http import Pool
from proxy.upstream.limits import Limits
from tests.upstream.certificates import contexts
from tests.upstream.scripted import (
    CHUNKED,
    JSON,
    SSE,
    Line,
    chunk,
    eventually,
    head,
    listening,
    whole,
)

EVENT = b"data: {}\n\n"
OPENED = head(media=SSE, more=CHUNKED) + chunk(EVENT)
ACCEPT = (b"Accept", b"text/event-stream")

Ask = Callable[[Pool, float], Awaitable[Answer]]


async def get(pool: Pool, deadline: float = 5) -> Answer:
    return await pool.get([ACCEPT], deadline=deadline)


async def listen(pool: Pool, deadline: float = 5) -> Answer:
    return await pool.post([ACCEPT], b"{}", deadline=deadline, repeatable=True, endless=True)


BOTH = pytest.mark.parametrize("ask", [get, listen])


async def serving(line: Line) -> None:
    """Answer calls, and what is without end with one event and then silence."""
    while True:
        request = await line.request()
        if ACCEPT[1] in request:
            await line.send(OPENED)
            await line.until_hung_up()
            return
        await line.send(whole(b"{}"))


async def silence(line: Line) -> None:
    await line.request()
    await line.until_hung_up()


async def deaf(line: Line) -> None:
    """Answer calls, and hang up on all else."""
    while ACCEPT[1] not in await line.request():
        await line.send(whole(b"{}"))


async def opened(ask: Ask, pool: Pool) -> Stream:
    """Return a stream whose first event was read."""
    stream = (await ask(pool, 5)).stream
    assert stream is not None
    assert await anext(stream) == EVENT
    return stream


async def failure(asked: Awaitable[object]) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await asked
    return caught.value


def test_a_get_says_what_was_given_and_has_no_body_and_no_length() -> None:
    async def run() -> tuple[list[bytes], int]:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream)
            answer = await pool.get([ACCEPT, (b"Last-Event-ID", b"7")], deadline=5)
            assert (answer.status, answer.media_type, answer.body) == (200, SSE.decode(), b"")
            pool.close()
            return listener.seen, listener.upstream.port

    seen, port = asyncio.run(run())
    assert seen == [
        b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: keep-alive\r\n"
        b"Accept: text/event-stream\r\nLast-Event-ID: 7\r\n\r\n" % port
    ]


@pytest.mark.parametrize(
    "header", [(b"Content-Length", b"0"), (b"Transfer-Encoding", b"chunked"), (b"A", b"b\r\nC: d")]
)
def test_a_header_that_could_give_a_get_a_body_is_refused(header: tuple[bytes, bytes]) -> None:
    async def run() -> int:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(ValueError, match="header"):
                await pool.get([header], deadline=5)
            return listener.connections

    assert asyncio.run(run()) == 0


@BOTH
@pytest.mark.parametrize(
    ("status", "media"), [(b"405 No", JSON), (b"200 OK", JSON), (b"503 X", SSE)]
)
def test_an_answer_that_is_no_stream_is_read_whole_and_hung_up(
    ask: Ask, status: bytes, media: bytes
) -> None:
    async def refusing(line: Line) -> None:
        await line.request()
        await line.send(whole(b"no", status=status, media=media))
        await line.until_hung_up()

    async def run() -> None:
        async with listening(refusing) as listener:
            pool = Pool(listener.upstream, limits=Limits(endless_streams=1))
            for turn in range(1, 4):
                answer = await ask(pool, 5)
                assert (answer.status, answer.body, answer.stream) == (int(status[:3]), b"no", None)
                await eventually(lambda: listener.open == 0)
                assert listener.connections == turn
            pool.close()

    asyncio.run(run())


@BOTH
def test_a_head_that_does_not_come_in_time_is_late(ask: Ask) -> None:
    async def run() -> UpstreamError:
        async with listening(silence) as listener:
            pool = Pool(listener.upstream)
            error = await failure(ask(pool, 0.5))
            await eventually(lambda: listener.open == 0)
            pool.close()
            return error

    error = asyncio.run(run())
    assert (error.code, error.kind, error.sent) == (Code.TIMED_OUT, Kind.ANSWER, True)


@BOTH
def test_endless_streams_leave_calls_their_connections(ask: Ask) -> None:
    async def run() -> int:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=1, waiters=0))
            for _ in range(5):
                await pool.post([], b"{}", deadline=5)
                await opened(ask, pool)
                await pool.post([], b"{}", deadline=5)
            assert listener.open == 6
            pool.close()
            return listener.connections

    assert asyncio.run(run()) == 6


@BOTH
def test_calls_leave_endless_streams_theirs(ask: Ask) -> None:
    async def run() -> None:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=1, waiters=0))
            ordinary = await pool.post([ACCEPT], b"{}", deadline=5)
            error = await failure(pool.post([], b"{}", deadline=5))
            assert error.kind is Kind.BUSY
            await opened(ask, pool)
            assert ordinary.stream is not None
            pool.close()

    asyncio.run(run())


@BOTH
def test_endless_streams_are_bounded_and_a_closed_one_makes_room(ask: Ask) -> None:
    async def run() -> None:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream, limits=Limits(endless_streams=2))
            streams = [await opened(ask, pool) for _ in range(2)]
            error = await failure(ask(pool, 5))
            assert (error.code, error.kind, error.sent) == (Code.UNREACHABLE, Kind.BUSY, False)
            assert listener.connections == 2
            streams[0].close()
            await eventually(lambda: listener.open == 1)
            await opened(ask, pool)
            pool.close()

    asyncio.run(run())


def test_a_stream_that_could_not_be_opened_gives_up_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def run() -> None:
        there = upstream(f"http://127.0.0.1:{port}/", loopback=True)
        pool = Pool(there, limits=Limits(endless_streams=1))
        for _ in range(3):
            error = await failure(get(pool))
            assert (error.code, error.kind, error.sent) == (Code.UNREACHABLE, Kind.CONNECT, False)

    asyncio.run(run())


@BOTH
def test_an_endless_stream_outlives_what_bounds_other_streams(ask: Ask) -> None:
    goes_on = asyncio.Event()

    async def patient(line: Line) -> None:
        await line.request()
        await line.send(OPENED)
        if line.number == 1:
            await goes_on.wait()
            await line.send(chunk(b"at last"), chunk(b""))
        await line.until_hung_up()

    async def run() -> None:
        async with listening(patient) as listener:
            limits = Limits(stream_idle=0.1, stream_life=0.2)
            pool = Pool(listener.upstream, limits=limits)
            endless = await opened(ask, pool)
            ordinary = (await pool.post([], b"{}", deadline=5)).stream
            assert ordinary is not None
            assert await anext(ordinary) == EVENT
            assert (await failure(anext(ordinary))).kind is Kind.STREAM
            goes_on.set()
            assert [piece async for piece in endless] == [b"at last"]
            pool.close()

    asyncio.run(run())


@BOTH
@pytest.mark.parametrize("limits", [Limits(endless_idle=0.2), Limits(endless_life=0.2)])
def test_an_endless_stream_has_bounds_of_its_own(ask: Ask, limits: Limits) -> None:
    async def run() -> UpstreamError:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream, limits=limits)
            stream = await opened(ask, pool)
            async with asyncio.timeout(10):
                error = await failure(anext(stream))
            await eventually(lambda: listener.open == 0)
            pool.close()
            return error

    error = asyncio.run(run())
    assert (error.code, error.kind) == (Code.TIMED_OUT, Kind.STREAM)


def test_an_endless_stream_that_never_falls_silent_ends_with_its_life() -> None:
    async def drip(line: Line) -> None:
        await line.request()
        await line.send(OPENED)
        while True:
            await line.send(chunk(EVENT))
            await asyncio.sleep(0.01)  # a drip is what it is about

    async def run() -> UpstreamError:
        async with listening(drip) as listener:
            pool = Pool(listener.upstream, limits=Limits(endless_idle=60, endless_life=0.3))
            stream = await opened(get, pool)

            async def drain() -> None:
                async for _ in stream:
                    pass

            begun = time.monotonic()
            error = await failure(drain())
            assert time.monotonic() - begun < 5
            pool.close()
            return error

    assert asyncio.run(run()).kind is Kind.STREAM


def test_only_the_times_of_an_endless_stream_differ() -> None:
    limits = Limits(header_bytes=1, body_bytes=2, held_bytes=3, connect=4)

    endless = limits.of_endless()

    assert (endless.stream_idle, endless.stream_life) == (limits.endless_idle, limits.endless_life)
    others = replace(endless, stream_idle=limits.stream_idle, stream_life=limits.stream_life)
    assert others == limits


@BOTH
def test_nothing_endless_is_sent_twice(ask: Ask) -> None:
    async def run() -> tuple[UpstreamError, list[bytes]]:
        async with listening(deaf) as listener:
            pool = Pool(listener.upstream)
            await pool.post([], b"{}", deadline=5)
            error = await failure(ask(pool, 5))
            pool.close()
            return error, listener.seen

    error, seen = asyncio.run(run())
    assert (error.kind, error.sent, error.unanswered) == (Kind.CUT, True, True)
    assert len(seen) == 2


@BOTH
def test_a_connection_whose_stream_ended_serves_nobody_else(ask: Ask) -> None:
    async def brief(line: Line) -> None:
        await line.request()
        await line.send(OPENED, chunk(b""))
        await line.until_hung_up()

    async def run() -> None:
        async with listening(brief) as listener:
            pool = Pool(listener.upstream, limits=Limits(endless_streams=1))
            for turn in range(1, 4):
                stream = await opened(ask, pool)
                assert [piece async for piece in stream] == []
                await eventually(lambda: listener.open == 0)
                assert listener.connections == turn
            pool.close()

    asyncio.run(run())


@BOTH
def test_closing_the_pool_ends_endless_streams_and_refuses_more(ask: Ask) -> None:
    async def run() -> None:
        async with listening(serving) as listener:
            pool = Pool(listener.upstream)
            streams = [await opened(ask, pool) for _ in range(3)]
            readers = [asyncio.create_task(failure(anext(stream))) for stream in streams]
            await asyncio.sleep(0)
            pool.close()
            assert {error.kind for error in await asyncio.gather(*readers)} == {Kind.CUT}
            await eventually(lambda: listener.open == 0)
            error = await failure(ask(pool, 5))
            assert (error.kind, error.sent) == (Kind.CLOSED, False)
            assert listener.connections == 3

    asyncio.run(run())


def test_a_stream_that_was_being_opened_as_the_pool_closed_is_not() -> None:
    async def run() -> None:
        looked_up, closed = asyncio.Event(), asyncio.Event()

        async def resolver(_host: str, _port: int) -> Sequence[str]:
            looked_up.set()
            await closed.wait()
            return ["127.0.0.1"]

        async with listening(serving, host="slow.test") as listener:
            pool = Pool(listener.upstream, resolver=resolver)
            asked = asyncio.create_task(failure(get(pool)))
            await looked_up.wait()
            pool.close()
            closed.set()
            error = await asked
            assert (error.kind, error.sent) == (Kind.CLOSED, False)
            await eventually(lambda: listener.open == 0)
            assert listener.seen == []

    asyncio.run(run())


@BOTH
def test_a_caller_cancelled_before_the_head_gives_up_its_place(ask: Ask) -> None:
    async def run() -> None:
        async with listening(silence) as listener:
            pool = Pool(listener.upstream, limits=Limits(endless_streams=1))
            for turn in range(1, 4):
                task = asyncio.ensure_future(ask(pool, 5))
                await listener.asked.wait()
                listener.asked.clear()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await eventually(lambda: listener.open == 0)
                assert listener.connections == turn
            pool.close()

    asyncio.run(run())


async def leave_unread(stream: Stream) -> None:
    stream.close()


async def read_and_leave(stream: Stream) -> None:
    assert await anext(stream)
    stream.close()


async def cancel_the_reader(stream: Stream) -> None:
    async def drain() -> None:
        async for _ in stream:
            pass

    reader = asyncio.create_task(drain())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    stream.close()


ENDINGS = (leave_unread, read_and_leave, cancel_the_reader)


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def left_behind() -> int:
    """Count what streams are made of, without the collector's help."""
    names = {"Connection", "Exchange", "Stream"}
    return sum(
        type(each).__name__ in names and type(each).__module__.startswith("proxy.upstream")
        for each in gc.get_objects()
    )


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_thousand_endless_streams_leave_nothing_behind(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    beginnings = (
        OPENED,
        OPENED + chunk(b"a" * 65536),  # more than is held, so that the upstream is made to wait
        OPENED + chunk(b""),
    )

    async def various(line: Line) -> None:
        await line.request()
        await line.send(beginnings[line.number % len(beginnings)])
        await line.until_hung_up()

    async def run() -> None:
        async with listening(various) as listener:
            pool = Pool(listener.upstream, limits=Limits(held_bytes=1024))

            async def one(turn: int) -> None:
                stream = (await (get if turn % 2 else listen)(pool)).stream
                assert stream is not None
                await ENDINGS[turn % len(ENDINGS)](stream)

            async def batch(turns: range) -> None:
                await asyncio.gather(*map(one, turns))
                await eventually(lambda: listener.open == 0)

            tasks, before = len(asyncio.all_tasks()), descriptors()
            gc.collect()
            gc.disable()
            for start in range(0, 1000, 50):  # few at once, for systems that allow few descriptors
                await batch(range(start, start + 50))
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
            await eventually(lambda: descriptors() <= before)
            assert listener.connections == 1000
            await eventually(lambda: left_behind() == 0)
            pool.close()

    try:
        within(loop_factory, run())
    finally:
        gc.enable()


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_system_is_told_to_notice_a_peer_that_vanished(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    is_secure: bool,  # noqa: FBT001
) -> None:
    server, client = contexts("right.test")

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def run() -> None:
        tls = server if is_secure else None
        async with listening(serving, tls=tls, host="right.test") as listener:
            pool = Pool(listener.upstream, resolver=resolver, context=client)
            await opened(get, pool)
            (connection,) = pool._all  # noqa: SLF001  no caller can ask this
            found = connection._transport.get_extra_info("socket")  # type: ignore[union-attr]  # noqa: SLF001
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                values = [found.getsockopt(socket.IPPROTO_TCP, option) for option in options]
                assert values == [60, 15, 4]
            pool.close()
            await eventually(lambda: listener.open == 0)

    within(loop_factory, run())


def within(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], asked: Coroutine[Any, Any, None]
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asked)
