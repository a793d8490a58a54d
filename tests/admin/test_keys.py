"""Signing keys of a running gateway: seen, rotated, revoked, and what becomes of tokens (R19)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.issuing import Author
from proxy.admin.keys import KeyChanges
from proxy.audit import Audit, Redaction, UnrecordedError
from proxy.identity.keyring import KeyState, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.planes import TokenPlane
from proxy.identity.schedule import DAY_SECONDS, Schedule
from storage.journal import Journal, read
from tests.gateway.harness import PUBLIC_URL, Rig, gateway, shared, until
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
    plane_of,
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


def test_keys_that_cannot_be_written_stay_as_they_are(rig: Rig) -> None:
    async def story() -> tuple[Told, bool, int]:
        before = await listed(rig)
        # Whatever is there under this name, it can be neither removed nor opened as a file.
        blocker = rig.directory / "keys" / "data.json.new"
        blocker.mkdir()
        try:
            told = await manage(rig, "POST", "keys/rotate", {"plane": "data"})
        finally:
            blocker.rmdir()
        return told, await listed(rig) == before, await call(rig, rig.token())

    told, is_same, status = rig.run(story())

    assert (told.status, told.document["code"]) == (503, "keys-unusable")
    assert is_same
    assert status == 200


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


def test_r19_a_process_beside_it_is_followed_at_once(rig: Rig) -> None:
    """A worker of the same machine rotates: its tokens, and ours, are good here and there."""

    async def story() -> tuple[list[int], bool]:
        other = plane_of(rig, Plane.DATA, PUBLIC_URL)
        await other.carry_out(await other.plan_rotation(Algorithm.EDDSA))
        statuses = [await call(rig, rig.token())]
        secret = await new_secret(rig)
        token = (await post(rig, wanting(), basic("ci", secret))).document["access_token"]
        statuses.append(await call(rig, token))
        key_id = active(await listed(rig))
        found = other.verifier.verify(token, frozenset({f"{PUBLIC_URL}/servers/up/mcp"}))
        return statuses, found.key_id == key_id

    assert rig.run(story()) == ([200, 200], True)


async def with_changes(directory: Path, clock: Clock) -> tuple[KeyChanges, Journal]:
    journal = await Journal.open(directory / "journal", "node", 0)
    audit = Audit(journal, Redaction(b"k" * 32, "facts"), lambda _code: None)
    planes = {
        plane: TokenPlane(
            plane, url, directory / f"{plane.value}.json", MASTER, clock, longest_life=DAY_SECONDS
        )
        for plane, url in ((Plane.DATA, GATEWAY), (Plane.CONTROL, ADMIN_URL))
    }
    return KeyChanges(planes, audit, clock, lambda _plane, _key_id: None), journal


def test_the_schedule_prepares_and_rotates_by_itself_and_tells_the_record(tmp_path: Path) -> None:
    async def story() -> tuple[list[tuple[KeyState, ...]], list[tuple[str, str]]]:
        clock = Clock()
        keys, journal = await with_changes(tmp_path, clock)
        schedule, found = Schedule(90 * DAY_SECONDS), []
        async with journal:
            for days in (0, 59, 1, 22, 1, 2):
                clock.now += days * DAY_SECONDS
                for plane in Plane:
                    await keys.keep(plane, schedule)
                ring = keys.planes[Plane.DATA].keyring
                found.append(tuple(key.state for key in ring.keys if key.is_trusted(clock.now)))
        told = [one.payload for one in read(tmp_path / "journal") if one.kind == "change"]
        mine = [one for one in told if str(one["what"]).startswith("key.")]
        return found, [(str(one["what"]), str(one["who"]["id"])) for one in mine]

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
        keys, journal = await with_changes(tmp_path, clock)
        failures: list[str] = []
        clock.now += 60 * DAY_SECONDS
        async with journal:
            blocker = tmp_path / "data.json.new"
            blocker.mkdir()
            schedule = Schedule(90 * DAY_SECONDS)
            following = asyncio.ensure_future(
                keys.follow(schedule, lambda error: failures.append(type(error).__name__))
            )
            control = keys.planes[Plane.CONTROL]
            await until(lambda: len(control.keyring.keys) == 2)
            following.cancel()
            blocker.rmdir()
            await keys.keep(Plane.DATA, schedule)
        return failures, len(keys.planes[Plane.DATA].keyring.keys)

    failures, count = asyncio.run(story())

    assert failures == ["IsADirectoryError"]
    assert count == 2


def test_nothing_changes_that_cannot_be_recorded(tmp_path: Path) -> None:
    async def story() -> bool:
        keys, journal = await with_changes(tmp_path, Clock())
        before = keys.planes[Plane.DATA].keyring
        async with journal:
            pass
        author = Author({"type": "User", "id": "admin"}, "User:admin")
        with pytest.raises(UnrecordedError):
            await keys.rotate(Plane.DATA, None, author)
        return keys.planes[Plane.DATA].keyring == before

    assert asyncio.run(story())
