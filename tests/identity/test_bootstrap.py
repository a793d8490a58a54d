"""The one-time secret, shared by all processes and good in one of them."""

from __future__ import annotations

import asyncio

import pytest

from proxy.identity.bootstrap import Bootstrap
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, Secret
from storage.secrets import SecretLedger
from tests.identity.sharing import told
from tests.identity.workshop import MASTER
from tests.storage.state.places import Place

OTHER = MasterKey(Secret(bytes(32)))


async def begun(secrets: SecretLedger) -> str:
    return (await Bootstrap(secrets, MASTER).begin()).reveal().decode()


def test_what_is_kept_does_not_show_the_secret(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> tuple[str, str | None, str]:
        secret = await begun(secrets)
        kept = await secrets.read("bootstrap")
        return secret, kept, repr(await Bootstrap(secrets, MASTER).begin())

    secret, kept, shown = told(place, story)

    assert kept is not None
    assert secret not in kept + shown


def test_a_secret_is_spent_once_by_whichever_process(place: Place) -> None:
    async def story(here: SecretLedger, there: SecretLedger) -> list[bool]:
        secret = await begun(here)
        one, other = Bootstrap(here, MASTER), Bootstrap(there, MASTER)
        return [
            await other.is_open(),
            await other.spend(secret),
            await one.spend(secret),
            await one.is_open(),
        ]

    assert told(place, story) == [True, True, False, False]


def test_of_many_processes_one_spends_the_secret(place: Place) -> None:
    async def story(*all_: SecretLedger) -> None:
        for _ in range(5):
            secret = await begun(all_[0])
            tries = (Bootstrap(one, MASTER).spend(secret) for one in all_)
            assert (await asyncio.gather(*tries)).count(True) == 1

    told(place, story, 4)


def test_of_many_processes_that_start_first_one_has_a_secret_and_it_is_the_good_one(
    place: Place,
) -> None:
    async def story(*all_: SecretLedger) -> None:
        tries = [Bootstrap(one, MASTER).begin_first() for one in all_]
        (found,) = [one for one in await asyncio.gather(*tries) if one is not None]
        assert await Bootstrap(all_[0], MASTER).spend(found.reveal().decode())
        assert await Bootstrap(all_[0], MASTER).begin_first() is None

    told(place, story, 5)


def test_a_new_secret_ends_the_one_that_waited(place: Place) -> None:
    async def story(here: SecretLedger, there: SecretLedger) -> list[bool]:
        first, second = await begun(here), await begun(there)
        one = Bootstrap(here, MASTER)
        return [await one.spend(first), await one.is_open(), await one.spend(second)]

    assert told(place, story) == [False, True, True]


def test_secrets_begun_and_spent_all_at_once_are_each_good_at_most_once(place: Place) -> None:
    async def story(*all_: SecretLedger) -> None:
        first = await begun(all_[0])
        done = await asyncio.gather(
            *(Bootstrap(one, MASTER).spend(first) for one in all_), *(begun(one) for one in all_)
        )
        spent, secrets = done[: len(all_)], done[len(all_) :]
        assert spent.count(True) <= 1
        tries = [await Bootstrap(all_[0], MASTER).spend(str(one)) for one in secrets]
        assert tries.count(True) == 1

    told(place, story, 3)


@pytest.mark.parametrize("damage", ["", "é", "0" * 64, "v1.x.y"])
def test_what_was_put_there_without_the_master_key_lets_nobody_in(
    place: Place, damage: str
) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> None:
        secret = await begun(secrets)
        await secrets.replace("bootstrap", await secrets.read("bootstrap"), damage)
        for shown in (secret, damage, ""):
            with pytest.raises((DamagedError, MasterKeyError)):
                await Bootstrap(secrets, MASTER).spend(shown)

    told(place, story)


def test_a_secret_under_another_master_key_is_not_spent(place: Place) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> bool:
        secret = await begun(secrets)
        with pytest.raises(MasterKeyError):
            await Bootstrap(secrets, OTHER).spend(secret)
        return await Bootstrap(secrets, MASTER).spend(secret)

    assert told(place, story)


@pytest.mark.parametrize("shown", ["", "spent", "\ud800", "x" * 256])
def test_whatever_is_shown_is_no_fault(place: Place, shown: str) -> None:
    async def story(secrets: SecretLedger, _: SecretLedger) -> list[bool]:
        one = Bootstrap(secrets, MASTER)
        found = [await one.spend(shown)]
        secret = await begun(secrets)
        found += [await one.spend(shown), await one.spend(secret), await one.spend(shown)]
        return found

    assert told(place, story) == [False, False, True, False]
