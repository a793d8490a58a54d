"""Connections that are shared by requests and remember none of them (T04, T30)."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from proxy.upstream.addresses import upstream
from proxy.upstream.answers import Answer
from proxy.upstream.connection import Connection
from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.http import Pool
from proxy.upstream.limits import Limits
from tests.upstream.certificates import contexts
from tests.upstream.scripted import (
    CHUNKED,
    SSE,
    Line,
    Script,
    chunk,
    head,
    listening,
    whole,
)

CANARY = b"Bearer canary"


async def echo(line: Line) -> None:
    """Answer each request with its own body."""
    while True:
        request = await line.request()
        await line.send(whole(request.partition(b"\r\n\r\n")[2]))


async def once(line: Line) -> None:
    """Answer the first request of a connection, then hang up on the second."""
    await line.request()
    await line.send(whole(b"{}"))
    await line.request()


async def silence(line: Line) -> None:
    await line.request()
    await line.until_hung_up()


async def endless(line: Line) -> None:
    await line.request()
    await line.send(head(media=SSE, more=CHUNKED), chunk(b": hello\n\n"))
    await line.until_hung_up()


async def read(answer: Answer) -> bytes:
    return b"".join([piece async for piece in answer.stream]) if answer.stream else answer.body


async def failure(pool: Pool, body: bytes = b"{}", *, deadline: float = 5) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await pool.post([], body, deadline=deadline)
    return caught.value


def test_requests_one_after_another_share_one_connection() -> None:
    async def run() -> tuple[list[bytes], int]:
        async with listening(echo) as listener:
            pool = Pool(listener.upstream)
            found = [(await pool.post([], b"%d" % n, deadline=5)).body for n in range(50)]
            pool.close()
            return found, listener.connections

    assert asyncio.run(run()) == ([b"%d" % n for n in range(50)], 1)


def test_what_is_sent_is_what_was_given_and_three_headers() -> None:
    start = b"POST /mcp?a=b HTTP/1.1\r\nHost: HOST\r\nConnection: keep-alive\r\nContent-Length: "

    async def run() -> list[bytes]:
        async with listening(echo) as listener:
            pool = Pool(replace(listener.upstream, target="/mcp?a=b"))
            await pool.post([(b"Authorization", CANARY), (b"Accept", b"a, b")], b"{}", deadline=5)
            await pool.post([], b"", deadline=5)
            pool.close()
            host = b"127.0.0.1:%d" % listener.upstream.port
            return [text.replace(host, b"HOST") for text in listener.seen]

    assert asyncio.run(run()) == [
        start + b"2\r\nAuthorization: Bearer canary\r\nAccept: a, b\r\n\r\n{}",
        start + b"0\r\n\r\n",
    ]


def test_an_answer_carries_two_headers_and_sets_no_cookie() -> None:
    more = b"Set-Cookie: a=canary\r\nWWW-Authenticate: Bearer x\r\nMCP-Session-Id: s1\r\n"

    async def cookies(line: Line) -> None:
        while True:
            await line.request()
            await line.send(whole(b"{}", media=b"Application/JSON; charset=utf-8", more=more))

    async def run() -> tuple[Answer, list[bytes]]:
        async with listening(cookies) as listener:
            pool = Pool(listener.upstream)
            await pool.post([], b"{}", deadline=5)
            answer = await pool.post([], b"{}", deadline=5)
            pool.close()
            return answer, listener.seen

    answer, seen = asyncio.run(run())
    assert answer.media_type == "application/json"
    assert answer.headers == {
        b"content-type": b"Application/JSON; charset=utf-8",
        b"mcp-session-id": b"s1",
    }
    assert b"canary" not in b"".join(seen)


@pytest.mark.parametrize(
    "header",
    [
        (b"Host", b"a"), (b"content-length", b"1"), (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"), (b"Cookie", b"a=b"), (b"Upgrade", b"h2c"), (b"", b"a"),
        (b"A b", b"c"), (b"A:", b"b"), (b"A", b"b\r\nX: y"), (b"A\r\nX", b"y"), (b"A", b"b\n"),
        (b"A", b"\x00"), (b"A", b" b"), (b"A", b"b "), (b"A", b"\xff"),
    ],
)  # fmt: skip
def test_a_header_that_could_change_the_request_is_refused(header: tuple[bytes, bytes]) -> None:
    async def run() -> None:
        async with listening(echo) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(ValueError, match="header"):
                await pool.post([header], b"{}", deadline=5)
            assert listener.connections == 0

    asyncio.run(run())


def test_no_answer_reaches_another_caller() -> None:
    async def mixed(line: Line) -> None:
        while True:
            marker = (await line.request()).partition(b"\r\n\r\n")[2]
            if marker.endswith(b"7"):
                await line.send(head(media=SSE, more=CHUNKED), chunk(marker))
                await asyncio.sleep(0)
                await line.send(chunk(b"."), chunk(b""))
            elif marker.endswith(b"3"):
                await line.send(whole(marker, more=b"Connection: close\r\n"))
                return
            else:
                await line.send(whole(marker))

    async def run() -> int:
        async with listening(mixed) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=20, waiters=200))

            async def caller(name: int) -> None:
                for turn in range(20):
                    marker = b"%d/%d" % (turn, name)
                    body = await read(await pool.post([], marker, deadline=20))
                    assert body.removesuffix(b".") == marker

            await asyncio.gather(*map(caller, range(200)))
            pool.close()
            return len(listener.seen)

    assert asyncio.run(run()) == 4000


def test_a_cancelled_caller_leaves_no_answer_behind_and_gives_up_its_place() -> None:
    all_places = asyncio.Barrier(4)

    async def slow(line: Line) -> None:
        while True:
            marker = (await line.request()).partition(b"\r\n\r\n")[2]
            await asyncio.sleep(0)
            if marker == b"last":
                await all_places.wait()
            await line.send(whole(marker))

    async def run() -> None:
        async with listening(slow) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=4))

            async def caller(name: int) -> None:
                marker = b"%d" % name
                post = asyncio.create_task(pool.post([], marker, deadline=20))
                for _ in range(name % 13):
                    await asyncio.sleep(0)
                if name % 2:
                    post.cancel()
                    await asyncio.wait([post])
                else:
                    assert (await post).body == marker

            await asyncio.gather(*map(caller, range(150)))
            last = await asyncio.gather(*[pool.post([], b"last", deadline=5) for _ in range(4)])
            assert [answer.body for answer in last] == [b"last"] * 4
            pool.close()

    asyncio.run(run())


def test_a_caller_cancelled_as_its_answer_ends_does_not_harm_the_next() -> None:
    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        until = loop.time() + 5
        tasks: list[asyncio.Task[Answer]] = []

        def pass_on(connection: Connection) -> None:
            tasks.append(loop.create_task(connection.ask(request(b"second"), until=until)))
            tasks[0].cancel()

        async with listening(echo) as listener:
            _, connection = await loop.create_connection(
                partial(Connection, Limits(), loop), "127.0.0.1", listener.upstream.port
            )
            connection.on_free = pass_on
            tasks.append(loop.create_task(connection.ask(request(b"first"), until=until)))
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            connection.on_free = Connection.close
            return (await tasks[1]).body

    def request(body: bytes) -> bytes:
        return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    assert asyncio.run(run()) == b"second"


@pytest.mark.parametrize("script", [silence, endless])
def test_cancelling_the_caller_closes_its_connection(script: Script) -> None:
    async def run() -> None:
        async with listening(script) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=1))

            async def ask() -> None:
                await read(await pool.post([], b"{}", deadline=20))

            task = asyncio.create_task(ask())
            await listener.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await listener.hung_up.wait()
            pool.close()

    asyncio.run(run())


def test_closing_a_stream_closes_its_connection_and_frees_its_place() -> None:
    async def run() -> None:
        async with listening(endless) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=1))
            for _ in range(3):
                answer = await pool.post([], b"{}", deadline=5)
                assert answer.stream is not None
                assert await anext(answer.stream) == b": hello\n\n"
                answer.stream.close()
                assert [piece async for piece in answer.stream] == []
            pool.close()
            assert listener.connections == 3

    asyncio.run(run())


def test_an_upstream_is_made_to_wait_for_a_slow_reader() -> None:
    async def flood(line: Line) -> None:
        await line.request()
        await line.send(head(media=SSE, more=CHUNKED))
        for _ in range(200):
            await line.send(chunk(b"a" * 65536))
        await line.send(chunk(b""))
        await line.until_hung_up()  # else what is still on its way would be thrown away

    async def run() -> None:
        async with listening(flood) as listener:
            pool = Pool(listener.upstream, limits=Limits(held_bytes=65536))
            stream = (await pool.post([], b"{}", deadline=5)).stream
            assert stream is not None
            total = 0
            async for piece in stream:
                total += len(piece)
                await asyncio.sleep(0)
                assert stream.held < 65536 + 2 * 262144
            assert total == 200 * 65536
            pool.close()

    asyncio.run(run())


@pytest.mark.parametrize("late", [whole(b"{}"), b"\r\n", b"x", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_bytes_that_nobody_asked_for_close_the_connection(late: bytes) -> None:
    answered = asyncio.Event()

    async def chatty(line: Line) -> None:
        await line.request()
        await line.send(whole(b"%d" % line.number))
        if line.number == 1:
            await answered.wait()
            await line.send(late)
        await line.until_hung_up()

    async def run() -> None:
        async with listening(chatty) as listener:
            pool = Pool(listener.upstream, limits=Limits(keep=3600))
            assert (await pool.post([], b"{}", deadline=5)).body == b"1"
            answered.set()
            await listener.hung_up.wait()
            assert (await pool.post([], b"{}", deadline=5)).body == b"2"
            pool.close()

    asyncio.run(run())


def test_a_request_is_repeated_only_if_it_may_be_and_nothing_was_answered() -> None:
    async def run(*, repeatable: bool) -> tuple[list[bytes], int]:
        async with listening(once) as listener:
            pool = Pool(listener.upstream)
            await pool.post([], b"1", deadline=5)
            if repeatable:
                await pool.post([], b"2", deadline=5, repeatable=True)
            else:
                error = await failure(pool, b"2")
                assert (error.kind, error.sent, error.unanswered) == (Kind.CUT, True, True)
            pool.close()
            return [text[-1:] for text in listener.seen], listener.connections

    assert asyncio.run(run(repeatable=False)) == ([b"1", b"2"], 1)
    assert asyncio.run(run(repeatable=True)) == ([b"1", b"2", b"2"], 2)


@pytest.mark.parametrize("sent", [b"H", b"HTTP/1.1 200 OK\r\n"])
def test_a_request_whose_answer_began_is_never_repeated(sent: bytes) -> None:
    async def half(line: Line) -> None:
        await line.request()
        await line.send(whole(b"{}"))
        await line.request()
        await line.send(sent)

    async def run() -> int:
        async with listening(half) as listener:
            pool = Pool(listener.upstream)
            await pool.post([], b"1", deadline=5)
            with pytest.raises(UpstreamError):
                await pool.post([], b"2", deadline=5, repeatable=True)
            pool.close()
            return len(listener.seen)

    assert asyncio.run(run()) == 2


def test_a_request_on_a_new_connection_is_never_repeated() -> None:
    async def hang_up(line: Line) -> None:
        await line.request()

    async def run() -> int:
        async with listening(hang_up) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(UpstreamError):
                await pool.post([], b"1", deadline=5, repeatable=True)
            return len(listener.seen)

    assert asyncio.run(run()) == 1


def test_a_connection_unused_for_too_long_is_hung_up() -> None:
    async def run() -> int:
        async with listening(echo) as listener:
            pool = Pool(listener.upstream, limits=Limits(keep=0.05))
            await pool.post([], b"1", deadline=5)
            await listener.hung_up.wait()
            await pool.post([], b"2", deadline=5)
            pool.close()
            return listener.connections

    assert asyncio.run(run()) == 2


def test_connections_and_waiters_are_bounded_and_lateness_is_told() -> None:
    async def run() -> list[tuple[Code, Kind, bool]]:
        async with listening(silence) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=2, waiters=1))
            # Whoever waits gives up first: one that did not would take a place that came free.
            deadlines = (0.5, 0.5, 0.2, 0.2)
            errors = await asyncio.gather(*[failure(pool, deadline=each) for each in deadlines])
            pool.close()
            assert listener.connections == 2
            return sorted((error.code, error.kind, error.sent) for error in errors)

    assert asyncio.run(run()) == [
        (Code.TIMED_OUT, Kind.ANSWER, True),
        (Code.TIMED_OUT, Kind.ANSWER, True),
        (Code.TIMED_OUT, Kind.CONNECT, False),
        (Code.UNREACHABLE, Kind.BUSY, False),
    ]


def test_a_closed_pool_fails_whoever_asks_or_waits() -> None:
    async def run() -> list[tuple[Kind, bool]]:
        async with listening(silence) as listener:
            pool = Pool(listener.upstream, limits=Limits(connections=1))
            tasks = [asyncio.create_task(failure(pool)) for _ in range(2)]
            await listener.asked.wait()
            pool.close()
            errors = [*await asyncio.gather(*tasks), await failure(pool)]
            await listener.hung_up.wait()
            return [(error.kind, error.sent) for error in errors]

    assert asyncio.run(run()) == [(Kind.CUT, True), (Kind.CLOSED, False), (Kind.CLOSED, False)]


def test_a_refused_connection_is_unreachable_and_frees_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def run() -> None:
        pool = Pool(
            upstream(f"http://127.0.0.1:{port}/", loopback=True), limits=Limits(connections=1)
        )
        for _ in range(3):
            error = await failure(pool)
            assert (error.code, error.kind, error.sent) == (Code.UNREACHABLE, Kind.CONNECT, False)

    asyncio.run(run())


def test_a_resolver_that_changes_its_mind_changes_nothing() -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    async def run() -> None:
        async with listening(echo, host="rebinding.test") as listener:
            pool = Pool(listener.upstream, resolver=resolver)
            assert (await pool.post([], b"1", deadline=5)).body == b"1"
            assert answers == [["169.254.169.254"]]
            pool._drop_unused()  # noqa: SLF001  so that it must look again
            error = await failure(pool)
            assert (error.code, error.kind) == (Code.UNREACHABLE, Kind.ADDRESS)
            assert listener.connections == 1

    asyncio.run(run())


def test_the_next_checked_address_is_tried_when_one_refuses() -> None:
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def run() -> None:
        async with listening(echo, host="two.test") as listener:
            pool = Pool(listener.upstream, resolver=resolver)
            assert (await pool.post([], b"1", deadline=5)).body == b"1"
            pool.close()

    asyncio.run(run())


def test_variables_that_name_a_proxy_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def run() -> None:
        async with listening(echo) as listener:
            pool = Pool(listener.upstream)
            assert (await pool.post([], b"1", deadline=5)).body == b"1"
            pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "trusted"), [("right.test", True), ("wrong.test", True), ("right.test", False)]
)
def test_tls_checks_the_certificate_and_its_name(name: str, trusted: bool) -> None:  # noqa: FBT001
    server, client = contexts("right.test")

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def run() -> None:
        async with listening(echo, tls=server, host=name) as listener:
            pool = Pool(listener.upstream, resolver=resolver, context=client if trusted else None)
            if trusted and name == "right.test":
                for _ in range(3):
                    assert (await pool.post([], b"1", deadline=5)).body == b"1"
                assert listener.connections == 1
            else:
                error = await failure(pool)
                assert (error.kind, error.sent) == (Kind.CONNECT, False)
                assert listener.seen == []
            pool.close()

    asyncio.run(run())


def test_a_context_that_checks_nothing_is_refused() -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False

    with pytest.raises(ValueError, match="TLS"):
        Pool(upstream("https://mcp.example.com/"), context=lax)


def test_an_answer_leaves_no_garbage_for_the_collector() -> None:
    async def run() -> int:
        async with listening(echo) as listener:
            pool = Pool(listener.upstream)
            await pool.post([], b"1", deadline=5)
            gc.collect()
            gc.disable()
            for _ in range(50):
                await pool.post([], b"1", deadline=5)
            found = sum("Exchange" in type(each).__name__ for each in gc.get_objects())
            gc.enable()
            pool.close()
            return found

    assert asyncio.run(run()) == 0


def test_a_name_that_is_not_looked_up_in_time_is_late() -> None:
    async def resolver(_host: str, _port: int) -> Sequence[str]:
        never: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        return await never

    async def run() -> UpstreamError:
        there = upstream("https://slow.test/")
        return await failure(Pool(there, resolver=resolver, limits=Limits(connect=0.05)))

    error = asyncio.run(run())
    assert (error.code, error.kind, error.sent) == (Code.TIMED_OUT, Kind.CONNECT, False)
