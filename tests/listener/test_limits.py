"""Peers that are slow, large, many, or gone (R11, R12, R13, R15)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.listener.answers import Answer, EventStream
from proxy.listener.connection import REFUSALS
from proxy.listener.incoming import Incoming
from proxy.listener.limits import Limits
from proxy.listener.refusals import BodyError, LateError, MalformedError, Refusal, TooLargeError
from tests.listener.served import ANSWER, DEADLINE, LOOPS, Run, Served, eventually, note, serving

ROOT = Path(__file__).parents[2]
SOON = 0.1
QUICK = Limits(header_seconds=SOON, body_seconds=SOON, write_seconds=SOON, idle_seconds=SOON)
GET = b"GET /mcp HTTP/1.1\r\nHost: HOST\r\n\r\n"
POST = b"POST /mcp HTTP/1.1\r\nHost: HOST\r\n"
LAST = b"GET /mcp HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"


@LOOPS
@pytest.mark.parametrize("said", [b"", b"G", GET[:-2], GET + b"GET"], ids=repr)
def test_headers_that_do_not_end_in_time_end_the_connection_silently(said: bytes, run: Run) -> None:
    limits = Limits(header_seconds=SOON, idle_seconds=2 * SOON)

    async def scenario() -> None:
        async with serving(limits=limits) as served, served.client() as client:
            await client.say(said)
            if said.startswith(GET):
                assert (await client.answer()).endswith(ANSWER)

            assert await client.rest() == b""
            if said != GET + b"GET":
                assert served.refusals == [Refusal.LATE_HEADERS]

    run(scenario())


def test_headers_that_drip_are_timed_from_the_first_byte() -> None:
    async def scenario() -> None:
        async with serving(limits=Limits(header_seconds=SOON)) as served, served.client() as client:
            await client.say(GET)
            await client.answer()
            start = asyncio.get_running_loop().time()
            for byte in GET[:-1] * 100:
                if served.refusals:
                    break
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.005)

            assert served.refusals == [Refusal.LATE_HEADERS]
            assert asyncio.get_running_loop().time() - start < 5 * SOON

    asyncio.run(scenario())


def test_a_later_request_has_its_own_time_for_headers() -> None:
    limits = Limits(header_seconds=2 * SOON)

    async def scenario() -> None:
        async with serving(limits=limits) as served, served.client() as client:
            loop = asyncio.get_running_loop()
            start = loop.time()
            while loop.time() < start + 5 * SOON:
                await client.say(GET)
                assert (await client.answer()).endswith(ANSWER)
                await asyncio.sleep(0.01)

            assert served.refusals == []

    asyncio.run(scenario())


@LOOPS
def test_a_call_may_take_longer_than_its_headers_and_body_did(run: Run) -> None:
    async def handler(served: Served, incoming: Incoming) -> Answer:
        answer = await note(served, incoming)
        await asyncio.sleep(3 * SOON)
        return answer

    async def scenario() -> None:
        async with serving(handler, limits=QUICK) as served, served.client() as client:
            await client.say(POST + b"Content-Length: 6\r\n\r\n")
            await eventually(lambda: served.entered == 1)
            for part in (b"abc", b"def"):
                await client.say(part)

            assert (await client.answer()).endswith(ANSWER)
            assert served.refusals == []

    run(scenario())


def test_an_idle_connection_is_closed_after_its_time() -> None:
    async def scenario() -> None:
        async with serving(limits=QUICK) as served, served.client() as client:
            await client.say(GET)
            await client.answer()

            assert await client.rest() == b""
            assert served.refusals == []

    asyncio.run(scenario())


@LOOPS
@pytest.mark.parametrize(
    "said",
    [POST + b"Content-Length: 9\r\n\r\nabc", POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc"],
)
def test_a_body_that_does_not_come_in_time_is_answered_408(said: bytes, run: Run) -> None:
    async def scenario() -> None:
        # Only the body has to hurry: on a busy machine the head may take its time as well.
        async with serving(limits=Limits(body_seconds=SOON)) as served:
            answer = await served.ask(said)

            assert answer == REFUSALS[Refusal.LATE_BODY].render(ends=True)
            assert served.refusals == [Refusal.LATE_BODY]

    run(scenario())


@LOOPS
@pytest.mark.parametrize("length", [1001, 1_000_000, 2**64 - 2])
def test_a_body_said_to_be_too_large_is_answered_413_before_it_comes(length: int, run: Run) -> None:
    async def scenario() -> None:
        async with serving(limits=Limits(body_bytes=1000)) as served:
            answer = await served.ask(POST + b"Content-Length: %d\r\n\r\n" % length)

            assert answer == REFUSALS[Refusal.TOO_LARGE_BODY].render(ends=True)

    run(scenario())


@LOOPS
@pytest.mark.parametrize("size", [1001, 100_000, 1_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_is_too_large_is_answered_413(framing: str, size: int, run: Run) -> None:
    head, tail = b"Content-Length: %d\r\n\r\n" % size, b""
    if framing == "chunks":
        head, tail = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size, b"\r\n0\r\n\r\n"

    async def scenario() -> None:
        async with serving(limits=Limits(body_bytes=1000)) as served:
            answer = await served.ask(POST + head + b"x" * size + tail)

            assert answer == REFUSALS[Refusal.TOO_LARGE_BODY].render(ends=True)
            assert served.seen == []

    run(scenario())


def test_a_body_of_just_the_limit_is_read_in_many_pieces() -> None:
    async def scenario() -> None:
        async with serving() as served, served.client() as client:
            body = bytes(range(256)) * 4096
            await client.say(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await client.answer()

            assert [seen.body for seen in served.seen] == [body]

    asyncio.run(scenario())


def test_a_handler_may_answer_for_a_body_itself() -> None:
    caught: list[BodyError] = []

    async def handler(_served: Served, incoming: Incoming) -> Answer:
        try:
            await incoming.body()
        except BodyError as error:
            caught.append(error)
        return Answer(403, b"{}")

    async def scenario() -> None:
        async with serving(handler, limits=Limits(body_bytes=2, body_seconds=SOON)) as served:
            for said in (b"Content-Length: 3\r\n\r\nabc", b"Content-Length: 2\r\n\r\na"):
                answer = await served.ask(POST + said)
                assert b"403 Forbidden" in answer
                assert b"Connection: close" in answer
            async with served.client() as client:
                await client.say(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n")
                await eventually(lambda: served.entered == 3)
                await client.say(b"abc\r\n")
                assert b"403 Forbidden" in await client.rest()

            kinds = [type(error) for error in caught]
            assert kinds == [TooLargeError, LateError, MalformedError]
            assert [error.status for error in caught] == [413, 408, 400]
            assert all(error.public.endswith(".") for error in caught)
            assert served.refusals == []

    asyncio.run(scenario())


def test_leave_to_send_is_given_when_the_body_is_asked_for() -> None:
    async def scenario() -> None:
        async with serving() as served, served.client() as client:
            await client.say(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.say(b"abc" + LAST)

            assert (await client.rest()).count(ANSWER) == 2
            assert [seen.body for seen in served.seen] == [b"abc", b""]

    asyncio.run(scenario())


def test_who_is_refused_leave_to_send_is_told_that_the_connection_ends() -> None:
    async def handler(served: Served, incoming: Incoming) -> Answer:
        del served, incoming
        return Answer(401, b"{}")

    async def scenario() -> None:
        async with serving(handler) as served, served.client() as client:
            await client.say(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            head = await client.head()
            await client.say(GET)

            assert head.startswith(b"HTTP/1.1 401 ")
            assert b"\r\nConnection: close\r\n" in head
            assert await client.rest() == b"{}"
            assert served.entered == 1

    asyncio.run(scenario())


def test_a_body_that_nobody_reads_is_no_request() -> None:
    async def handler(served: Served, incoming: Incoming) -> Answer:
        if incoming.method == "GET":
            return await note(served, incoming)
        return Answer(401, b"{}")

    async def scenario() -> None:
        async with serving(handler) as served, served.client() as client:
            await client.say(POST + b"Content-Length: %d\r\n\r\n" % len(GET))
            assert (await client.answer()).startswith(b"HTTP/1.1 401 ")
            await client.say(GET.replace(b"HOST", b"HO:T") + LAST)

            assert (await client.rest()).endswith(ANSWER)
            assert served.entered == 2

    asyncio.run(scenario())


async def wait_forever(served: Served, incoming: Incoming) -> Answer:
    await note(served, incoming)
    await asyncio.Event().wait()
    raise AssertionError


@LOOPS
@pytest.mark.parametrize("manner", ["goodbye", "reset", "half"])
def test_a_call_is_cancelled_within_a_second_of_its_client_leaving(
    manner: str,
    run: Run,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def scenario() -> None:
        async with serving(wait_forever) as served, served.client() as client:
            await client.say(POST + b"Content-Length: 3\r\n\r\nabc")
            await eventually(lambda: served.seen != [])
            match manner:
                case "goodbye":
                    client.hang_up()
                case "reset":
                    client.reset()
                case _:
                    client.writer.write_eof()

            await eventually(lambda: served.left == 1, seconds=1)
            assert served.refusals == [Refusal.DISCONNECTED]
            assert served.errors == []

    run(scenario())
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_a_client_that_leaves_while_it_sends_its_body_is_one_event() -> None:
    async def scenario() -> None:
        async with serving() as served, served.client() as client:
            await client.say(POST + b"Content-Length: 9\r\n\r\nabc")
            await eventually(lambda: served.entered == 1)
            client.hang_up()

            await eventually(lambda: served.left == 1)
            assert served.refusals == [Refusal.DISCONNECTED]
            assert served.errors == []

    asyncio.run(scenario())


@LOOPS
def test_three_hundred_clients_dropped_at_once_log_nothing(
    run: Run, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def ticks() -> AsyncIterator[bytes]:
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.01)

    async def handler(served: Served, incoming: Incoming) -> Answer | EventStream:
        if incoming.path == "/stream":
            return EventStream(ticks())
        return await wait_forever(served, incoming)

    async def scenario() -> None:
        async with serving(handler) as served:
            clients = [await served.connect() for _ in range(300)]
            for number, client in enumerate(clients):
                await client.say(GET.replace(b"/mcp", b"/stream") if number % 2 else GET)
            await eventually(lambda: served.entered == 300)
            for number, client in enumerate(clients):
                client.reset() if number % 3 else client.hang_up()

            await eventually(lambda: len(served.refusals) == 300)
            await eventually(lambda: served.left == 300)
            assert set(served.refusals) == {Refusal.DISCONNECTED}
            assert served.errors == []

    run(scenario())
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_above_its_number_of_connections_a_listener_asks_to_come_later() -> None:
    async def scenario() -> None:
        async with serving(limits=Limits(connections=2)) as served:
            async with served.client() as one, served.client() as two:
                for client in (one, two):
                    await client.say(GET)
                    await client.answer()
                answer = await served.ask(GET)
                assert answer == REFUSALS[Refusal.OVERLOADED].render(ends=True)
                assert b"503 Service Unavailable" in answer
                assert b"Retry-After: 2\r\n" in answer
                assert served.refusals == [Refusal.OVERLOADED]
                await one.say(GET)
                assert (await one.answer()).endswith(ANSWER)
            async with asyncio.timeout(DEADLINE):
                while (answer := await served.ask(LAST)).startswith(b"HTTP/1.1 503"):
                    pass

            assert answer.endswith(ANSWER)

    asyncio.run(scenario())


SMALL = """
    import asyncio, resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    from collections import Counter
    import uvloop
    from proxy.listener.answers import Answer
    from proxy.listener.limits import Limits
    from proxy.listener.listener import Listener
    from proxy.listener.names import Names

    async def main():
        async def answer(incoming):
            return Answer(200, b"%d" % refused["overloaded"])
        refused = Counter()
        listener = Listener(
            answer, Limits(), Names(frozenset()), lambda r: refused.update([r]), sys.exit
        )
        print((await listener.start("127.0.0.1", 0))[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await listener.stop(0)

    (uvloop.run if sys.argv[1:] else asyncio.run)(main())
"""


@pytest.mark.parametrize("loop", [[], ["uvloop"]], ids=["asyncio", "uvloop"])
def test_a_flood_leaves_the_descriptors_that_are_kept_and_not_a_line_of_log(
    loop: list[str],
) -> None:
    child = subprocess.Popen(  # noqa: S603  our own code
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SMALL), *loop],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        asyncio.run(flood(port, child.pid))
        _, errors = child.communicate()
    assert errors == b""
    assert child.returncode == 0


def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def flood(port: int, pid: int) -> None:
    get = b"GET / HTTP/1.1\r\nHost: localhost:%d\r\n" % port
    descriptors = Path(f"/proc/{pid}/fd")

    async def ask(stack: AsyncExitStack) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # With the writer, which would close the connection when nobody holds it any more.
        stack.callback(hang_up, writer)
        try:
            writer.write(get + b"\r\n")
            return await reader.readuntil(b"\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async with AsyncExitStack() as stack, asyncio.timeout(20):
        answers = await asyncio.gather(*[ask(stack) for _ in range(1000)])
        served = [answer for answer in answers if answer == b"HTTP/1.1 200 OK\r\n"]
        told = [answer for answer in answers if b"503" in answer]
        assert 200 <= len(served) <= 256
        assert told != []
        await eventually(lambda: len(list(descriptors.iterdir())) <= 257, seconds=3)
    async with AsyncExitStack() as stack:
        await eventually(lambda: len(list(descriptors.iterdir())) < 64, seconds=2)
        assert await ask(stack) == b"HTTP/1.1 200 OK\r\n"
