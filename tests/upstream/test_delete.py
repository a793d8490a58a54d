"""Ending what an upstream keeps: a request without a body."""

from __future__ import annotations

import asyncio

import pytest

from proxy.upstream.answers import Answer
from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.http import Pool
from tests.upstream.scripted import Line, Listener, Script, listening, whole

GONE = b"HTTP/1.1 204 No Content\r\n\r\n"
SESSION = (b"Mcp-Session-Id", b"s-1")


async def sequence(script: Script, *requests: str) -> tuple[list[Answer], Listener]:
    """Send each request, a POST or a DELETE, over one pool."""
    async with listening(script) as listener:
        pool = Pool(listener.upstream)
        try:
            answers = [
                await pool.delete([SESSION], deadline=5)
                if request == "DELETE"
                else await pool.post([SESSION], b"{}", deadline=5)
                for request in requests
            ]
        finally:
            pool.close()
        return answers, listener


async def obliging(line: Line) -> None:
    while True:
        request = await line.request()
        await line.send(GONE if request.startswith(b"DELETE ") else whole(b"{}"))


def test_a_delete_says_what_was_given_and_has_no_body_and_no_length() -> None:
    answers, listener = asyncio.run(sequence(obliging, "DELETE"))

    host = b"127.0.0.1:%d" % listener.upstream.port
    assert listener.seen == [
        b"DELETE /mcp HTTP/1.1\r\nHost: %b\r\nConnection: keep-alive\r\n"
        b"Mcp-Session-Id: s-1\r\n\r\n" % host
    ]
    assert [(answer.status, answer.body) for answer in answers] == [(204, b"")]


def test_posts_and_deletes_share_one_connection() -> None:
    answers, listener = asyncio.run(sequence(obliging, "POST", "DELETE", "POST", "DELETE"))

    assert [answer.status for answer in answers] == [200, 204, 200, 204]
    assert listener.connections == 1


def test_a_delete_that_an_old_connection_lost_is_sent_once_more() -> None:
    async def once(line: Line) -> None:
        await line.request()
        await line.send(whole(b"{}"))
        if line.number == 1:
            await line.request()

    answers, listener = asyncio.run(sequence(once, "POST", "DELETE"))

    assert [answer.status for answer in answers] == [200, 200]
    assert [request.split()[0] for request in listener.seen] == [b"POST", b"DELETE", b"DELETE"]


def test_a_delete_is_sent_only_once_over_a_new_connection() -> None:
    async def deaf(line: Line) -> None:
        await line.request()

    async def run() -> tuple[UpstreamError, Listener]:
        async with listening(deaf) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(UpstreamError) as caught:
                await pool.delete([SESSION], deadline=5)
            pool.close()
            return caught.value, listener

    error, listener = asyncio.run(run())

    assert (error.code, error.kind) == (Code.UNREACHABLE, Kind.CUT)
    assert len(listener.seen) == 1


@pytest.mark.parametrize(
    "header", [(b"Content-Length", b"0"), (b"Transfer-Encoding", b"chunked"), (b"A", b"b\r\nC: d")]
)
def test_a_header_that_could_give_a_delete_a_body_is_refused(header: tuple[bytes, bytes]) -> None:
    async def run() -> int:
        async with listening(obliging) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(ValueError, match="header"):
                await pool.delete([header], deadline=5)
            pool.close()
            return listener.connections

    assert asyncio.run(run()) == 0


def test_a_server_that_is_silent_about_a_delete_is_given_up_in_time() -> None:
    async def silence(line: Line) -> None:
        await line.request()
        await line.until_hung_up()

    async def run() -> Code:
        async with listening(silence) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(UpstreamError) as caught:
                await pool.delete([SESSION], deadline=0.5)
            await asyncio.wait_for(listener.hung_up.wait(), 5)
            pool.close()
            return caught.value.code

    assert asyncio.run(run()) is Code.TIMED_OUT
