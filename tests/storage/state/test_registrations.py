"""Registered servers: kept whole with what is secret of them, changed by one writer alone."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from storage.definitions import DefinitionLedger, Seen
from storage.errors import TextRefusedError
from storage.registrations import (
    Registration,
    RegistrationChangedError,
    RegistrationKnownError,
    RegistrationLedger,
)
from storage.secrets import SecretLedger
from storage.tasks import OwnedTask, TaskLedger
from tests.storage.state.places import Place, opened, ticking

SEEN = Seen("tool", "echo", "a" * 64, {"name": "echo"})


def counted(place: Place) -> dict[str, int]:
    rows = place.ask("SELECT name, value FROM counters WHERE name IN ('servers', 'secrets')")
    return {name: int(value) for name, value in rows}


def test_a_server_is_kept_with_its_secret_and_forgotten_with_it(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            ledger, secrets = (
                RegistrationLedger(database, ticking()),
                SecretLedger(database, ticking()),
            )
            added = await ledger.add("b", "{}", "sealed", "User:ann")
            bare = await ledger.add("a", "{}", None, "User:ann")
            assert list(await ledger.all()) == [bare, added]
            assert await ledger.find("b") == added
            assert await secrets.all() == {"upstream:b": "sealed"}
            changed = await ledger.replace(added, '{"x":1}', None, "User:bob")
            assert changed == dataclasses.replace(
                added,
                settings='{"x":1}',
                sealed=None,
                changed_at=changed.changed_at,
                changed_by="User:bob",
            )
            assert changed == await ledger.find("b")
            assert await secrets.all() == {}
            assert await ledger.remove("b")
            assert not await ledger.remove("b")
            assert await ledger.find("b") is None

    asyncio.run(run())


def test_a_name_is_taken_once_and_a_server_is_changed_as_it_is_alone(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            ledger = RegistrationLedger(database, ticking())
            first = await ledger.add("a", "{}", "one", "it")
            with pytest.raises(RegistrationKnownError):
                await ledger.add("a", "{}", "two", "it")
            second = await ledger.replace(first, "{}", "two", "it")
            for stale in (first, dataclasses.replace(second, sealed=None)):
                with pytest.raises(RegistrationChangedError):
                    await ledger.replace(stale, "{}", "three", "it")
            assert await ledger.find("a") == second
            await ledger.remove("a")
            with pytest.raises(RegistrationChangedError):
                await ledger.replace(second, "{}", "three", "it")

    asyncio.run(run())


def test_of_ten_that_register_one_name_at_once_one_does(place: Place) -> None:
    async def run() -> list[object]:
        async with opened(place) as database, opened(place) as other:
            tries = [
                RegistrationLedger(one, ticking()).add("a", f'"{n}"', f"{n}", "it")
                for n, one in enumerate([database, other] * 5)
            ]
            return list(await asyncio.gather(*tries, return_exceptions=True))

    done = asyncio.run(run())
    assert sum(isinstance(one, Registration) for one in done) == 1
    assert sum(isinstance(one, RegistrationKnownError) for one in done) == 9


def test_whoever_is_registered_again_offers_and_runs_nothing_from_before(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            ledger = RegistrationLedger(database, ticking())
            definitions = DefinitionLedger(database, ticking())
            tasks = TaskLedger(database, ticking())

            async def used(owner: str) -> None:
                (one,) = await definitions.take("a", [SEEN], trust="first")
                assert one.state == "approved"
                assert await tasks.own(OwnedTask("a", "t", owner, "", 10_000))

            await ledger.add("a", "{}", None, "it")
            await used("ann")
            await ledger.remove("a")
            assert await definitions.offered("a") == []
            # Another process that has not heard of it may take the offer once more.
            await definitions.take("a", [SEEN], trust="none")
            await ledger.add("a", "{}", None, "it")
            await used("bob")
            await ledger.forget_offer("a")
            assert len(await definitions.offered("a")) == 1
            await ledger.remove("a")
            await definitions.take("a", [SEEN], trust="none")
            await ledger.forget_offer("a")
            assert await definitions.offered("a") == []

    asyncio.run(run())


def test_others_see_that_servers_and_secrets_changed(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await RegistrationLedger(database, ticking()).add("a", "{}", "sealed", "it")

    asyncio.run(run())
    assert counted(place) == {"servers": 1, "secrets": 1}


@pytest.mark.parametrize(
    ("name", "settings", "sealed"), [("\0", "{}", None), ("a", "\0", None), ("a", "{}", "\ud800")]
)
def test_what_no_database_keeps_is_refused(
    place: Place, name: str, settings: str, sealed: str | None
) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await RegistrationLedger(database, ticking()).add(name, settings, sealed, "it")

    with pytest.raises(TextRefusedError):
        asyncio.run(run())


def test_what_is_secret_does_not_show_in_a_repr() -> None:
    assert "canary" not in repr(Registration("a", "{}", "canary", 1, "it", 1, "it"))
