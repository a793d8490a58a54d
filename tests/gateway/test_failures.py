"""R10, R11, T32: an upstream that fails, and a caller that leaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import pytest

from tests.gateway.desk import Deed
from tests.gateway.harness import PATH, Rig, gateway, until
from tests.gateway.raw import ENVELOPE, ERAS, LEGACY, MODERN, Said, asking, request
from tests.gateway.streams import left
from tests.gateway.worlds import IMPATIENT, forwarding
from tests.upstream.scripted import CHUNKED, JSON, SSE, Line, chunk, head, whole
from tests.upstream.speaking import Message, result_of, written

each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with forwarding(tmp_path_factory.mktemp("forwarding")) as rig:
        yield rig


# R10, T32: an upstream that fails.


def answered(asked: Message, media: bytes) -> bytes:
    body = written(result_of(asked, {"content": []}))
    return body if media == JSON else b"data: %b\n\n" % body


Pieces = Callable[[bytes, bytes], Iterable[bytes]]


@dataclass(frozen=True)
class Mode:
    """What an upstream does instead of answering, and the status that it comes to.

    It sends `pieces` of an answer in that media type, with so many seconds between them, and then
    hangs up, unless it `waits`.
    """

    status: int
    pieces: Pieces
    waits: bool = False
    pause: float = 0.0


def redirected(body: bytes, media: bytes) -> Iterable[bytes]:
    more = b"Location: http://127.0.0.1:1/elsewhere\r\n"
    return [whole(body, media=media, status=b"307 There", more=more)]


def challenged(body: bytes, media: bytes) -> Iterable[bytes]:
    more = b"WWW-Authenticate: Bearer\r\n"
    return [whole(body, media=media, status=b"401 No", more=more)]


def halved(body: bytes, media: bytes) -> Iterable[bytes]:
    return [head(media=media, more=CHUNKED), chunk(body[: len(body) // 2])]


def short(body: bytes, media: bytes) -> Iterable[bytes]:
    return [head(media=media, more=b"Content-Length: %d\r\n" % (2 * len(body))), body[:-3]]


def endless(_body: bytes, media: bytes) -> Iterable[bytes]:
    """Yield a body, or one event, that has no end."""
    yield head(media=media, more=CHUNKED)
    yield chunk(b"data: " if media == SSE else b"[")
    yield from repeat(chunk(b"1," * 32_768))


MODES = {
    "hangs up": Mode(502, lambda _body, _media: ()),
    "says nothing": Mode(504, lambda _body, _media: (), waits=True),
    "is no HTTP": Mode(502, lambda _body, _media: [b"\0\xffgarbage\r\n\r\n"], waits=True),
    "stops in the head": Mode(502, lambda _body, media: [head(media=media)[:-2]]),
    "stops in the body": Mode(502, halved),
    "stops before its length": Mode(502, short),
    "falls silent in the body": Mode(504, halved, waits=True),
    "drips": Mode(504, lambda _body, media: map(bytes, zip(head(media=media) * 9)), pause=0.05),
    "redirects": Mode(502, redirected),
    "wants a password": Mode(502, challenged),
    "shows a page": Mode(502, lambda body, _media: [whole(b"<p>" + body, media=b"text/html")]),
    "has no end": Mode(502, endless),
    "has an endless head": Mode(
        502, lambda _body, _media: chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"X: y\r\n" * 500))
    ),
}

CASES = {
    f"{name} {media.decode()} {era}": (mode, media, era)
    for name, mode in MODES.items()
    for media in (JSON, SSE)
    for era in ERAS
}


async def fail(line: Line, asked: Message, mode: Mode, media: bytes) -> None:
    for piece in mode.pieces(answered(asked, media), media):
        await line.send(piece)
        if mode.pause:
            await asyncio.sleep(mode.pause)
    if mode.waits:
        await line.until_hung_up()


async def failing(line: Line, asked: Message) -> None:
    """Do what the call itself says, which names its case."""
    mode, media, _ = CASES[asked["params"]["arguments"]["case"]]
    await fail(line, asked, mode, media)


@contextmanager
def doing(rig: Rig, deed: Deed, method: str = "tools/call") -> Iterator[None]:
    rig.desk.deeds[method] = deed
    try:
        yield
    finally:
        del rig.desk.deeds[method]


def calls(rig: Rig, case: str) -> int:
    needle = json.dumps({"case": case}, separators=(",", ":")).encode()
    return sum(needle in one for one in rig.upstream.seen)


async def every_failure(rig: Rig) -> dict[str, Said]:
    with doing(rig, failing):
        said = await asyncio.gather(
            *(
                rig.ask("tools/call", {"name": "echo", "arguments": {"case": name}}, version=era)
                for name, (_, _, era) in CASES.items()
            )
        )
    return dict(zip(CASES, said, strict=True))


def test_a_failing_upstream_is_called_once_answered_for_and_recorded(tmp_path: Path) -> None:
    async def story() -> None:
        settings = IMPATIENT | {"record.arguments": "full"}
        async with gateway(tmp_path, settings=settings) as rig:
            began = time.monotonic()
            said = await every_failure(rig)
            assert time.monotonic() - began < 8

            decisions = {
                one.payload["arguments"]["case"]: one
                for one in rig.records()
                if one.payload["method"] == "tools/call"
            }
            for case, (mode, _, _) in CASES.items():
                one, status = said[case], mode.status
                outcome = await rig.outcome_of(decisions[case])
                assert one.code == (50401 if status == 504 else 50201), case
                assert one.message["id"] == 7
                assert one.status == status or (one.is_stream and one.status == 200), case
                assert calls(rig, case) == 1, case
                assert outcome["is_error"] is True, case
                assert outcome["status"] in (status, "unknown"), case
            # Nobody is left waiting, and the next call is served.
            assert (await rig.ask("tools/call", {"name": "echo"})).status == 200
            assert '"level":"error","event":"internal_error"' not in rig.log.getvalue()

    asyncio.run(story())


@each_era
def test_nobody_at_the_upstreams_address_is_a_failure_of_which_nothing_was_sent(
    rig: Rig, era: str
) -> None:
    async def story() -> None:
        said = await rig.ask("tools/list", version=era, path="/servers/gone/mcp")
        outcome = await rig.outcome_of(rig.records()[-1])

        assert (said.status, said.code) == (502, 50201)
        assert (outcome["status"], outcome["is_error"]) == ("not_sent", True)

    rig.run(story())


@each_era
def test_what_may_be_repeated_is_asked_again_on_a_new_connection_and_a_call_is_not(
    rig: Rig, era: str
) -> None:
    async def once(_line: Line, asked: Message) -> None:
        """Hang up on the first who asks, and answer the second."""
        del rig.desk.deeds[asked["method"]]

    async def story() -> None:
        assert (await rig.ask("tools/list", version=era)).status == 200
        rig.desk.deeds["tools/list"] = once
        seen = rig.mark
        assert (await rig.ask("tools/list", version=era)).status == 200
        assert rig.mark == seen + 2

        rig.desk.deeds["tools/call"] = once
        seen = rig.mark
        assert (await rig.ask("tools/call", {"name": "echo"}, version=era)).status == 502
        assert rig.mark == seen + 1

    rig.run(story())


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


@pytest.mark.parametrize("media", [JSON, SSE])
def test_answers_without_end_take_no_memory_with_them(rig: Rig, media: bytes) -> None:
    async def deed(line: Line, asked: Message) -> None:
        await fail(line, asked, MODES["has no end"], media)

    async def story() -> int:
        async def calls(count: int) -> int:
            for _ in range(count):
                said = await rig.ask("tools/call", {"name": "echo"})
                assert said.code == 50201
            return resident()

        with doing(rig, deed):
            # What the allocator keeps for the next time, it keeps once.
            before = await calls(25)
            return await calls(25) - before

    assert rig.run(story()) < 16 * 2**20


# R11: a caller that leaves.


async def says_nothing(line: Line, _asked: Message) -> None:
    await line.until_hung_up()


async def tells_progress(line: Line, asked: Message) -> None:
    """Begin a stream that has not come to its answer yet."""
    token = asked["params"]["_meta"]["progressToken"]
    params = {"progressToken": token, "progress": 1}
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
    await line.send(head(media=SSE, more=CHUNKED), chunk(b"data: %b\n\n" % written(progress)))


async def speaks_for_ever(line: Line, asked: Message) -> None:
    await tells_progress(line, asked)
    await line.until_hung_up()


def calling(rig: Rig, era: str) -> bytes:
    """Return a call that wants to hear of its progress."""
    meta = {**(ENVELOPE if era == MODERN else {}), "progressToken": "p"}
    body, headers = asking("tools/call", {"name": "echo", "_meta": meta}, version=era)
    fields = [("Host", rig.host), ("Authorization", rig.bearer()), *headers]
    return request("POST", PATH, [*fields, ("Content-Length", str(len(body)))], body)


@pytest.mark.parametrize("deed", [says_nothing, speaks_for_ever])
def test_a_modern_caller_that_leaves_ends_the_call_upstream_within_a_second(
    rig: Rig, deed: Deed
) -> None:
    async def story() -> None:
        logged = rig.log.getvalue().count("client_left")
        with doing(rig, deed):
            rig.upstream.asked.clear()
            async with rig.line() as line:
                await line.send(calling(rig, MODERN))
                await asyncio.wait_for(rig.upstream.asked.wait(), 5)
                if deed is speaks_for_ever:
                    await line.reader.readuntil(b"progress")
                rig.upstream.hung_up.clear()
            await asyncio.wait_for(rig.upstream.hung_up.wait(), 1)

        outcome = await rig.outcome_of(rig.records()[-1])
        assert (outcome["status"], outcome["is_error"]) == ("cancelled", True)
        await until(lambda: rig.log.getvalue().count("client_left") == logged + 1)
        assert "raceback" not in rig.log.getvalue()

    rig.run(story())


@pytest.mark.parametrize("media", [JSON, SSE])
def test_a_legacy_caller_that_leaves_leaves_its_call_at_work_to_the_end(
    rig: Rig, media: bytes
) -> None:
    goes_on = asyncio.Event()

    async def deed(line: Line, asked: Message) -> None:
        body = answered(asked, media)
        if media == SSE:
            await tells_progress(line, asked)
        await goes_on.wait()
        await line.send(chunk(body) if media == SSE else whole(body))

    async def story() -> None:
        with doing(rig, deed):
            rig.upstream.asked.clear()
            before = left(await rig.metrics())
            async with rig.line() as line:
                await line.send(calling(rig, LEGACY))
                await asyncio.wait_for(rig.upstream.asked.wait(), 5)
                if media == SSE:
                    await line.reader.readuntil(b"progress")
                rig.upstream.hung_up.clear()
                call = rig.records()[-1]
            async with asyncio.timeout(5):
                while left(await rig.metrics()) == before:
                    pass
            # Nothing is over: the gateway has seen it leave, and still waits for the answer.
            assert not rig.upstream.hung_up.is_set()
            assert call.id not in {one.payload["decision"] for one in rig.records("outcome")}
            goes_on.set()
            outcome = await rig.outcome_of(call)

        assert (outcome["status"], outcome["is_error"]) == (200, False)
        assert "raceback" not in rig.log.getvalue()

    rig.run(story())


@each_era
def test_whoever_has_all_the_streams_he_may_have_calls_nothing_more(
    tmp_path: Path, era: str
) -> None:
    goes_on = asyncio.Event()

    async def deed(line: Line, asked: Message) -> None:
        await tells_progress(line, asked)
        await goes_on.wait()
        await line.send(chunk(answered(asked, SSE)))

    async def story() -> None:
        settings = {"limits.streams_per_principal": 1}
        async with gateway(tmp_path, settings=settings) as rig:
            with doing(rig, deed):
                async with rig.line() as line:
                    await line.send(calling(rig, era))
                    await line.reader.readuntil(b"progress")
                    seen = rig.mark

                    said = await rig.ask("tools/call", {"name": "echo"}, version=era)

                    assert (said.status, said.code, said.message["id"]) == (429, 42901, 7)
                    assert said.header("retry-after") == "1"
                    assert rig.mark == seen
                    assert rig.records()[-1].payload["reason"] == "rate_limited"
                    goes_on.set()
                    await rig.outcome_of(rig.records()[-2])

            assert (await rig.ask("tools/call", {"name": "echo"}, version=era)).status == 200

    asyncio.run(story())
