"""A database out of reach: what is known serves for a while, and then nothing is allowed (R03)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from proxy.following import Following
from proxy.freshness import Freshness
from proxy.identity.sealing import DamagedError
from storage.errors import DatabaseUnavailableError
from tests.gateway.harness import Rig, gateway, until
from tests.gateway.raw import request
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

CONNECTED: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "


async def said(rig: Rig, method: str = "tools/call") -> tuple[int, object]:
    answer = await rig.ask(method, {"name": "echo"} if method == "tools/call" else {})
    error = answer.message.get("error") or {}
    return answer.status, error.get("code")


async def comes(rig: Rig, wanted: tuple[int, object]) -> None:
    async with asyncio.timeout(20):
        while await said(rig) != wanted:  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.02)


async def ready(rig: Rig) -> int:
    host = f"127.0.0.1:{rig.gateway.control[1]}"
    asked = request("GET", "/ready", [("Host", host)])
    return (await rig.say(asked, plane="control")).status


async def admitted(server: Server, name: str, *, allowed: bool) -> None:
    """Let nobody into the database of *name*, and throw everybody out; or let all in again."""
    statement = f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(allowed).lower()}"
    await server.answer(statement, "postgres")
    if not allowed:
        await server.answer(f"{CONNECTED}'{name}'", "postgres")


def test_r03_an_outage_is_bridged_for_a_while_then_nothing_is_decided_until_it_ends(
    tmp_path: Path, postgres: Server
) -> None:
    name = postgres.new_database(TEMPLATE)
    settings = {"database.url": postgres.url(name), "state.max_staleness_seconds": 1}

    async def story() -> None:
        async with gateway(tmp_path, settings=settings) as rig:
            await admitted(postgres, name, allowed=False)
            assert await said(rig) == (200, None)
            await comes(rig, (503, 50301))
            mark = rig.mark
            assert await said(rig) == (503, 50301)
            assert await said(rig, "tools/list") == (503, 50301)
            assert await ready(rig) == 503
            assert rig.mark == mark
            assert rig.records()[-1].payload["verdict"] == "undecided"
            await admitted(postgres, name, allowed=True)
            await comes(rig, (200, None))
            assert await ready(rig) == 200
            assert "northgate_state_staleness_seconds 0." in await rig.metrics()

    asyncio.run(story())


def test_what_changed_and_cannot_be_read_makes_all_that_is_known_old() -> None:
    now = [100.0]
    works = asyncio.Event()

    async def read() -> None:
        if not works.is_set():
            raise DatabaseUnavailableError("gone")

    async def story() -> None:
        following = Following({"facts": read}, lambda: now[0], lambda _: None)
        freshness = Freshness(30.0)
        freshness.follow(lambda: 0.0, lambda: following.behind)
        following.changed("facts")
        task = asyncio.create_task(following.follow())
        try:
            now[0] += 29.0
            assert not freshness.is_over
            now[0] += 2.0
            assert freshness.age > 30.0
            works.set()
            await until(lambda: not freshness.is_over)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())


def test_what_cannot_be_opened_is_told_and_stops_nothing_else() -> None:
    told: list[str] = []
    reads: list[str] = []

    async def secrets() -> None:
        reads.append("secrets")
        raise DamagedError("It was changed.")

    async def tokens() -> None:
        reads.append("tokens")

    async def story() -> None:
        following = Following(
            {"secrets": secrets, "tokens": tokens},
            lambda: 0.0,
            lambda error: told.append(str(error)),
        )
        task = asyncio.create_task(following.follow())
        try:
            for number in (1, 2):
                following.changed("secrets")
                following.changed("tokens")
                await until(lambda number=number: reads.count("tokens") == number)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())

    # It is read again meanwhile, and what can be read is not.
    assert reads.count("tokens") == 2
    assert reads.count("secrets") >= 2
    assert told == ["It was changed."]


def test_what_cannot_be_read_for_any_reason_is_old_told_of_once_and_read_again() -> None:
    now = [100.0]
    reads: list[str] = []
    told: list[Exception] = []
    works = asyncio.Event()

    async def read() -> None:
        reads.append("secrets")
        if not works.is_set():
            raise RuntimeError("nothing that reading again seems to help")

    async def story() -> None:
        following = Following({"secrets": read}, lambda: now[0], told.append)
        following.changed("secrets")
        task = asyncio.create_task(following.follow())
        try:
            await until(lambda: len(reads) > 2)
            now[0] += 31.0
            assert following.behind >= 31.0
            works.set()
            await until(lambda: following.behind == 0.0)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())

    assert [str(one) for one in told] == ["nothing that reading again seems to help"]


def test_nothing_is_old_before_it_is_followed() -> None:
    assert not Freshness(1.0).is_over
