"""What cannot be judged, recorded or had from an upstream is not done, and says so."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.desk import hangs_up
from tests.gateway.harness import Rig, gateway, may
from tests.gateway.raw import ERAS, LEGACY, Said, asking
from tests.gateway.worlds import EYE, PUZZLED, answering
from tests.upstream.speaking import gives, refuses, says


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with answering(tmp_path_factory.mktemp("answering")) as rig:
        yield rig


each_era = pytest.mark.parametrize("era", ERAS)


@each_era
def test_a_call_that_cannot_be_judged_is_not_made(rig: Rig, era: str) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark

        said = await rig.ask("tools/call", {"name": "fetch"}, version=era, client=PUZZLED)

        assert (said.status, said.code, said.message["id"]) == (503, 50301, 7)
        (record,) = rig.records()[before:]
        assert (record.payload["verdict"], record.payload["reason"]) == ("undecided", "undecided")
        assert rig.mark == seen

    rig.run(story())


def test_a_list_that_cannot_be_judged_shows_nothing(rig: Rig) -> None:
    async def story() -> Said:
        return await rig.ask("tools/list", client=PUZZLED)

    said = rig.run(story())

    assert (said.status, said.code) == (503, 50301)
    assert b"echo" not in said.body


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process take one byte more until the block ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@each_era
def test_a_call_that_cannot_be_recorded_is_not_made_until_it_can(rig: Rig, era: str) -> None:
    async def ask(method: str, params: Mapping[str, object]) -> Said:
        return await rig.ask(method, params, version=era)

    async def story() -> None:
        seen = rig.mark
        with full_disk():
            for method, params in (
                ("tools/call", {"name": "echo"}),
                ("tools/list", {}),
                ("tools/call", {"name": "none"}),
                ("no/such", {}),
            ):
                said = await ask(method, params)
                assert (said.status, said.code, said.message["id"]) == (503, 50302, 7)
        assert rig.mark == seen
        deadline = time.monotonic() + 10
        while (said := await ask("tools/call", {"name": "echo"})).status == 503:
            assert time.monotonic() < deadline
        assert (said.status, said.code) == (200, None)
        assert rig.mark == seen + 1

    rig.run(story())


def test_an_upstream_that_fails_is_told_from_one_that_is_late(rig: Rig) -> None:
    asked = [
        (method, params, era)
        for method, params in (("tools/call", {"name": "echo"}), ("tools/list", {}))
        for era in ERAS
    ]

    async def ask_all() -> set[tuple[int, int | None, object]]:
        said = await asyncio.gather(
            *(rig.ask(method, params, version=era) for method, params, era in asked)
        )
        return {(one.status, one.code, one.message["id"]) for one in said}

    async def story() -> None:
        with rig.saying({"tools/call": hangs_up, "tools/list": hangs_up}):
            assert await ask_all() == {(502, 50201, 7)}
        with rig.saying({"tools/call": says(b""), "tools/list": says(b"")}):
            assert await ask_all() == {(504, 50401, 7)}

    rig.run(story())


@each_era
def test_an_upstream_that_refuses_the_gateway_fails_and_challenges_nobody(
    rig: Rig, era: str
) -> None:
    async def story() -> None:
        for status in (b"401 Unauthorized", b"403 Forbidden", b"407 Proxy Authentication Required"):
            more = b'WWW-Authenticate: Bearer realm="there"\r\n'
            with rig.saying({"tools/call": gives({}, status=status, more=more)}):
                said = await rig.ask("tools/call", {"name": "echo"}, version=era)
            assert (said.status, said.code) == (502, 50201)
            assert said.header("www-authenticate") is None

    rig.run(story())


@each_era
def test_an_error_of_the_upstream_is_passed_on_as_it_is(rig: Rig, era: str) -> None:
    async def story() -> Said:
        with rig.saying({"tools/call": refuses(-32000, data={"why": "so"})}):
            return await rig.ask("tools/call", {"name": "echo"}, version=era)

    said = rig.run(story())

    error = {"code": -32000, "message": "no", "data": {"why": "so"}}
    assert (said.status, said.message) == (200, {"jsonrpc": "2.0", "id": 7, "error": error})


@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_who_calls_too_fast_is_told_to_wait_and_recorded_once_a_second(
    tmp_path: Path, verb: str
) -> None:
    async def story() -> None:
        facts = (may("ci", "caller", "Server", "up"), may(EYE, "caller", "Server", "up"))
        settings = {"limits.calls_per_second": 3}
        async with gateway(tmp_path, settings=settings, facts=facts) as rig:
            body, headers = asking("tools/list", version=LEGACY)
            headers += [("Authorization", rig.bearer()), rig.session()]
            body, seen = body if verb == "POST" else b"", rig.mark
            asked = [await rig.post(headers, body, verb=verb) for _ in range(12)]
            other = await rig.ask("tools/list", client=EYE)
            fast = [one for one in asked if one.status == 429]

            assert len(fast) >= 6
            assert all(one.code == 42901 for one in fast)
            assert all(one.header("retry-after") == "1" for one in fast)
            assert other.status == 200
            assert rig.mark == seen + len(asked) - len(fast) + 1
            limited = [one for one in rig.records() if one.payload["reason"] == "rate_limited"]
            assert 1 <= len(limited) <= 2

    asyncio.run(story())
