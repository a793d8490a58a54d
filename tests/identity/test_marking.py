"""How secrets of clients are known again, and everything kept under another master key (T09)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from string import ascii_uppercase

import pytest

from proxy.identity.bootstrap import Bootstrap
from proxy.identity.checkpointing import checkpoint_signer
from proxy.identity.keptring import KeptKeyring, KeyringChangedError, read_keyring
from proxy.identity.keyring import KeyState, Plane
from proxy.identity.marking import Marks, marking_key, open_marking_key
from proxy.identity.rekeying import rekey
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, Secret
from storage.secrets import SecretLedger
from tests.identity.sharing import told
from tests.identity.workshop import MASTER, Clock
from tests.storage.state.places import Place

OTHER = MasterKey(Secret(bytes(32)))
THIRD = MasterKey(Secret(b"3" * 32))


def test_a_secret_is_known_by_its_mark_under_one_key_alone() -> None:
    marks, others = Marks(Secret(b"a" * 32)), Marks(Secret(b"b" * 32))
    secret = marks.new_secret().reveal().decode()

    assert marks.mark(secret) == marks.mark(secret)
    assert len({marks.mark(secret), marks.mark(secret + "x"), others.mark(secret)}) == 3
    assert secret not in marks.mark(secret)
    assert len({marks.new_secret().reveal() for _ in range(100)}) == 100


@pytest.mark.parametrize("odd", ["", "\0", "\ud800", "x" * 10_000])
def test_whatever_is_shown_has_a_mark(odd: str) -> None:
    assert len(Marks(Secret(b"a" * 32)).mark(odd)) == 64


def test_the_key_is_the_same_for_all_who_begin_at_once_and_is_kept_sealed(place: Place) -> None:
    async def story(*all_: SecretLedger) -> tuple[set[bytes], str | None]:
        keys = await asyncio.gather(*(marking_key(one, MASTER) for one in all_))
        again = await marking_key(all_[0], MASTER)
        return {one.reveal() for one in (*keys, again)}, await all_[0].read("marking")

    keys, kept = told(place, story, 4)

    assert len(keys) == 1
    assert kept is not None
    assert keys.pop().hex() not in kept


def test_a_key_that_was_changed_or_is_anothers_is_refused(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        await marking_key(secrets, MASTER)
        kept = await secrets.read("marking")
        assert kept is not None
        with pytest.raises(MasterKeyError):
            await marking_key(secrets, OTHER)
        for damage in (kept[:-4] + "AAAA", ""):
            await secrets.replace("marking", await secrets.read("marking"), damage)
            with pytest.raises(DamagedError):
                await marking_key(secrets, MASTER)

    told(place, story)


NAMES = ("bootstrap", "checkpoint", "keyring:control", "keyring:data", "marking", "upstream:up")
UPSTREAM = Secret(b'{"bearer": "b"}')


class Kept:
    """All that a gateway keeps under its master key."""

    def __init__(self, secrets: SecretLedger) -> None:
        self.secrets = secrets

    async def begin(self) -> None:
        for plane in Plane:
            ring = await KeptKeyring.opened(self.secrets, plane, MASTER, Clock())
            await ring.write(ring.plan_rotation())
            await ring.write(ring.plan_preparation())
        self.key = (await marking_key(self.secrets, MASTER)).reveal()
        self.signs = (await checkpoint_signer(self.secrets, MASTER)).key
        self.bootstrap = (await Bootstrap(self.secrets, MASTER).begin()).reveal().decode()
        sealed = MASTER.seal("upstream", UPSTREAM, b"upstream:up")
        await self.put("upstream:up", sealed)
        await self.put("mode", "enterprise")

    async def put(self, name: str, content: str | None) -> None:
        await self.secrets.replace(name, await self.secrets.read(name), content)

    async def rekey(self, old: MasterKey = MASTER, new: MasterKey = OTHER) -> list[str]:
        return await rekey(self.secrets, old, new)

    async def contents(self) -> Mapping[str, str]:
        return await self.secrets.all()


async def kept_in(secrets: SecretLedger) -> Kept:
    kept = Kept(secrets)
    await kept.begin()
    return kept


def test_under_a_new_master_key_everything_is_as_it_was(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        kept = await kept_in(secrets)
        old = await kept.contents()
        assert await kept.rekey() == list(NAMES)
        new = await kept.contents()
        for plane in Plane:
            name = f"keyring:{plane.value}"
            before, after = (
                read_keyring(old[name], plane, MASTER),
                read_keyring(new[name], plane, OTHER),
            )
            assert after.jwks(0) == before.jwks(0)
            assert [key.state for key in after.keys] == [key.state for key in before.keys]
            keys = after.signing_key(OTHER), before.signing_key(MASTER)
            assert len({key.private_bytes().reveal() for key in keys}) == 1
            prepared = before.in_state(KeyState.PREPARED)
            assert prepared is not None
            assert after.rotate(0, 0).signing_key(OTHER).key_id == prepared.key_id
            with pytest.raises(MasterKeyError):
                read_keyring(new[name], plane, MASTER)
        assert open_marking_key(new["marking"], OTHER).reveal() == kept.key
        assert (await checkpoint_signer(secrets, OTHER)).key == kept.signs
        opened = OTHER.open("upstream", new["upstream:up"], b"upstream:up")
        assert opened.reveal() == UPSTREAM.reveal()
        assert new["mode"] == "enterprise"
        assert await Bootstrap(secrets, OTHER).spend(kept.bootstrap)
        assert await kept.rekey(OTHER, THIRD) == [name for name in NAMES if name != "bootstrap"]

    told(place, story)


def test_whoever_was_interrupted_does_it_again(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        kept = await kept_in(secrets)
        before = await kept.contents()
        await kept.rekey()
        for done in range(len(NAMES)):
            for name in NAMES[done:]:
                await kept.put(name, before[name])
            assert await kept.rekey() == list(NAMES[done:])
            assert await kept.rekey() == []

    told(place, story)


ROTATED = str.maketrans(ascii_uppercase, ascii_uppercase[1:] + "A")
"""Of sealed text, which is random, hardly any is the same in these letters."""


@pytest.mark.parametrize("name", [*NAMES, "something:else"])
def test_where_one_secret_cannot_be_read_none_is_changed(place: Place, name: str) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        kept = await kept_in(secrets)
        await kept.put(name, (await kept.contents()).get(name, "ABC").translate(ROTATED))
        before = await kept.contents()
        with pytest.raises((DamagedError, MasterKeyError)):
            await kept.rekey()
        assert await kept.contents() == before

    told(place, story)


def test_a_wrong_old_master_key_changes_nothing(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        kept = await kept_in(secrets)
        before = await kept.contents()
        with pytest.raises(MasterKeyError):
            await kept.rekey(THIRD)
        assert await kept.contents() == before

    told(place, story)


def test_where_a_gateway_changes_a_key_meanwhile_nothing_is_sealed_anew(place: Place) -> None:
    async def story(here: SecretLedger, there: SecretLedger) -> None:
        kept = await kept_in(here)
        ring = await KeptKeyring.opened(there, Plane.DATA, MASTER, Clock())
        done = await asyncio.gather(
            kept.rekey(), ring.write(ring.plan_rotation()), return_exceptions=True
        )
        lost = [type(one) for one in done if isinstance(one, Exception)]
        assert lost in ([], [KeyringChangedError])
        under = OTHER if done[0] and not isinstance(done[0], Exception) else MASTER
        contents = await kept.contents()
        for plane in Plane:
            read_keyring(contents[f"keyring:{plane.value}"], plane, under)

    told(place, story)


def test_what_is_not_there_is_left_out(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        kept = await kept_in(secrets)
        await kept.put("marking", None)
        assert await kept.rekey() == [name for name in NAMES if name != "marking"]
        assert await secrets.read("marking") is None

    told(place, story)
