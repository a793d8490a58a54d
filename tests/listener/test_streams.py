"""Event streams: what is on the wire, and that they end whoever ends them (R11, R12)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from proxy.listener.answers import Answer, EventStream
from proxy.listener.incoming import Incoming
from proxy.listener.limits import Limits
from proxy.listener.refusals import Refusal
from proxy.wire.sse import KEEP_ALIVE, Parser
from tests.listener.served import ANSWER, LOOPS, Run, Serve, Served, eventually, note, serving

GET = b"GET /stream HTTP/1.1\r\nHost: HOST\r\n\r\n"
LAST = b"GET /mcp HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"
)


@dataclass
class Source:
    """Events for a stream; it notes how often it was closed."""

    blocks: list[bytes] = field(default_factory=list)
    is_endless: bool = False
    failure: Exception | None = None
    given: int = 0
    closed: int = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.given < len(self.blocks):
            self.given += 1
            return self.blocks[self.given - 1]
        if self.failure is not None:
            raise self.failure
        if self.is_endless:
            await asyncio.Event().wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


Make = Callable[[Served, Incoming], EventStream]


def streaming(make: Make) -> Serve:
    async def handler(served: Served, incoming: Incoming) -> Answer | EventStream:
        if incoming.path == "/stream":
            return make(served, incoming)
        return await note(served, incoming)

    return handler


def dechunk(raw: bytes) -> tuple[bytes, bytes]:
    """Return the body in *raw* and what follows its last chunk."""
    body = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        body += raw[:length]
        assert raw[length : length + 2] == b"\r\n"
        raw = raw[length + 2 :]
        if length == 0:
            return body, raw


@LOOPS
def test_a_stream_is_chunked_and_the_connection_goes_on(run: Run) -> None:
    source = Source([b"data: 1\n\n", b"", b"data: 2\n\n"])

    async def scenario() -> None:
        stream = streaming(lambda *_: EventStream(source, [(b"Mcp-Session-Id", b"abc")]))
        async with serving(stream) as served:
            raw = await served.ask(GET + LAST)

            head, _, rest = raw.partition(b"\r\n\r\n")
            assert head == (
                HEAD + b"Transfer-Encoding: chunked\r\nMcp-Session-Id: abc\r\n"
            ).removesuffix(b"\r\n")
            body, next_answer = dechunk(rest)
            assert body == b"data: 1\n\ndata: 2\n\n"
            assert next_answer.endswith(ANSWER)
            assert source.closed == 1

    run(scenario())


def test_a_stream_over_http_1_0_ends_with_the_connection() -> None:
    source = Source([b"data: 1\n\n"])

    async def scenario() -> None:
        async with serving(streaming(lambda *_: EventStream(source))) as served:
            raw = await served.ask(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))

            assert raw == HEAD + b"Connection: close\r\n\r\ndata: 1\n\n"

    asyncio.run(scenario())


def test_a_stream_says_that_the_connection_ends_if_the_client_asked_for_it() -> None:
    async def scenario() -> None:
        async with serving(streaming(lambda *_: EventStream(Source()))) as served:
            raw = await served.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

            assert raw == (
                HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
            )

    asyncio.run(scenario())


@LOOPS
def test_a_silent_stream_shows_signs_of_life(run: Run) -> None:
    source = Source([b"data: 1\n\n"], is_endless=True)

    async def scenario() -> None:
        stream = streaming(lambda *_: EventStream(source, keep_alive_seconds=0.05))
        async with serving(stream) as served, served.client() as client:
            await client.say(GET)
            await client.head()
            await client.until(b"data: 1\n\n\r\n")

            for _ in range(3):
                assert await client.until(b"\n\n\r\n") == b"3\r\n" + KEEP_ALIVE + b"\r\n"

    run(scenario())


def test_no_sign_of_life_is_put_into_half_an_event() -> None:
    async def halves() -> AsyncIterator[bytes]:
        yield b"data: 1"
        await asyncio.sleep(0.2)
        yield b"2\n\n"

    async def scenario() -> None:
        stream = streaming(lambda *_: EventStream(halves(), keep_alive_seconds=0.04))
        async with serving(stream) as served, served.client() as client:
            await client.say(GET)
            await client.head()

            assert await client.until(b"2\n\n") == b"7\r\ndata: 1\r\n3\r\n2\n\n"

    asyncio.run(scenario())


@LOOPS
@pytest.mark.parametrize("manner", ["goodbye", "reset"])
def test_a_stream_is_closed_within_a_second_of_its_client_leaving(
    manner: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source([b"data: 1\n\n"], is_endless=True)

    async def scenario() -> None:
        async with (
            serving(streaming(lambda *_: EventStream(source))) as served,
            served.client() as client,
        ):
            await client.say(GET)
            await client.until(b"data: 1\n\n")
            client.reset() if manner == "reset" else client.hang_up()

            await eventually(lambda: source.closed == 1, seconds=1)
            assert served.refusals == [Refusal.DISCONNECTED]
            assert served.errors == []

    run(scenario())
    assert caplog.records == []


def sluggish() -> socket.socket:
    """Return a socket for which the system keeps little."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    made.setblocking(False)  # noqa: FBT003  positional only
    return made


