"""A webhook has every record, in order, at least once, whatever happens to it or to us."""

from __future__ import annotations

import asyncio
import hmac
import os
import ssl
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from proxy.identity.sealing import Secret
from proxy.sinks.posting import Poster
from proxy.sinks.sink import NO_SEGMENT, Share, Sinks
from proxy.sinks.webhook import SIGNATURE, Webhook
from storage.journal import Chain, Journal, Kind, Limits
from tests.gateway.test_shipping import aged
from tests.sinks.listeners import ABORTED, HUNG, Web, web
from tests.sinks.sent import OWN, lines, sent, until
from tests.upstream.certificates import contexts

KEY = Secret(b"0123456789abcdef")
ROOT = Path(__file__).parents[2]


def webhook(
    server: Web,
    *,
    context: ssl.SSLContext | None = None,
    key: Secret | None = None,
    seconds: float = 5,
) -> Webhook:
    scheme = "https" if context else "http"
    url = f"{scheme}://localhost:{server.port}/take?token=hush"
    headers = {"Authorization": "Bearer very-secret"}
    return Webhook(Poster(url, headers, seconds, context or ssl.create_default_context()), key)


def test_every_record_comes_over_https_to_the_byte_with_its_token_and_signature(
    tmp_path: Path,
) -> None:
    theirs, ours = contexts("localhost")

    async def story(server: Web) -> list[bytes]:
        receiver = webhook(server, context=ours, key=KEY)
        async with sent(tmp_path, {"siem": receiver}, Share(most=7)) as world:
            await world.write(20)
            await world.all_sent()
            assert world.told.events == []
            return world.lines()

    with web(theirs) as server:
        written = asyncio.run(story(server))

    assert server.lines == written
    assert len(server.bodies) >= 3
    for body, headers in zip(server.bodies, server.headers, strict=True):
        assert headers["Authorization"] == "Bearer very-secret"
        assert headers["Content-Type"] == "application/x-ndjson"
        expected = hmac.digest(KEY.reveal(), body, "sha256").hex()
        assert headers[SIGNATURE] == f"sha256={expected}"


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
def test_a_server_with_a_wrong_certificate_is_told_nothing(tmp_path: Path, wrong: str) -> None:
    theirs, trusting = contexts("localhost" if wrong == "another authority" else "elsewhere")
    ours = contexts("localhost")[1] if wrong == "another authority" else trusting

    async def story(server: Web) -> None:
        async with sent(tmp_path, {"siem": webhook(server, context=ours)}) as world:
            await world.write(3)
            await until(lambda: world.told.events)
            assert world.told.events == ["siem: sink-untrusted"]
            assert world.behind("siem") == 4
            assert "hush" not in "".join(world.told.details)

    with web(theirs) as server:
        asyncio.run(story(server))

    assert server.asked == 0


TROUBLES = {
    "broken": (500, "sink-refused"),
    "busy": (503, "sink-refused"),
    "refusing": (400, "sink-refused"),
    "unknown": (404, "sink-refused"),
    "redirecting": (307, "sink-refused"),
    "aborting": (ABORTED, "sink-unreachable"),
    "hanging": (HUNG, "sink-late"),
}


def test_each_trouble_is_told_once_and_holds_up_nobody_else_and_later_all_is_there(
    tmp_path: Path,
) -> None:
    async def story(servers: dict[str, Web]) -> list[bytes]:
        hooks = {name: webhook(one, seconds=0.4) for name, one in servers.items()}
        async with sent(tmp_path, hooks) as world:
            await world.write(5)
            await world.all_sent("well")
            assert servers["hanging"].bodies == []
            await world.all_sent()
            await world.write(5)
            await world.all_sent()
            for name, (_, code) in TROUBLES.items():
                await until(partial(world.told.are, name, [code, "recovered"]))
            assert world.told.of("well") == []
            assert "hush" not in "".join(world.told.details)
            return world.lines()

    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(web(troubles=(status,) * (1 if status == HUNG else 2)))
            for name, (status, _) in TROUBLES.items()
        }
        servers["well"] = stack.enter_context(web())
        written = asyncio.run(story(servers))

    for name, one in servers.items():
        assert one.lines == written, name


def test_a_server_that_was_down_gets_what_it_missed(tmp_path: Path) -> None:
    with web() as server:
        port = server.port

    async def story() -> list[bytes]:
        async with sent(tmp_path, {"siem": webhook(server)}) as world:
            await world.write(3)
            await until(lambda: world.told.events)
            assert world.behind("siem") == 4
            with web(port=port) as again:
                await world.write(3)
                await world.all_sent()
                await until(lambda: world.told.of("siem") == ["sink-unreachable", "recovered"])
                assert again.lines == world.lines()
                return again.lines

    assert len(asyncio.run(story())) == 7


