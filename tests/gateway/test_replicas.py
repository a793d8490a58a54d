"""Two gateways on one PostgreSQL: what is changed on one is so on the other within a second."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from policies.model import Entity, Fact
from proxy.admin.issuing import Author
from proxy.cli.control import offline
from proxy.identity.compact import canonical_text
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from proxy.starting import NotStartableError
from storage.engine import Database, open_database
from storage.tokens import TokenLedger
from tests.gateway.harness import CI, PUBLIC_URL, Rig, gateway, may, until
from tests.gateway.raw import asking
from tests.oauth.served import ask, control_token, manage
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

BOB = "bob"
AUTHOR = Author({"type": "System", "id": "test"}, "System:test")


@asynccontextmanager
async def replicas(
    directory: Path, url: str, more: Mapping[str, object] | None = None
) -> AsyncIterator[tuple[Rig, Rig]]:
    """Run two gateways which share the database at *url* and a master key, and nothing else."""
    settings = {"database.url": url} | dict(more or {})
    async with gateway(directory / "one", settings=settings) as one:
        place = directory / "two" / "data"
        place.mkdir(parents=True, mode=0o700)
        shutil.copy(directory / "one" / "data" / "master.key", place)
        async with gateway(directory / "two", settings=settings, facts=()) as two:
            yield one, two


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


@dataclass(frozen=True, slots=True)
class Pair:
    """Two replicas that several tests share, and the loop that they run in."""

    directory: Path
    url: str
    runner: asyncio.Runner
    one: Rig
    two: Rig


@pytest.fixture(scope="module")
def pair(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("replicas")
    url = postgres.url(postgres.new_database(TEMPLATE))
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        one, two = runner.run(stack.enter_async_context(replicas(directory, url)))
        try:
            yield Pair(directory, url, runner, one, two)
        finally:
            runner.run(stack.aclose())


def test_r23_a_grant_given_and_taken_on_one_replica_counts_on_the_other(
    pair: Pair,
) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        assert await codes(two, CI) == (200, None)
        assert await codes(two, BOB) == (404, 40401)
        grant = may(BOB, "caller", "Server", "up")
        await one.state(grant)
        await comes(two, BOB, (200, None))
        await two.unstate(grant)
        assert await codes(two, BOB) == (404, 40401)
        await comes(one, BOB, (404, 40401))

    pair.runner.run(story())


def test_r23_changes_made_on_both_at_once_all_count_on_both(pair: Pair) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        marks = [Fact("has_tag", (Entity("Tool", f"up__t{n}"), "x")) for n in range(40)]
        rigs = (one, two)
        await asyncio.gather(*(rigs[n % 2].state(each) for n, each in enumerate(marks)))

        def are_alike() -> bool:
            facts = [rig.gateway.standing.grounds.facts for rig in rigs]
            tags = [set(each["has_tag/2"].rows) for each in facts]
            return tags == [{mark.args for mark in marks}] * 2

        await until(are_alike)
        assert len({rig.gateway.standing.grounds.facts.version for rig in rigs}) == 1

    pair.runner.run(story())


def test_r23_a_server_observed_or_enforced_on_one_replica_is_so_on_the_other(pair: Pair) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        for verb, wanted in (("observe", (200, None)), ("enforce", (404, 40401))):
            told = await manage(one, "POST", f"servers/up/{verb}", {"why": "rollout"})
            assert told.status == 200, told.body
            assert await codes(one, BOB) == wanted
            await comes(two, BOB, wanted)

    pair.runner.run(story())


def test_r23_a_token_that_another_process_revokes_is_dead_on_every_replica(
    pair: Pair,
) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        wanted = TokenRequest(ActorType.CLIENT, CI, PUBLIC_URL, 600)
        token = await one.gateway.issuing.issue(Plane.DATA, wanted, AUTHOR)
        bearer = f"Bearer {token.text.reveal().decode()}"
        assert [await status(rig, bearer) for rig in (one, two)] == [200, 200]
        async with another(pair.url) as database:
            assert await TokenLedger(database, time.time).revoke(token.token_id, "it", "lost")
        for rig in (one, two):
            async with asyncio.timeout(1):
                while await status(rig, bearer) != 401:  # noqa: ASYNC110  as above
                    await asyncio.sleep(0.01)

    pair.runner.run(story())


async def rotated(rig: Rig, plane: str) -> str:
    """Rotate the keys of *plane* on *rig*, and return the id of the key that signs now."""
    told = await manage(rig, "POST", "keys/rotate", {"plane": plane})
    assert told.status == 200, told.body
    (key,) = [one for one in told.document["keys"] if one["state"] == "active"]
    return str(key["key_id"])


async def published(rig: Rig) -> set[str]:
    told = await ask(f"http://{rig.host}/.well-known/jwks.json", "GET")
    return {one["kid"] for one in told.document["keys"]}


def test_r19_keys_are_rotated_on_one_replica_and_no_token_of_it_is_refused_by_the_other(
    pair: Pair,
) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        for first, second in ((one, two), (two, one)):
            old = first.token()
            await rotated(first, "data")
            await rotated(first, "control")
            # Neither has been heard of there, and nobody waits until it is.
            statuses = [await status(second, f"Bearer {first.token()}")]
            token = control_token(first)
            statuses.append((await manage(second, "GET", "keys", token=token)).status)
            statuses += [await status(rig, f"Bearer {old}") for rig in (one, two)]
            assert statuses == [200] * 4
        async with asyncio.timeout(1):
            while await published(one) != await published(two):  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)

    pair.runner.run(story())


def test_r19_a_key_revoked_on_one_replica_is_dead_on_the_other_within_a_second(
    pair: Pair,
) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        bearer = f"Bearer {two.token()}"
        key_id = await rotated(one, "data")
        assert await status(two, bearer) == 200
        after = f"Bearer {one.token()}"
        assert await status(two, after) == 200
        told = await manage(one, "POST", f"keys/{key_id}/revoke", {"why": "it leaked"})
        assert told.status == 200
        async with asyncio.timeout(1):
            while await status(two, after) != 401:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
        assert [await status(rig, bearer) for rig in (one, two)] == [200, 200]
        assert await status(one, f"Bearer {two.token()}") == 200

    pair.runner.run(story())


def test_replicas_that_start_at_once_on_an_empty_database_print_one_secret_and_agree_on_keys(
    tmp_path: Path, url: str
) -> None:
    async def story() -> None:
        for name in ("one", "two"):
            place = tmp_path / name / "data"
            place.mkdir(parents=True, mode=0o700)
            (place / "master.key").write_text(canonical_text(bytes(range(32))))
            (place / "master.key").chmod(0o600)
        settings = {"database.url": url}
        async with AsyncExitStack() as stack:
            rigs = await asyncio.gather(
                *(
                    stack.enter_async_context(gateway(tmp_path / name, settings=settings))
                    for name in ("one", "two")
                )
            )
            secrets = [rig.gateway.secret for rig in rigs if rig.gateway.secret is not None]
            assert len(secrets) == 1
            assert await published(rigs[0]) == await published(rigs[1])
            statuses = [await begun(rig, secrets[0].reveal().decode()) for rig in rigs]
            assert statuses == [201, 409]

    asyncio.run(story())


async def begun(rig: Rig, secret: str) -> int:
    host, port = rig.gateway.control
    data = json.dumps({"secret": secret}).encode()
    headers = {"Content-Type": "application/json"}
    return (await ask(f"http://{host}:{port}/init", "POST", data=data, headers=headers)).status


def test_whoever_recovers_on_one_machine_begins_again_at_any_replica(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        one, two = pair.one, pair.two
        assert one.gateway.secret is not None
        assert await begun(one, one.gateway.secret.reveal().decode()) == 201
        config = pair.directory / "two" / "northgate.toml"
        await asyncio.to_thread(offline.recover, config, {}, json=True)
        secret = json.loads(capsys.readouterr().out)["secret"]
        assert [await begun(rig, secret) for rig in (one, two)] == [201, 409]

    pair.runner.run(story())


def test_another_mode_or_another_master_key_does_not_start_on_the_same_database(
    tmp_path: Path, url: str
) -> None:
    async def story() -> list[str]:
        told: list[str] = []
        settings: dict[str, object] = {"database.url": url}
        async with gateway(tmp_path / "one", settings=settings):
            for more in ({"mode": "development"}, {}):
                place = tmp_path / f"other{len(told)}"
                with pytest.raises(NotStartableError) as caught:
                    async with gateway(place, settings=settings | more):
                        pass
                told += caught.value.problems
        return told

    mode, key = asyncio.run(story())

    assert "mode 'enterprise'" in mode
    assert "mode 'development'" in mode
    assert "Put the right master key back" in key


def test_t25_a_definition_approved_on_one_replica_is_so_on_the_other(
    tmp_path: Path, url: str
) -> None:
    async def story() -> None:
        more = {"catalogue.trust": "none"}
        async with replicas(tmp_path, url, more) as (one, two):
            told = await manage(one, "GET", "definitions?server=up&state=new")
            (found,) = [each for each in told.document["definitions"] if each["name"] == "echo"]
            assert [await codes(rig, CI) for rig in (one, two)] == [(200, -32602)] * 2
            names = ("server", "kind", "name", "hash")
            wish = {name: found[name] for name in names}
            told = await manage(one, "POST", "definitions/approve", wish)
            assert told.status == 200, told.body
            await comes(two, CI, (200, None))

    asyncio.run(story())
