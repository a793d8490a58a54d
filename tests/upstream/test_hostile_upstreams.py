"""Every way an upstream may fail, with a body and with a stream (R10, T32)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

import pytest

from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.http import Pool
from proxy.upstream.limits import Limits
from tests.upstream.scripted import (
    CHUNKED,
    JSON,
    SSE,
    Line,
    Listener,
    chunk,
    head,
    listening,
    whole,
)

TIGHT = Limits(
    connect=5, stream_idle=0.2, stream_life=0.6, header_bytes=4096, body_bytes=8192, held_bytes=1024
)


async def outcome(
    *pieces: bytes | None, limits: Limits = TIGHT, deadline: float = 5
) -> tuple[int, bytes] | UpstreamError:
    """Return status and body of one answer, read to its end, or what was raised.

    The upstream sends each piece in turn; at `None` it waits until the gateway hangs up.
    """

    async def once(line: Line) -> None:
        await line.request()
        for piece in pieces:
            if piece is None:
                await line.until_hung_up()
            else:
                await line.send(piece)

    async with listening(once) as listener:
        found = await asked(listener, limits=limits, deadline=deadline)
        assert (listener.connections, len(listener.seen)) == (1, 1)
        return found


async def asked(
    listener: Listener, *, limits: Limits = TIGHT, deadline: float = 5
) -> tuple[int, bytes] | UpstreamError:
    pool = Pool(listener.upstream, limits=limits)
    try:
        answer = await pool.post([], b"{}", deadline=deadline)
        if answer.stream is None:
            return answer.status, answer.body
        return answer.status, b"".join([piece async for piece in answer.stream])
    except UpstreamError as error:
        return error
    finally:
        pool.close()


def raised(*pieces: bytes | None, deadline: float = 5) -> UpstreamError:
    result = asyncio.run(outcome(*pieces, deadline=deadline))
    assert isinstance(result, UpstreamError), result
    return result


MEDIA = pytest.mark.parametrize("media", [JSON, SSE])
LENGTH = b"Content-Length: %d\r\n"

HOSTILE: dict[str, tuple[Kind, Callable[[bytes], tuple[bytes | None, ...]]]] = {
    "garbage": (Kind.MALFORMED, lambda _: (b"\x00\xffgarbage\r\n\r\n",)),
    "another protocol": (Kind.MALFORMED, lambda _: (b"SSH-2.0-OpenSSH_9.6\r\n",)),
    "another version": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m).replace(b"1.1", b"2.0"),)),
    "bare newlines": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m).replace(b"\r\n", b"\n"),)),
    "folded header": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m, more=b"A: b\r\n c\r\n"),)),
    "two lengths": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m, more=LENGTH % 3),)),
    "length and chunks": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m, more=CHUNKED),)),
    "two types": (
        Kind.MALFORMED,
        lambda m: (whole(b"{}", media=m, more=b"Content-Type: a/b\r\n"),),
    ),
    "type with controls": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m + b";a=\xff"),)),
    "session with blanks": (
        Kind.MALFORMED,
        lambda m: (whole(b"{}", media=m, more=b"Mcp-Session-Id: a b\r\n"),),
    ),
    "two sessions": (
        Kind.MALFORMED,
        lambda m: (whole(b"{}", media=m, more=b"mcp-session-id: a\r\nMCP-SESSION-ID: b\r\n"),),
    ),
    "bad chunk size": (Kind.MALFORMED, lambda m: (head(media=m, more=CHUNKED) + b"zz\r\n",)),
    "chunk too long": (Kind.MALFORMED, lambda m: (head(media=m, more=CHUNKED) + b"1\r\nabc\r\n",)),
    "status 999": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m, status=b"999 X"),)),
    "second answer": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m) + whole(b"{}", media=m),)),
    "more than its length": (Kind.MALFORMED, lambda m: (whole(b"{}", media=m) + b"xyz",)),
    "compressed": (
        Kind.ENCODING,
        lambda m: (whole(b"{}", media=m, more=b"Content-Encoding: gzip\r\n"),),
    ),
    "transfer coding": (
        Kind.ENCODING,
        lambda m: (head(media=m, more=b"Transfer-Encoding: gzip, chunked\r\n"), None),
    ),
    "redirect": (
        Kind.REDIRECT,
        lambda m: (whole(b"", media=m, status=b"307 X", more=b"Location: http://127.0.0.1/\r\n"),),
    ),
    "not modified": (Kind.REDIRECT, lambda m: (whole(b"", media=m, status=b"304 X"),)),
    "upgrade": (
        Kind.UPGRADE,
        lambda _: (b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", None),
    ),
    "long headers": (
        Kind.TOO_LARGE,
        lambda m: (whole(b"{}", media=m, more=b"A: b\r\n" * 1000),),
    ),
    "endless headers": (
        Kind.TOO_LARGE,
        lambda _: (b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"b" * 99 + b"\r\n"] * 100, None),
    ),
    "endless name": (Kind.TOO_LARGE, lambda _: (b"HTTP/1.1 200 OK\r\n", *[b"A" * 999] * 9, None)),
    "endless interim": (Kind.TOO_LARGE, lambda _: (*[b"HTTP/1.1 100 C\r\n\r\n"] * 400, None)),
    "endless chunk extension": (
        Kind.TOO_LARGE,
        lambda m: (head(media=m, more=CHUNKED) + b"1;", *[b"a" * 999] * 9, None),
    ),
    "endless trailers": (
        Kind.TOO_LARGE,
        lambda m: (head(media=m, more=CHUNKED) + b"0\r\n", *[b"A: b\r\n"] * 999, None),
    ),
}


@MEDIA
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_and_its_connection_closed(name: str, media: bytes) -> None:
    kind, script = HOSTILE[name]

    error = raised(*script(media))

    assert (error.code, error.kind, error.status) == (Code.HOSTILE, kind, HTTPStatus.BAD_GATEWAY)
    assert error.sent


@MEDIA
@pytest.mark.parametrize("framing", [b"", LENGTH % 100, CHUNKED], ids=["close", "length", "chunks"])
def test_a_slow_answer_is_late_whatever_it_has_sent(media: bytes, framing: bytes) -> None:
    begun = time.monotonic()

    error = raised(
        head(media=media, more=framing), chunk(b"a"), None, deadline=0.3 if media == JSON else 30
    )

    assert (error.code, error.status) == (Code.TIMED_OUT, HTTPStatus.GATEWAY_TIMEOUT)
    assert error.kind is (Kind.ANSWER if media == JSON else Kind.STREAM)
    assert error.sent
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_upstream_that_hangs_is_late(sent: bytes) -> None:
    error = raised(sent, None, deadline=0.4)

    assert (error.code, error.kind) == (Code.TIMED_OUT, Kind.ANSWER)


@MEDIA
def test_an_answer_that_drips_is_late_all_the_same(media: bytes) -> None:
    async def drip(line: Line) -> None:
        await line.request()
        await line.send(head(media=media, more=CHUNKED))
        while True:
            await line.send(chunk(b"a"))
            await asyncio.sleep(0.01)  # a drip is what it is about

    async def ask() -> tuple[int, bytes] | UpstreamError:
        async with listening(drip) as listener:
            found = await asked(listener, deadline=0.4)
            await listener.hung_up.wait()
            return found

    error = asyncio.run(ask())

    assert isinstance(error, UpstreamError)
    assert error.code is Code.TIMED_OUT


@MEDIA
@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 2", head(media=SSE)[:-2], head(more=CHUNKED), b"HTTP/1.1 100 C\r\n\r\n"],
)
def test_an_answer_that_is_cut_is_not_passed_on(sent: bytes, media: bytes) -> None:
    error = raised(sent.replace(JSON, media))

    assert (error.code, error.kind, error.status) == (Code.UNREACHABLE, Kind.CUT, 502)
    assert error.sent
    assert error.unanswered == (sent == b"")


@MEDIA
@pytest.mark.parametrize("framing", [LENGTH % 9, CHUNKED], ids=["length", "chunks"])
@pytest.mark.parametrize("half", [False, True], ids=["reset", "half-close"])
def test_a_body_that_ends_too_soon_is_cut(media: bytes, framing: bytes, half: bool) -> None:  # noqa: FBT001
    async def end(line: Line) -> None:
        await line.request()
        await line.send(head(media=media, more=framing) + chunk(b"a"))
        if half:
            line.writer.write_eof()
            await line.until_hung_up()

    async def ask() -> tuple[int, bytes] | UpstreamError:
        async with listening(end) as listener:
            return await asked(listener)

    error = asyncio.run(ask())

    assert isinstance(error, UpstreamError)
    assert error.kind is Kind.CUT


@pytest.mark.parametrize(
    "framing", [b"", CHUNKED, LENGTH % 8193], ids=["close", "chunks", "length"]
)
def test_a_giant_body_is_refused(framing: bytes) -> None:
    error = raised(head(more=framing), *[chunk(b"a" * 1000)] * 9, None)

    assert (error.code, error.kind) == (Code.HOSTILE, Kind.TOO_LARGE)


def test_an_event_stream_on_a_failure_is_held_to_the_bounds_of_a_body() -> None:
    failure = head(media=SSE, more=CHUNKED).replace(b"200 OK", b"500 X")

    assert raised(failure, *[chunk(b"a" * 999)] * 9, None).kind is Kind.TOO_LARGE


GOOD: dict[str, Callable[[bytes], bytes]] = {
    "length": lambda m: whole(b"body", media=m),
    "chunks": lambda m: head(media=m, more=CHUNKED) + chunk(b"bo") + chunk(b"dy") + chunk(b""),
    "trailer": lambda m: head(media=m, more=CHUNKED) + chunk(b"body") + b"0\r\nA: b\r\n\r\n",
    "close": lambda m: head(media=m) + b"body",
    "close, HTTP/1.0": lambda m: head(media=m).replace(b"1.1", b"1.0") + b"body",
    "after 100 and 103": lambda m: (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nContent-Type: a/b\r\n\r\n"
        + whole(b"body", media=m)
    ),
}


@MEDIA
@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("split", [False, True], ids=["at once", "bytewise"])
def test_every_framing_of_an_answer_is_read(name: str, media: bytes, split: bool) -> None:  # noqa: FBT001
    sent = GOOD[name](media)
    found = [sent[i : i + 1] for i in range(len(sent))] if split else [sent]

    assert asyncio.run(outcome(*found)) == (200, b"body")


def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b"a" * TIGHT.body_bytes

    assert asyncio.run(outcome(whole(body))) == (200, body)


def test_an_answer_without_a_body_is_whole() -> None:
    assert asyncio.run(outcome(b"HTTP/1.1 204 X\r\n\r\n", None)) == (204, b"")
    assert asyncio.run(outcome(whole(b"", status=b"202 X"), None)) == (202, b"")
