"""Two gateways on one PostgreSQL: what is changed on one is so on the other within a second."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from policies.model import Entity, Fact
from proxy.admin.issuing import Author
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from storage.engine import Database, open_database
from storage.tokens import TokenLedger
from tests.gateway.harness import CI, PUBLIC_URL, Rig, gateway, may, until
from tests.gateway.raw import asking
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

BOB = "bob"
AUTHOR = Author({"type": "System", "id": "test"}, "System:test")


@asynccontextmanager
async def replicas(directory: Path, url: str) -> AsyncIterator[tuple[Rig, Rig]]:
    """Run two gateways with the same keys on the database at *url*."""
    settings = {"database.url": url}
    async with gateway(directory / "one", settings=settings) as one:
        data = directory / "two" / "data"
        data.mkdir(parents=True, mode=0o700)
        shutil.copytree(directory / "one" / "data", data, dirs_exist_ok=True, ignore=_journals)
        async with gateway(directory / "two", settings=settings, facts=()) as two:
            yield one, two


def _journals(_: str, names: list[str]) -> set[str]:
    return {one for one in names if one in ("journal", "northgate.db") or one.endswith(".lock")}


async def codes(rig: Rig, client: str) -> tuple[int, object]:
    said = await rig.ask("tools/call", {"name": "echo"}, client=client)
    error = said.message.get("error") or {}
    return said.status, error.get("code")


async def comes(rig: Rig, client: str, wanted: tuple[int, object]) -> None:
    """Return once *client* is answered so, within a second."""
    async with asyncio.timeout(1):
        while await codes(rig, client) != wanted:  # noqa: ASYNC110  a grant has no event
            await asyncio.sleep(0.01)


async def status(rig: Rig, bearer: str) -> int:
    body, headers = asking("tools/call", {"name": "echo"})
    return (await rig.post([("Authorization", bearer), *headers], body)).status


@asynccontextmanager
async def another(url: str) -> AsyncIterator[Database]:
    database = await open_database(url)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.url(postgres.new_database(TEMPLATE))


def test_r23_a_grant_given_and_taken_on_one_replica_counts_on_the_other(
    tmp_path: Path, url: str
) -> None:
    async def story() -> None:
        async with replicas(tmp_path, url) as (one, two):
            assert await codes(two, CI) == (200, None)
            assert await codes(two, BOB) == (404, 40401)
            grant = may(BOB, "caller", "Server", "up")
            await one.state(grant)
            await comes(two, BOB, (200, None))
            await two.unstate(grant)
            assert await codes(two, BOB) == (404, 40401)
            await comes(one, BOB, (404, 40401))

    asyncio.run(story())


def test_r23_changes_made_on_both_at_once_all_count_on_both(tmp_path: Path, url: str) -> None:
    async def story() -> None:
        async with replicas(tmp_path, url) as (one, two):
            marks = [Fact("has_tag", (Entity("Tool", f"up__t{n}"), "x")) for n in range(40)]
            rigs = (one, two)
            await asyncio.gather(*(rigs[n % 2].state(each) for n, each in enumerate(marks)))

            def are_alike() -> bool:
                facts = [rig.gateway.standing.grounds.facts for rig in rigs]
                tags = [set(each["has_tag/2"].rows) for each in facts]
                return tags == [{mark.args for mark in marks}] * 2

            await until(are_alike)
            assert len({rig.gateway.standing.grounds.facts.version for rig in rigs}) == 1

    asyncio.run(story())


def test_r23_a_token_that_another_process_revokes_is_dead_on_every_replica(
    tmp_path: Path, url: str
) -> None:
    async def story() -> None:
        async with replicas(tmp_path, url) as (one, two):
            wanted = TokenRequest(ActorType.CLIENT, CI, PUBLIC_URL, 600)
            token = await one.gateway.issuing.issue(Plane.DATA, wanted, AUTHOR)
            bearer = f"Bearer {token.text.reveal().decode()}"
            assert [await status(rig, bearer) for rig in (one, two)] == [200, 200]
            async with another(url) as database:
                assert await TokenLedger(database, time.time).revoke(token.token_id, "it", "lost")
            for rig in (one, two):
                async with asyncio.timeout(1):
                    while await status(rig, bearer) != 401:  # noqa: ASYNC110  as above
                        await asyncio.sleep(0.01)

    asyncio.run(story())
