"""Signing keys of a running gateway: seen, rotated, revoked, and what becomes of tokens (R19)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.issuing import Author
from proxy.admin.keys import KeyChanges
from proxy.audit import Audit, Redaction, UnrecordedError
from proxy.datadir import DataDirectory
from proxy.identity.issue import TokenRequest
from proxy.identity.keptring import KeyringChangedError
from proxy.identity.keyring import KeyState, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType
from proxy.identity.schedule import DAY_SECONDS, Schedule
from proxy.identity.sealing import master_key
from storage.engine import Database, open_database
from storage.errors import StateError
from storage.journal import Journal, read
from storage.secrets import SecretLedger
from tests.gateway.harness import PUBLIC_URL, Rig, gateway, shared, token_of, until
from tests.gateway.raw import asking
from tests.gateway.streams import NEWS, getting, hearing, session_of, streaming
from tests.identity.workshop import GATEWAY, MASTER, Clock
from tests.oauth.served import (
    ADMIN_URL,
    FAST,
    Told,
    ask,
    basic,
    control_token,
    manage,
    new_secret,
    post,
    wanting,
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("keys"), settings=FAST) as found:
        yield found


async def listed(rig: Rig, plane: str = "data") -> list[dict[str, Any]]:
    told = await manage(rig, "GET", f"keys?plane={plane}")
    assert told.status == 200, told.body
    found: list[dict[str, Any]] = told.document["keys"]
    return found


def active(keys: list[dict[str, Any]]) -> str:
    (one,) = [one["key_id"] for one in keys if one["state"] == "active"]
    return str(one)


async def rotate(rig: Rig, plane: str = "data", **wish: str) -> Told:
    told = await manage(rig, "POST", "keys/rotate", {"plane": plane, **wish})
    assert told.status == 200, told.body
    return told


async def revoke(rig: Rig, key_id: str) -> Told:
    return await manage(rig, "POST", f"keys/{key_id}/revoke", {"why": "it leaked"})


async def call(rig: Rig, token: str) -> int:
    body, headers = asking("tools/list")
    return (await rig.post([("Authorization", f"Bearer {token}"), *headers], body)).status


async def published(rig: Rig) -> set[str]:
    told = await ask(f"http://{rig.host}/.well-known/jwks.json", "GET")
    return {one["kid"] for one in told.document["keys"]}


def changes(rig: Rig) -> list[dict[str, Any]]:
    payloads = [dict(one.payload) for one in rig.records("change")]
    return [one for one in payloads if one["what"].startswith("key.")]


def test_both_planes_have_one_active_key_and_none_is_shown_whole(rig: Rig) -> None:
    async def story() -> tuple[Told, list[dict[str, Any]]]:
        return await manage(rig, "GET", "keys"), await listed(rig, "control")

    told, control = rig.run(story())
    keys = told.document["keys"]

    assert [one["plane"] for one in keys if one["state"] == "active"] == ["data", "control"]
    fields = {"plane", "key_id", "algorithm", "state", "made_at", "since", "ends_at"}
    assert all(set(one) == fields for one in keys)
    assert [one for one in keys if one["plane"] == "control"] == control


def test_a_rotation_is_recorded_and_old_tokens_stay_good(rig: Rig) -> None:
    async def story() -> tuple[list[int], str, Told, set[str]]:
        secret = await new_secret(rig)
        tokens = [(await post(rig, wanting(), basic("ci", secret))).document["access_token"]]
        before = active(await listed(rig))
        told = await rotate(rig)
        tokens.append((await post(rig, wanting(), basic("ci", secret))).document["access_token"])
        return [await call(rig, one) for one in tokens], before, told, await published(rig)

    statuses, before, told, keys = rig.run(story())
    record = changes(rig)[-1]

    assert statuses == [200, 200]
    assert active(told.document["keys"]) != before
    assert {before, active(told.document["keys"])} <= keys
    assert record["what"] == "key.rotated"
    assert (record["who"]["type"], record["who"]["id"]) == ("User", "admin")
    assert active(record["before"]) == before
    assert record["after"] == told.document["keys"]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_t01_keys_of_each_kind_sign_what_is_then_accepted(rig: Rig, algorithm: str) -> None:
    async def story() -> tuple[Told, list[int], dict[str, Any]]:
        secret = await new_secret(rig, f"kind-{algorithm.lower()}")
        told = await rotate(rig, algorithm=algorithm)
        name = f"kind-{algorithm.lower()}"
        token = (await post(rig, wanting(), basic(name, secret))).document["access_token"]
        jwks = await ask(f"http://{rig.host}/.well-known/jwks.json", "GET")
        key_id = active(told.document["keys"])
        (key,) = [one for one in jwks.document["keys"] if one["kid"] == key_id]
        return told, [await call(rig, rig.token()), await call(rig, token)], key

    told, statuses, key = rig.run(story())

    (found,) = [one for one in told.document["keys"] if one["state"] == "active"]
    assert (found["algorithm"], key["alg"]) == (algorithm, algorithm)
    # The second is known, and has no grant.
    assert statuses == [200, 404]


def test_a_revoked_key_is_dead_at_once(rig: Rig) -> None:
    async def story() -> tuple[list[int], list[str], set[str]]:
        token = rig.token()
        before, key_id = await call(rig, token), active(await listed(rig))
        told = await revoke(rig, key_id)
        states = [one["state"] for one in told.document["keys"] if one["key_id"] == key_id]
        after = [await call(rig, token), await call(rig, rig.token())]
        again = await revoke(rig, key_id)
        assert again.document == told.document
        return [before, *after], states, await published(rig) & {key_id}

    statuses, states, keys = rig.run(story())

    assert statuses == [200, 401, 200]
    assert states == ["revoked"]
    assert keys == set()
    assert [one["why"] for one in changes(rig) if one["what"] == "key.revoked"] == ["it leaked"]


def test_streams_end_with_the_key_of_their_token_and_no_others_do(tmp_path: Path) -> None:
    async def story() -> tuple[object, object]:
        async with gateway(tmp_path) as rig, AsyncExitStack() as stack:
            studio = stack.enter_context(streaming(rig, "GET"))
            session, old, before = await session_of(rig), rig.token(), active(await listed(rig))
            await rotate(rig)
            ears, channels = [], []
            for token in (old, rig.token()):
                raw = getting(rig, session, bearer=f"Bearer {token}")
                ears.append(await stack.enter_async_context(hearing(rig, raw)))
                channels.append(await studio.channel())
            assert (await revoke(rig, before)).status == 200
            async with asyncio.timeout(1.0):
                ended = await ears[0].event()
            await channels[1].say(NEWS)
            return ended, await ears[1].event()

    assert asyncio.run(story()) == (None, NEWS)


def test_an_administrator_may_revoke_the_key_of_his_own_token_and_begins_again(
    tmp_path: Path,
) -> None:
    async def story() -> list[int]:
        async with gateway(tmp_path) as rig:
            token = control_token(rig)
            key_id = active(await listed(rig, "control"))
            wish = {"why": "lost"}
            told = await manage(rig, "POST", f"keys/{key_id}/revoke", wish, token=token)
            dead = await manage(rig, "GET", "keys", token=token)
            return [told.status, dead.status, (await manage(rig, "GET", "keys")).status]

    assert asyncio.run(story()) == [200, 401, 200]


@pytest.mark.parametrize(
    ("path", "wish", "status", "said"),
    [
        ("keys/rotate", {}, 422, ["plane"]),
        ("keys/rotate", {"plane": "both", "algorithm": "HS256"}, 422, ["plane", "algorithm"]),
        ("keys/rotate", {"plane": "data", "algorithm": "none"}, 422, ["algorithm"]),
        ("keys/none/revoke", {}, 422, ["why"]),
        ("keys/none/revoke", {"why": ""}, 422, ["why"]),
        ("keys/none/revoke", {"why": "x" * 501, "more": 1}, 422, ["why", "more"]),
        ("keys/none/revoke", {"why": "x"}, 404, "unknown-key"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    rig: Rig, path: str, wish: dict[str, Any], status: int, said: object
) -> None:
    async def story() -> tuple[Told, bool]:
        before = await listed(rig)
        told = await manage(rig, "POST", path, wish)
        return told, await listed(rig) == before

    told, is_same = rig.run(story())

    problems = [one["field"] for one in told.document.get("problems", ())]
    assert (told.status, problems or told.document["code"]) == (status, said)
    assert is_same


def test_keys_that_cannot_be_read_are_told_and_go_on_serving(tmp_path: Path) -> None:
    async def story() -> tuple[list[Told], list[int]]:
        async with gateway(tmp_path) as rig:
            token = rig.token()
            async with beside(rig) as database:
                secrets = SecretLedger(database, time.time)
                kept = await secrets.read("keyring:data")
                told = []
                for damage in ("{", None):
                    assert await secrets.replace("keyring:data", kept, damage)
                    told.append(await manage(rig, "POST", "keys/rotate", {"plane": "data"}))
                    told.append(await manage(rig, "GET", "keys"))
                    statuses = [await call(rig, token), await call(rig, rig.token())]
                    assert await secrets.replace("keyring:data", damage, kept)
            return [*told, await manage(rig, "GET", "keys")], statuses

    told, statuses = asyncio.run(story())

    assert [(one.status, one.document.get("code")) for one in told] == [
        *[(503, "keys-unusable")] * 4,
        (200, None),
    ]
    assert statuses == [200, 200]


def test_r19_keys_are_rotated_and_revoked_under_load_and_no_valid_token_is_refused(
    rig: Rig,
) -> None:
    async def story() -> tuple[list[int], list[int]]:
        secret = await new_secret(rig)
        refused: list[int] = []
        dying: set[str] = set()
        dead: list[str] = []
        revived: list[int] = []
        done = asyncio.Event()
        live = [rig.token()]

        async def agent() -> None:
            while not done.is_set():
                token = live[-1]
                status = await call(rig, token)
                if status != 200 and token not in dying:
                    refused.append(status)
                for one in dead[-2:]:
                    status = await call(rig, one)
                    if status != 401:
                        revived.append(status)

        agents = [asyncio.ensure_future(agent()) for _ in range(8)]
        for step in range(12):
            await rotate(rig, algorithm="ES256" if step % 4 == 3 else "EdDSA")
            live.append((await post(rig, wanting(), basic("ci", secret))).document["access_token"])
            if step % 3 == 2:
                keys = await listed(rig)
                retired = [one["key_id"] for one in keys if one["state"] == "retired"]
                # Of what is on its way just now, either answer is right.
                dying |= set(live[:-1])
                for key_id in retired:
                    assert (await revoke(rig, key_id)).status == 200
                dead += live[:-1]
        done.set()
        await asyncio.gather(*agents)
        return refused, revived

    assert rig.run(story()) == ([], [])


@asynccontextmanager
async def beside(rig: Rig) -> AsyncIterator[Database]:
    """Open the database of *rig* as another process would."""
    database = await open_database(f"sqlite:///{rig.directory / 'northgate.db'}")
    try:
        yield database
    finally:
        await database.close()


async def plane_in(rig: Rig, database: Database, plane: Plane = Plane.DATA) -> TokenPlane:
    """Return the tokens of another process that shares the state of *rig*."""
    master = master_key(DataDirectory(rig.directory).master_key, {})
    url = {Plane.DATA: PUBLIC_URL, Plane.CONTROL: ADMIN_URL}[plane]
    secrets = SecretLedger(database, time.time)
    return await TokenPlane.opened(plane, url, secrets, master, time.time, longest_life=DAY_SECONDS)


def test_r19_a_process_beside_it_is_followed_at_once(rig: Rig) -> None:
    """A worker rotates: its tokens, and ours, are good here and there, on both planes."""

    async def story() -> tuple[list[int], bool]:
        async with beside(rig) as database:
            other = await plane_in(rig, database)
            await other.carry_out(await other.plan_rotation(Algorithm.EDDSA))
            statuses = [await call(rig, token_of(other, "ci")), await call(rig, rig.token())]
            control = await plane_in(rig, database, Plane.CONTROL)
            await control.carry_out(await control.plan_rotation(None))
            wanted = TokenRequest(ActorType.USER, "admin", ADMIN_URL, 600, "northgate")
            token = control.issuer.issue(wanted).text.reveal().decode()
            statuses.append((await manage(rig, "GET", "keys", token=token)).status)
            return statuses, active(await listed(rig)) == key_of(other)

    assert rig.run(story()) == ([200, 200, 200], True)


def key_of(plane: TokenPlane) -> str:
    key = plane.keyring.in_state(KeyState.ACTIVE)
    assert key is not None
    return key.key_id


def test_r19_a_key_that_another_process_revokes_is_dead_within_a_second_with_its_streams(
    tmp_path: Path,
) -> None:
    async def story() -> list[int]:
        async with gateway(tmp_path) as rig, AsyncExitStack() as stack:
            studio = stack.enter_context(streaming(rig, "GET"))
            database = await stack.enter_async_context(beside(rig))
            other, token = await plane_in(rig, database), rig.token()
            raw = getting(rig, await session_of(rig), bearer=f"Bearer {token}")
            ear = await stack.enter_async_context(hearing(rig, raw))
            await studio.channel()
            before = await call(rig, token)
            await other.carry_out(await other.plan_revocation(key_of(other)))
            async with asyncio.timeout(1.0):
                assert await ear.event() is None
            return [before, await call(rig, token), await call(rig, rig.token())]

    assert asyncio.run(story()) == [200, 401, 200]


@asynccontextmanager
async def with_changes(directory: Path, clock: Clock, number: int = 0) -> AsyncIterator[KeyChanges]:
    """Give what changes keys in process *number* of those that share a database."""
    database = await open_database(f"sqlite:///{directory / 'northgate.db'}")
    secrets = SecretLedger(database, clock)
    planes = {
        plane: await TokenPlane.opened(plane, url, secrets, MASTER, clock, longest_life=DAY_SECONDS)
        for plane, url in ((Plane.DATA, GATEWAY), (Plane.CONTROL, ADMIN_URL))
    }
    try:
        async with await Journal.open(directory / "journal", "node", number) as journal:
            audit = Audit(journal, Redaction(b"k" * 32, "facts"), lambda _code: None)
            yield KeyChanges(planes, audit, clock)
    finally:
        await database.close()


def told_of(directory: Path) -> list[tuple[str, str]]:
    """Return what the record says of keys: what was done, by whom."""
    told = [one.payload for one in read(directory / "journal") if one.kind == "change"]
    mine = [one for one in told if str(one["what"]).startswith("key.")]
    return [(str(one["what"]), str(one["who"]["id"])) for one in mine]


def test_the_schedule_prepares_and_rotates_by_itself_and_tells_the_record(tmp_path: Path) -> None:
    async def story() -> tuple[list[tuple[KeyState, ...]], list[tuple[str, str]]]:
        clock = Clock()
        schedule, found = Schedule(90 * DAY_SECONDS), []
        async with with_changes(tmp_path, clock) as keys:
            for days in (0, 59, 1, 22, 1, 2):
                clock.now += days * DAY_SECONDS
                for plane in Plane:
                    await keys.keep(plane, schedule)
                ring = keys.planes[Plane.DATA].keyring
                found.append(tuple(key.state for key in ring.keys if key.is_trusted(clock.now)))
        return found, told_of(tmp_path)

    states, records = asyncio.run(story())

    active_, prepared, retired = KeyState.ACTIVE, KeyState.PREPARED, KeyState.RETIRED
    assert states == [
        (active_,),
        (active_,),
        (active_, prepared),
        (active_, prepared),
        (retired, active_),
        (active_,),
    ]
    assert records == [("key.prepared", "key-schedule")] * 2 + [("key.rotated", "key-schedule")] * 2


def test_the_schedule_goes_on_after_a_failure(tmp_path: Path) -> None:
    async def story() -> tuple[list[str], int]:
        clock = Clock()
        failures: list[str] = []
        async with with_changes(tmp_path, clock) as keys:
            clock.now += 60 * DAY_SECONDS
            schedule = Schedule(90 * DAY_SECONDS)
            database = await open_database(f"sqlite:///{tmp_path / 'northgate.db'}")
            secrets = SecretLedger(database, clock)
            kept = await secrets.read("keyring:data")
            assert await secrets.replace("keyring:data", kept, "{")
            following = asyncio.ensure_future(
                keys.follow(
                    schedule, lambda error: failures.append(type(error).__name__), lambda: 0.0
                )
            )
            control = keys.planes[Plane.CONTROL]
            await until(lambda: len(control.keyring.keys) == 2)
            following.cancel()
            assert await secrets.replace("keyring:data", "{", kept)
            await database.close()
            await keys.keep(Plane.DATA, schedule)
            return failures, len(keys.planes[Plane.DATA].keyring.keys)

    failures, count = asyncio.run(story())

    assert failures == ["DamagedError"]
    assert count == 2


def test_nothing_changes_that_cannot_be_recorded(tmp_path: Path) -> None:
    async def story() -> bool:
        async with with_changes(tmp_path, Clock()) as keys:
            pass
        before = keys.planes[Plane.DATA].keyring
        with pytest.raises((UnrecordedError, StateError)):
            await keys.rotate(Plane.DATA, None, Author({}, "System:test"))
        return keys.planes[Plane.DATA].keyring == before

    assert asyncio.run(story())


def test_processes_that_follow_one_schedule_change_the_keys_once_and_record_it_once(
    tmp_path: Path,
) -> None:
    async def story() -> tuple[list[KeyState], int]:
        clock = Clock()
        async with AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(with_changes(tmp_path, clock, number))
                for number in range(3)
            ]
            clock.now += 60 * DAY_SECONDS
            for keys in processes:
                await keys.keep(Plane.DATA, Schedule(90 * DAY_SECONDS))
            rings = [keys.planes[Plane.DATA].keyring for keys in processes]
            return [key.state for key in rings[0].keys], len(set(rings))

    states, kinds = asyncio.run(story())

    assert (states, kinds) == ([KeyState.ACTIVE, KeyState.PREPARED], 1)
    assert told_of(tmp_path) == [("key.prepared", "key-schedule")]


def test_a_change_that_lost_against_another_is_recorded_as_not_made(tmp_path: Path) -> None:
    async def story() -> tuple[list[object], int]:
        async with AsyncExitStack() as stack:
            processes = [
                await stack.enter_async_context(with_changes(tmp_path, Clock(), number))
                for number in range(2)
            ]
            author = Author({"type": "System", "id": "test"}, "System:test")
            done = await asyncio.gather(
                *(keys.rotate(Plane.DATA, None, author) for keys in processes),
                return_exceptions=True,
            )
            for keys in processes:
                await keys.known(Plane.DATA)
            rings = {keys.planes[Plane.DATA].keyring for keys in processes}
            return [type(one) for one in done if one is not None], len(rings)

    lost, kinds = asyncio.run(story())
    what = [one for one, _ in told_of(tmp_path)]

    assert (lost, kinds) == ([KeyringChangedError], 1)
    assert sorted(what) == ["key.not-made", "key.rotated", "key.rotated"]
