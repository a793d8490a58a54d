"""The keyring that processes share: changed by one at a time, on what it was planned on (T10)."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest

from proxy.identity.keptring import KeptKeyring, KeyringChangedError, Plan
from proxy.identity.keyring import KeyringError, KeyState, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, Secret
from storage.secrets import SecretLedger
from tests.identity.sharing import told
from tests.identity.workshop import MASTER, NOW, Clock, encoded
from tests.storage.state.places import Place

OTHER_MASTER = MasterKey(Secret(bytes(32)))
NAME = "keyring:data"


async def opened(
    secrets: SecretLedger, plane: Plane = Plane.DATA, master: MasterKey = MASTER
) -> KeptKeyring:
    return await KeptKeyring.opened(secrets, plane, master, Clock())


async def rotate(ring: KeptKeyring, algorithm: Algorithm | None = None) -> None:
    await ring.write(ring.plan_rotation(algorithm))


def states(ring: KeptKeyring) -> list[KeyState]:
    return [key.state for key in ring.keyring.keys]


def test_what_is_kept_holds_no_private_key(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> tuple[bytes, str | None]:
        ring = await opened(secrets)
        return ring.signing_key().private_bytes().reveal(), await secrets.read(NAME)

    private, content = told(place, story)

    assert content is not None
    assert not any(encoded(private[-size:]) in content for size in (32, 48))
    assert private[-32:].hex() not in content


def test_what_was_changed_is_there_when_it_is_opened_again(place: Place) -> None:
    async def story(here: SecretLedger, there: SecretLedger) -> None:
        ring = await opened(here)
        await ring.write(ring.plan_preparation())
        await rotate(ring)
        await ring.write(ring.plan_preparation())
        again = await opened(there)
        assert again.keyring == ring.keyring
        assert again.signing_key().key_id == ring.signing_key().key_id
        assert states(again) == [KeyState.RETIRED, KeyState.ACTIVE, KeyState.PREPARED]

    told(place, story)


def test_a_rotation_changes_the_key_that_signs(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        ring = await opened(secrets)
        before = ring.signing_key().key_id
        await rotate(ring)
        assert ring.signing_key().key_id != before
        assert ring.keyring.keys[0].ends_at == NOW + 86_400 + 30

    told(place, story)


def test_a_revoked_active_key_has_a_successor_at_once(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        ring = await opened(secrets)
        before = ring.signing_key().key_id
        await ring.write(ring.plan_revocation(before))
        now = ring.signing_key().key_id
        assert now != before
        assert {key.key_id for key in ring.keyring.trusted(NOW)} == {now}

    told(place, story)


def test_a_plan_changes_nothing_by_itself_nor_does_one_that_is_refused(place: Place) -> None:
    async def story(here: SecretLedger, there: SecretLedger) -> None:
        ring = await opened(here)
        before, kept = ring.keyring, await here.read(NAME)
        key_id = ring.signing_key().key_id
        plans = [ring.plan_preparation(), ring.plan_rotation(), ring.plan_revocation(key_id)]
        assert all(plan.before == before != plan.after for plan in plans)
        with pytest.raises(KeyringError):
            ring.plan_revocation("none")
        assert (ring.keyring, (await opened(there)).keyring) == (before, before)
        assert await there.read(NAME) == kept
        await ring.write(plans[0])
        with pytest.raises(KeyringError):
            ring.plan_preparation()

    told(place, story)


def test_another_process_sees_a_change_when_it_reads_again(place: Place) -> None:
    async def story(*both: SecretLedger) -> None:
        here, there = [await opened(one) for one in both]
        await rotate(there)
        assert here.signing_key().key_id != there.signing_key().key_id
        assert await here.reload()
        assert here.signing_key().key_id == there.signing_key().key_id
        assert not await here.reload()

    told(place, story)


def test_a_change_planned_on_what_is_no_more_is_not_made(place: Place) -> None:
    async def story(*both: SecretLedger) -> None:
        here, there = [await opened(one) for one in both]
        plan = here.plan_rotation()
        await rotate(there)
        kept = await both[0].read(NAME)
        with pytest.raises(KeyringChangedError):
            await here.write(plan)
        await here.reload()
        with pytest.raises(KeyringChangedError):
            await here.write(plan)
        assert await both[0].read(NAME) == kept
        assert here.keyring == there.keyring

    told(place, story)


def test_the_next_key_is_of_the_kind_that_signs_until_another_is_asked_for(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        ring = await opened(secrets)
        await rotate(ring, Algorithm.ES256)
        await rotate(ring)
        assert ring.signing_key().algorithm is Algorithm.ES256
        await ring.write(ring.plan_preparation())
        await rotate(ring, Algorithm.EDDSA)
        assert ring.signing_key().algorithm is Algorithm.EDDSA
        assert ring.keyring.in_state(KeyState.PREPARED) is None
        await ring.write(ring.plan_preparation())
        waiting = ring.keyring.in_state(KeyState.PREPARED)
        assert waiting is not None
        await rotate(ring, Algorithm.EDDSA)
        assert ring.signing_key().key_id == waiting.key_id

    told(place, story)


def test_changes_of_several_processes_are_all_kept(place: Place) -> None:
    async def often(secrets: SecretLedger) -> None:
        ring = await opened(secrets)
        done = 0
        while done < 5:
            with suppress(KeyringChangedError):
                await rotate(ring)
                done += 1
            await ring.reload()

    async def story(*all_: SecretLedger) -> list[KeyState]:
        await asyncio.gather(*map(often, all_))
        return states(await opened(all_[0]))

    assert told(place, story, 4) == [KeyState.RETIRED] * 20 + [KeyState.ACTIVE]


def test_processes_that_begin_at_once_have_the_same_keys(place: Place) -> None:
    async def story(*all_: SecretLedger) -> None:
        rings = await asyncio.gather(*map(opened, all_))
        assert len({ring.keyring for ring in rings}) == 1
        assert len({ring.signing_key().key_id for ring in rings}) == 1
        assert states(rings[0]) == [KeyState.ACTIVE]

    told(place, story, 5)


def test_whoever_gives_up_leaves_a_change_whole_or_undone(place: Place) -> None:
    async def story(here: SecretLedger, there: SecretLedger) -> None:
        ring, plans = await opened(here), list[Plan]()
        for turns in range(12):
            await ring.reload()
            plans.append(ring.plan_rotation())
            going = asyncio.ensure_future(ring.write(plans[-1]))
            for _ in range(turns):
                await asyncio.sleep(0)
            going.cancel()
            with suppress(asyncio.CancelledError):
                await going
            found = (await opened(there)).keyring
            assert found in {plans[-1].before, plans[-1].after}

    told(place, story)


def test_a_wrong_master_key_is_an_error_that_changes_nothing(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        await opened(secrets)
        before = await secrets.read(NAME)
        with pytest.raises(MasterKeyError, match="Put the right master key back"):
            await opened(secrets, master=OTHER_MASTER)
        assert await secrets.read(NAME) == before

    told(place, story)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"master": 1}', "é", "null"])
def test_what_is_no_keyring_is_never_replaced_by_a_new_one(place: Place, content: str) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        ring = await opened(secrets)
        before = ring.keyring
        await secrets.replace(NAME, await secrets.read(NAME), content)
        for again in (opened(secrets), ring.reload()):
            with pytest.raises((DamagedError, MasterKeyError)):
                await again
        with pytest.raises(KeyringChangedError):
            await rotate(ring)
        assert await secrets.read(NAME) == content
        assert ring.keyring == before
        assert ring.signing_key()

    told(place, story)


def test_a_keyring_that_is_gone_is_an_error_and_no_new_one(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        ring = await opened(secrets)
        await secrets.replace(NAME, await secrets.read(NAME), None)
        with pytest.raises(DamagedError):
            await ring.reload()
        with pytest.raises(KeyringChangedError):
            await rotate(ring)
        assert await secrets.read(NAME) is None

    told(place, story)


@pytest.mark.parametrize("field", ["plane", "keys", "mark", "version"])
def test_a_keyring_that_was_changed_or_is_the_other_planes_is_refused(
    place: Place, field: str
) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        await opened(secrets)
        kept = await secrets.read(NAME)
        assert kept is not None
        await secrets.replace("keyring:control", None, kept)
        with pytest.raises(DamagedError):
            await opened(secrets, Plane.CONTROL)
        record = json.loads(kept)
        record[field] = {"plane": "control", "keys": [], "mark": "0" * 64, "version": 2}[field]
        await secrets.replace(NAME, kept, json.dumps(record))
        with pytest.raises(DamagedError):
            await opened(secrets)

    told(place, story)