@LOOPS
def test_a_reader_that_does_not_read_is_dropped_and_little_is_held_for_it(
    run: Run,
) -> None:
    blocks = [b"data: " + b"x" * 8000 + b"\n\n"] * 4000
    source = Source(blocks)

    async def scenario() -> None:
        async with serving(streaming(lambda *_: EventStream(source, write_seconds=0.3))) as served:
            with sluggish() as stalled:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(stalled, (served.host, served.port))
                await loop.sock_sendall(stalled, GET.replace(b"HOST", served.name))

                await eventually(lambda: source.closed == 1)
            assert served.refusals == [Refusal.STALLED]
            assert source.given * 8000 < 400 * 1024

    run(scenario())


@LOOPS
def test_a_reader_that_is_slow_but_reads_is_not_dropped(run: Run) -> None:
    blocks = [b"data: %d " % number + b"x" * 8000 + b"\n\n" for number in range(400)]
    source = Source(blocks)

    async def scenario() -> None:
        stream = streaming(lambda *_: EventStream(source, write_seconds=0.2))
        async with serving(stream) as served:
            with sluggish() as slow:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(slow, (served.host, served.port))
                await loop.sock_sendall(slow, GET.replace(b"HOST", served.name))
                raw = b""
                while not raw.endswith(b"0\r\n\r\n"):
                    piece = await loop.sock_recv(slow, 32 * 1024)
                    assert piece
                    raw += piece
                    await asyncio.sleep(0.005)

            assert dechunk(raw.partition(b"\r\n\r\n")[2])[0] == b"".join(blocks)
            assert served.refusals == []

    run(scenario())


@LOOPS
def test_an_answer_that_is_not_read_is_dropped(run: Run) -> None:
    async def handler(served: Served, incoming: Incoming) -> Answer:
        del served, incoming
        return Answer(200, b"x" * 4_000_000)

    async def scenario() -> None:
        limits = Limits(write_seconds=0.2)
        async with serving(handler, limits=limits) as served, served.client() as client:
            client.reader._limit = 1  # type: ignore[attr-defined]  # noqa: SLF001
            await client.say(GET)

            await eventually(lambda: served.refusals == [Refusal.STALLED])

    run(scenario())


@LOOPS
def test_a_large_answer_arrives_whole(run: Run) -> None:
    body = bytes(range(256)) * 12_345

    async def handler(served: Served, incoming: Incoming) -> Answer:
        del served, incoming
        return Answer(200, body)

    async def scenario() -> None:
        async with serving(handler) as served:
            raw = await served.ask(GET + LAST)

            assert raw.count(body) == 2

    run(scenario())


@LOOPS
def test_answers_to_one_who_only_asks_are_not_piled_up(run: Run) -> None:
    async def handler(served: Served, incoming: Incoming) -> Answer:
        await note(served, incoming)
        return Answer(200, b"x" * 60_000)

    async def scenario() -> None:
        async with serving(handler, limits=Limits(write_seconds=0.3)) as served:
            with sluggish() as greedy:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(greedy, (served.host, served.port))
                await loop.sock_sendall(greedy, GET.replace(b"HOST", served.name) * 200)

                await eventually(lambda: served.refusals == [Refusal.STALLED])
            assert len(served.seen) < 10

    run(scenario())


@LOOPS
def test_a_stream_that_fails_breaks_off_and_is_noted(run: Run) -> None:
    failure = RuntimeError("the upstream is gone")
    source = Source([b"data: 1\n\n"], failure=failure)

    async def scenario() -> None:
        async with serving(streaming(lambda *_: EventStream(source))) as served:
            async with served.client() as client:
                await client.say(GET)
                await client.until(b"data: 1\n\n\r\n")
                try:
                    rest = await client.rest()
                except ConnectionError:
                    rest = b""

            assert b"0\r\n\r\n" not in rest
            assert served.errors == [failure]
            assert served.refusals == []
            assert source.closed == 1

    run(scenario())


def test_an_event_in_pieces_is_still_one_event() -> None:
    data = b"x" * 1_000_000

    async def scenario() -> None:
        source = Source([b"data: " + data + b"\n\n"])
        async with serving(streaming(lambda *_: EventStream(source))) as served:
            raw = await served.ask(GET + LAST)

            body, _ = dechunk(raw.partition(b"\r\n\r\n")[2])
            assert [event.data for event in Parser().feed(body)] == [data]

    asyncio.run(scenario())
