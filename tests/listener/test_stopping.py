"""How a listener starts and stops (R20, T11)."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from proxy.listener.answers import Answer, EventStream
from proxy.listener.connection import REFUSALS
from proxy.listener.incoming import Incoming
from proxy.listener.limits import Limits
from proxy.listener.listener import Listener, StartError
from proxy.listener.names import Names
from proxy.listener.refusals import FAILED, Refusal, Told
from tests.listener.served import (
    ANSWER,
    DEADLINE,
    HOST,
    LOOPS,
    Run,
    Served,
    eventually,
    note,
    serving,
)
from tests.listener.test_streams import Source

ROOT = Path(__file__).parents[2]
GET = b"GET /mcp HTTP/1.1\r\nHost: HOST\r\n\r\n"


@LOOPS
def test_a_call_at_hand_is_answered_and_idle_connections_are_closed(run: Run) -> None:
    release: list[asyncio.Event] = []

    async def handler(served: Served, incoming: Incoming) -> Answer:
        if incoming.path == "/slow":
            await release[0].wait()
        return await note(served, incoming)

    async def scenario() -> None:
        release.append(asyncio.Event())
        async with (
            serving(handler) as served,
            served.client() as busy,
            served.client() as idle,
            served.client() as fresh,
        ):
            await busy.say(GET.replace(b"/mcp", b"/slow"))
            await idle.say(GET)
            await idle.answer()
            await eventually(lambda: served.entered == 2)
            stopping = asyncio.create_task(served.listener.stop(10))

            assert await idle.rest() == b""
            assert await fresh.rest() == b""
            with pytest.raises(OSError):  # noqa: PT011  refused, or reset on uvloop
                await refused(served)
            release[0].set()
            answer = await busy.rest()
            assert answer.endswith(ANSWER)
            assert b"Connection: close\r\n" in answer
            busy.hang_up()
            async with asyncio.timeout(3):
                await stopping
            assert served.refusals == []

    run(scenario())


async def refused(served: Served) -> None:
    async with served.client() as late:
        await late.say(GET)
        if await late.rest() == b"":
            raise ConnectionResetError


@LOOPS
def test_a_call_that_only_the_system_has_taken_in_yet_is_answered(run: Run) -> None:
    async def scenario() -> None:
        with ExitStack() as callers:
            async with serving() as served:
                lines = [
                    callers.enter_context(socket.create_connection((served.host, served.port)))
                    for _ in range(8)
                ]
                for line in lines:
                    line.settimeout(DEADLINE)
                    line.sendall(GET.replace(HOST, served.name))
                assert served.entered == 0
                await served.listener.stop(10)

            assert [line.recv(65536)[-len(ANSWER) :] for line in lines] == [ANSWER] * 8

    run(scenario())


@LOOPS
def test_a_body_that_is_still_coming_is_waited_for(run: Run) -> None:
    async def scenario() -> None:
        async with serving() as served, served.client() as client:
            await client.say(b"POST /mcp HTTP/1.1\r\nHost: HOST\r\nContent-Length: 6\r\n\r\nabc")
            await eventually(lambda: served.entered == 1)
            stopping = asyncio.create_task(served.listener.stop(10))
            await asyncio.sleep(0)
            await client.say(b"def")

            assert (await client.rest()).endswith(ANSWER)
            assert [seen.body for seen in served.seen] == [b"abcdef"]
            client.hang_up()
            await stopping

    run(scenario())


@LOOPS
@pytest.mark.parametrize(("is_endless", "grace"), [(True, 10.0), (False, 0.1)])
def test_streams_are_ended_cleanly(
    is_endless: bool,  # noqa: FBT001  a column of the table
    grace: float,
    run: Run,
) -> None:
    source = Source([b"data: 1\n\n"], is_endless=True)

    async def handler(served: Served, incoming: Incoming) -> EventStream:
        del served, incoming
        return EventStream(source, is_endless=is_endless)

    async def scenario() -> None:
        async with serving(handler) as served, served.client() as client:
            await client.say(GET)
            await client.until(b"data: 1\n\n\r\n")
            stopping = asyncio.create_task(served.listener.stop(grace))

            assert await client.rest() == b"0\r\n\r\n"
            client.hang_up()
            async with asyncio.timeout(3):
                await stopping
            assert source.closed == 1
            assert served.refusals == []
            assert served.errors == []

    run(scenario())


@LOOPS
def test_a_call_that_outlasts_the_grace_is_cancelled(run: Run) -> None:
    async def handler(served: Served, incoming: Incoming) -> Answer:
        await note(served, incoming)
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        async with serving(handler) as served, served.client() as client:
            await client.say(GET)
            await eventually(lambda: served.seen != [])
            async with asyncio.timeout(3):
                await served.listener.stop(0.05)

            assert served.left == 1
            with suppress(ConnectionError):
                assert await client.rest() == b""

    run(scenario())


def test_a_stopped_listener_may_be_stopped_again() -> None:
    async def scenario() -> None:
        async with serving() as served:
            await served.listener.stop(1)
            await served.listener.stop(1)

    asyncio.run(scenario())


@LOOPS
def test_an_unexpected_error_is_told_to_the_gateway_and_not_to_the_client(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[BaseException] = [
        ValueError("a secret"), TimeoutError("a secret"), ConnectionError("a secret"),
        OSError("a secret"),
    ]  # fmt: skip

    async def handler(served: Served, incoming: Incoming) -> Answer:
        del incoming
        raise failures[served.entered - 1]

    async def scenario() -> None:
        async with serving(handler) as served, served.client() as client:
            for _ in failures:
                await client.say(GET)
                answer = await client.answer()
                assert answer == Answer(500, FAILED.body).render(ends=False)
                assert b"secret" not in answer

            assert served.errors == failures

    run(scenario())
    assert caplog.records == []


def test_what_is_told_is_a_json_rpc_error() -> None:
    assert FAILED.body == (
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,'
        b'"message":"The gateway failed; ask your administrator."}}'
    )
    assert REFUSALS[Refusal.METHOD].headers == ((b"Allow", b"GET, POST, DELETE"),)
    assert Told(400, 1, "x").body == b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}'


def test_a_listener_does_not_start_on_the_pure_python_parser() -> None:
    code = (
        "import asyncio\n"
        "from proxy.listener.limits import Limits\n"
        "from proxy.listener.listener import Listener, StartError\n"
        "from proxy.listener.names import Names\n"
        "async def main():\n"
        "    try:\n"
        "        await Listener(None, Limits(), Names(frozenset()), None, None)"
        ".start('127.0.0.1', 0)\n"
        "    except StartError as error:\n"
        "        print(error.code)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "slow_parser\n"


def test_a_listener_does_not_start_where_too_few_files_may_be_open() -> None:
    async def scenario() -> None:
        with pytest.raises(StartError, match="ulimit"):
            await unlistened(Limits(spare_descriptors=2**31)).start("127.0.0.1", 0)

    asyncio.run(scenario())


def unlistened(limits: Limits) -> Listener:
    async def handler(_incoming: Incoming) -> Answer:
        return Answer(202)

    happened: list[object] = []
    return Listener(handler, limits, Names(frozenset()), happened.append, happened.append)


def test_a_port_that_is_taken_is_an_os_error() -> None:
    async def scenario() -> None:
        async with serving() as served:
            with pytest.raises(OSError, match="in use"):
                await unlistened(Limits()).start(served.host, served.port)

    asyncio.run(scenario())


def test_two_listeners_may_share_a_port() -> None:
    async def scenario() -> None:
        one, two = unlistened(Limits()), unlistened(Limits())
        host, port = await one.start("127.0.0.1", 0, reuse_port=True)

        assert await two.start(host, port, reuse_port=True) == (host, port)
        await one.stop(0)
        await two.stop(0)

    asyncio.run(scenario())


NAMES = [
    ({"gateway.example"}, "10.0.0.1", 8080, {"gateway.example", "10.0.0.1:8080"}),
    ({"g:1"}, "127.0.0.1", 1, {"g:1", "localhost:1", "127.0.0.1:1", "[::1]:1"}),
    (set(), "::1", 9, {"localhost:9", "127.0.0.1:9", "[::1]:9"}),
    (set(), "127.0.0.9", 9, {"127.0.0.9:9", "localhost:9", "127.0.0.1:9", "[::1]:9"}),
    ({"localhost:8080"}, "10.0.0.1", 9, {
        "localhost:8080", "10.0.0.1:9", "localhost:9", "127.0.0.1:9", "[::1]:9"}),
    ({"[::1]"}, "10.0.0.1", 9, {
        "[::1]", "10.0.0.1:9", "localhost:9", "127.0.0.1:9", "[::1]:9"}),
    (set(), "10.0.0.1", 80, {"10.0.0.1", "10.0.0.1:80"}),
    (set(), "2001:db8::1", 443, {"[2001:db8::1]:443"}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "host", "port", "expected"), NAMES)
def test_a_listener_answers_to_its_names_and_its_own_address(
    given: set[str], host: str, port: int, expected: set[str]
) -> None:
    assert Names(frozenset(given)).listening(host, port).hosts == expected
