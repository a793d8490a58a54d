"""Access tokens that agents had before they came here (checklist 17, 18, 20 and 22; T05, R23)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.admin.issuing import HOLDER
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from tests.gateway.harness import Rig, shared
from tests.gateway.raw import ERAS, LEGACY, Said, asking, request
from tests.gateway.streams import FACTS, getting, hearing, session_of, streaming
from tests.gateway.test_replicas import replicas
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

OLD: Final = "Zm9yIGEgY2xpZW50IHRoYXQgbW92ZXMgaW4gc29vbg"
NEW: Final = "of-the-bot-since-it-moved"
ADMIN_URL: Final = "http://localhost:8081"
each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("opaque"), facts=FACTS) as rig:
        yield rig


async def manage(rig: Rig, verb: str, path: str, body: object = None) -> Said:
    wanted = TokenRequest(ActorType.USER, "admin", ADMIN_URL, 600, HOLDER)
    token = rig.gateway.tokens[Plane.CONTROL].issuer.issue(wanted).text.reveal().decode()
    content = b"" if body is None else json.dumps(body).encode()
    headers = [
        ("Host", f"127.0.0.1:{rig.gateway.control[1]}"),
        ("Authorization", f"Bearer {token}"),
        ("Content-Length", str(len(content))),
        *([("Content-Type", "application/json")] if content else []),
    ]
    return await rig.say(request(verb, f"/api/v0{path}", headers, content), plane="control")


async def moved(rig: Rig, **more: Any) -> None:  # noqa: ANN401
    new = {"name": "bot", "allow_list": ["up"], "access_token": OLD} | more
    assert (await manage(rig, "POST", "/clients", new)).status == 201


async def call(rig: Rig, text: str, *, era: str = LEGACY) -> Said:
    body, headers = asking("tools/call", {"name": "echo"}, version=era)
    return await rig.post([("Authorization", f"Bearer {text}"), *headers], body)


async def deleted(rig: Rig) -> None:
    assert (await manage(rig, "DELETE", "/clients/bot")).status == 204


@each_era
def test_an_agent_goes_on_with_the_token_that_it_has_until_it_gets_another(
    rig: Rig, era: str
) -> None:
    async def story() -> None:
        assert (await call(rig, OLD, era=era)).status == 401
        await moved(rig)
        assert (await call(rig, OLD, era=era)).code is None
        change = {"access_token": NEW}
        assert (await manage(rig, "PATCH", "/clients/bot", change)).status == 200
        seen = rig.mark
        assert (await call(rig, OLD, era=era)).status == 401
        assert rig.mark == seen
        assert (await call(rig, NEW, era=era)).code is None
        await deleted(rig)
        assert (await call(rig, NEW, era=era)).status == 401

    rig.run(story())


def test_it_may_what_the_allow_list_says_and_nothing_more(rig: Rig) -> None:
    async def story() -> None:
        await moved(rig, allow_list=[])
        said = await call(rig, OLD)
        assert (said.status, said.code) == (404, 40401)
        await deleted(rig)

    rig.run(story())


def test_t04_the_server_behind_never_sees_it(rig: Rig) -> None:
    async def story() -> None:
        await moved(rig)
        assert (await call(rig, OLD)).code is None
        assert OLD.encode() not in b"".join(rig.upstream.seen)
        await deleted(rig)

    rig.run(story())


def test_t38_a_wrong_one_is_refused_like_every_other_wrong_token(rig: Rig) -> None:
    async def story() -> None:
        await moved(rig)
        said = [await call(rig, one) for one in (OLD[:-1], f"{OLD}a", "a.b.c", "x" * 5_000)]
        assert len({(one.status, one.header("www-authenticate"), one.body) for one in said}) == 1
        assert said[0].status == 401
        await deleted(rig)

    rig.run(story())


def test_the_streams_of_a_token_that_is_replaced_end(rig: Rig) -> None:
    async def story() -> None:
        await moved(rig)
        bearer = f"Bearer {OLD}"
        session = await session_of(rig, "bot")
        with streaming(rig, "GET") as studio:
            async with hearing(rig, getting(rig, session, bearer=bearer)) as ear:
                channel = await studio.channel()
                await manage(rig, "PATCH", "/clients/bot", {"access_token": NEW})
                assert await ear.event() is None
                await channel.left()
        await deleted(rig)

    rig.run(story())


def test_r23_what_is_given_and_taken_on_one_replica_counts_on_the_other_within_a_second(
    tmp_path: Path, postgres: Server
) -> None:
    url = postgres.url(postgres.new_database(TEMPLATE))

    async def comes(rig: Rig, text: str, status: int) -> None:
        async with asyncio.timeout(1):
            while (await call(rig, text)).status != status:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.01)

    async def story() -> None:
        async with replicas(tmp_path, url) as (one, two):
            await moved(one)
            await comes(two, OLD, 200)
            await manage(two, "PATCH", "/clients/bot", {"access_token": NEW})
            await comes(one, OLD, 401)
            await comes(one, NEW, 200)
            await deleted(one)
            await comes(two, NEW, 401)

    asyncio.run(story())