def test_who_is_killed_around_the_answer_sends_again_and_loses_nothing(tmp_path: Path) -> None:
    async def filled() -> None:
        async with await Journal.open(tmp_path, *OWN) as journal:
            for number in range(11):
                await journal.append(Kind.DECISION, {"number": number})

    asyncio.run(filled())
    running: list[subprocess.Popen[bytes]] = []
    kills = [2]

    def seen(_: bytes) -> None:
        if server.asked in kills:
            running[-1].kill()
            running[-1].wait()

    with web() as server:
        server.seen = seen
        while not running or running[-1].returncode < 0:
            command = [sys.executable, "-m", "tests.sinks.sender", str(tmp_path), str(server.port)]
            running.append(subprocess.Popen(command, cwd=ROOT, env=os.environ))  # noqa: S603  our own
            running[-1].wait(60)

    assert len(running) == 2
    written = lines(tmp_path)
    # What it was killed with came twice or more; taken once each, in order, it is the journal.
    assert list(dict.fromkeys(server.lines)) == written
    assert len(server.lines) > len(written)


UNFIT = (
    b"",
    b'{"segment":1,"off',
    b"[1]",
    b'{"segment":"1","offset":10,"digest":"aa","seq":3}',
    b'{"segment":1,"offset":10,"digest":"aa","seq":3}',
    b'{"segment":7,"offset":10,"digest":"aa","seq":3}',
    b'{"segment":1,"offset":-10,"digest":"aa","seq":3}',
)


def test_a_cursor_that_is_half_written_or_does_not_fit_sends_all_again(tmp_path: Path) -> None:
    async def story() -> None:
        for content in UNFIT:
            async with sent(tmp_path, {"siem": webhook(server)}) as world:
                if not content:
                    await world.write(2)
                await world.all_sent()
                assert server.lines == world.lines(), content
            server.bodies.clear()
            await asyncio.to_thread(place.write_bytes, content)

    place = tmp_path / "here.0000.siem.cursor"
    with web() as server:
        asyncio.run(story())


def test_a_new_sink_begins_at_the_oldest_record_kept_and_needs_its_segment(tmp_path: Path) -> None:
    limits = Limits(segment_bytes=1024)

    async def story() -> None:
        async with sent(tmp_path, {}, limits=limits) as world:
            await world.write(30)
            assert world.sinks.needs(OWN) == NO_SEGMENT
            await world.journal.release(3, why="test")
        written = lines(tmp_path)
        async with sent(tmp_path, {"down": webhook(down), "siem": webhook(server)}) as world:
            await world.all_sent("siem")
            await until(lambda: world.told.events)
            assert world.behind("down") == len(world.lines())
            assert world.sinks.needs(OWN) == 3
            assert world.sinks.needs(Chain("unknown", 0)) is None
            siem = Sinks({"siem": world.sinks.sinks["siem"]})
            assert (siem.needs(OWN) or 0) > 3
        assert server.lines[: len(written)] == written

    with web() as down:
        pass
    with web() as server:
        asyncio.run(story())


def test_a_sink_is_sent_the_kinds_it_wants_and_moves_past_the_others(tmp_path: Path) -> None:
    async def story() -> None:
        share = Share(frozenset({Kind.OUTCOME}), 2)
        async with sent(tmp_path, {"siem": webhook(server)}, share) as world:
            await world.write(5)
            await world.write(3, Kind.OUTCOME)
            await world.write(5)
            await world.all_sent()

    with web() as server:
        asyncio.run(story())

    assert len(server.lines) == 3
    assert all(b'"kind":"outcome"' in one for one in server.lines)


def test_what_a_worker_left_behind_is_sent_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with await Journal.open(tmp_path, "gone", 3) as journal:
            await journal.append(Kind.DECISION, {"number": 1})
        aged(tmp_path, "gone")
        async with sent(tmp_path, {"siem": webhook(server)}) as world:
            await until(lambda: any(b'"node":"gone"' in one for one in server.lines))
            # All of its one segment.
            await until(lambda: world.sinks.needs(Chain("gone", 3)) == 2)

    with web() as server:
        asyncio.run(story())

    assert set(lines(tmp_path, Chain("gone", 3))) <= set(server.lines)
