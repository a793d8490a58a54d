"""R10, T21: streams end with their token, with the gateway, and never by being quiet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.datadir import DataDirectory
from proxy.identity.issue import Issuer, TokenRequest
from proxy.identity.principal import ActorType
from proxy.identity.sealing import master_key
from proxy.relay import Reply
from proxy.streaming import Ends, Pump
from tests.gateway.harness import (
    CI,
    PUBLIC_URL,
    Rig,
    gateway,
    shared,
)
from tests.gateway.raw import LEGACY, MODERN
from tests.gateway.streams import (
    ECHO,
    FACTS,
    NEWS,
    Studio,
    getting,
    hearing,
    posting,
    session_of,
    streaming,
    subscribed,
    tuned,
)
from tests.gateway.test_policy_changes import manage


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("streams"), facts=FACTS) as rig:
        yield rig


# Ended.


async def brief(rig: Rig, client: str = CI) -> tuple[str, str]:
    """Return the credential and the id of a token of *client* that an admin issued."""
    issued = await manage(rig, "POST", f"/api/v0/clients/{client}/tokens", b"{}")
    assert issued.status == 201
    return f"Bearer {issued.message['token']}", issued.message["token_id"]


async def ends_with_its_token(
    rig: Rig, studio: Studio, bearer: str, end: Callable[[], Awaitable[float]]
) -> None:
    """Open a stream of each kind with *bearer*, let *end* end the token, and see them all end.

    *end* returns the seconds that this may take.
    """
    session = await session_of(rig)
    listens = {"toolsListChanged": True}
    in_session = [("Mcp-Session-Id", session)]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        get = await enter(hearing(rig, getting(rig, session, bearer=bearer)))
        channels = [await studio.channel()]
        raw = posting(rig, "tools/call", ECHO, version=LEGACY, bearer=bearer, more=in_session)
        legacy = await enter(hearing(rig, raw))
        channels.append(await studio.channel())
        modern = await enter(hearing(rig, posting(rig, "tools/call", ECHO, bearer=bearer)))
        channels.append(await studio.channel())
        listen, channel = await enter(subscribed(rig, studio, listens, bearer=bearer, id_="l"))
        await listen.event()
        other, others = await enter(tuned(rig, studio, session))
        async with asyncio.timeout(await end()):
            assert await get.event() is None
            for ear in (legacy, modern):
                message = await ear.event()
                assert (message["id"], message["error"]["code"]) == (7, 40101)
                assert await ear.event() is None
            message = await listen.event()
            assert message["id"] == "l"
            assert message["result"]["resultType"] == "complete"
            meta = message["result"]["_meta"]
            assert meta["io.modelcontextprotocol/subscriptionId"] == "l"
            assert await listen.event() is None
        for one in (*channels, channel):
            await one.left()
        await others.say(NEWS)
        assert await other.event() == NEWS


def test_streams_end_within_a_second_of_the_revocation_of_their_token(rig: Rig) -> None:
    async def story() -> None:
        bearer, token_id = await brief(rig)

        async def revoke() -> float:
            assert (await manage(rig, "DELETE", f"/api/v0/tokens/{token_id}")).status == 200
            return 1.0

        with streaming(rig, "GET", "tools/call", "subscriptions/listen") as studio:
            await ends_with_its_token(rig, studio, bearer, revoke)

    rig.run(story())


def old_token(rig: Rig) -> str:
    """Return a token that lives for two seconds more."""
    key = rig.tokens.keyring.signing_key(master_key(DataDirectory(rig.directory).master_key, {}))
    earlier = Issuer(PUBLIC_URL, lambda: key, lambda: time.time() - 8)
    wanted = TokenRequest(ActorType.CLIENT, CI, PUBLIC_URL, 10)
    return earlier.issue(wanted).text.reveal().decode()


def test_streams_end_with_the_life_of_their_token(rig: Rig) -> None:
    async def story() -> None:
        async def wait() -> float:
            return 3.0  # of which two are what was left of its life

        bearer = f"Bearer {old_token(rig)}"
        with streaming(rig, "GET", "tools/call", "subscriptions/listen") as studio:
            await ends_with_its_token(rig, studio, bearer, wait)

    rig.run(story())


@pytest.mark.parametrize("kind", ["GET", "subscriptions/listen", "tools/call"])
def test_a_stream_whose_token_was_revoked_before_the_upstream_opened_it_ends_at_once(
    rig: Rig, kind: str
) -> None:
    async def story() -> None:
        bearer, token_id = await brief(rig)
        raw = getting(rig, await session_of(rig), bearer=bearer)
        if kind != "GET":
            raw = posting(rig, kind, {**ECHO, "notifications": {}}, bearer=bearer)
        with streaming(rig, kind, is_silent=True) as studio:
            async with rig.line() as line:
                await line.send(raw)
                channel = await studio.channel()
                assert (await manage(rig, "DELETE", f"/api/v0/tokens/{token_id}")).status == 200
                await studio.opens_late(channel)
                said = await line.answer()
                assert said.status == 200
                await channel.left()

    rig.run(story())


def test_streams_without_end_end_cleanly_and_at_once_when_the_gateway_stops(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            settings = {"limits.shutdown_seconds": 30}
            async with gateway(tmp_path, settings=settings) as rig:
                session = await session_of(rig)
                studio = stack.enter_context(streaming(rig, "GET", "subscriptions/listen"))
                get, _ = await stack.enter_async_context(tuned(rig, studio, session))
                listens = {"toolsListChanged": True}
                listen, _ = await stack.enter_async_context(subscribed(rig, studio, listens))
                await listen.event()
                began = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - began < 5
            assert await get.event() is None
            assert await listen.event() is None
            assert "internal_error" not in rig.log.getvalue()

    asyncio.run(story())


def test_a_quiet_stream_shows_signs_of_life(tmp_path: Path) -> None:
    async def story() -> None:
        settings = {"limits.keep_alive_seconds": 1}
        async with gateway(tmp_path, settings=settings) as rig:
            session = await session_of(rig)
            with streaming(rig, "GET", "tools/call") as studio:
                async with AsyncExitStack() as stack:
                    get, _ = await stack.enter_async_context(tuned(rig, studio, session))
                    ears = [get]
                    for version in (LEGACY, MODERN):
                        raw = posting(rig, "tools/call", ECHO, version=version)
                        ears.append(await stack.enter_async_context(hearing(rig, raw)))
                    async with asyncio.timeout(3):
                        for ear in ears:
                            assert await ear.line.reader.readuntil(b"\n\n") == b"3\r\n:\n\n"

    asyncio.run(story())


# Who reads them.


def test_a_reader_sees_that_a_stream_broke_off_whoever_made_it() -> None:
    async def blocks() -> AsyncGenerator[tuple[bytes, Reply | None]]:
        yield b"data: 1\n\n", None
        raise RuntimeError("a fault of ours")

    async def story() -> list[str]:
        told: list[str] = []
        ends = Ends(lambda _reply, _size: told.append("replied"), lambda _: told.append("closed"))
        pump = Pump(blocks(), ends, lambda: False)
        assert await anext(pump) == b"data: 1\n\n"
        with pytest.raises(RuntimeError, match="ours"):
            await asyncio.wait_for(anext(pump), 5)
        await pump.aclose()
        return told

    assert asyncio.run(story()) == ["closed"]
