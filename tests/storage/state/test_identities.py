"""Identities in the database: one for each name of a type, listed by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from storage.engine import open_database
from storage.identities import IdentityKnownError, IdentityLedger
from tests.storage.state.places import Place

T = TypeVar("T")


def kept(place: Place, story: Callable[[IdentityLedger], Awaitable[T]]) -> T:
    async def run() -> T:
        database = await open_database(place.url)
        try:
            return await story(IdentityLedger(database, lambda: 7.5))
        finally:
            await database.close()

    return asyncio.run(run())


def test_an_identity_is_kept_described_and_forgotten(place: Place) -> None:
    async def story(ledger: IdentityLedger) -> list[object]:
        made = await ledger.create("Client", "bot", "Builds.", "User:admin")
        await ledger.describe("Client", "bot", "Tests.")
        changed = await ledger.find("Client", "bot")
        await ledger.forget("Client", "bot")
        await ledger.describe("Client", "bot", "Nothing.")
        await ledger.forget("Client", "bot")
        return [made, changed, await ledger.find("Client", "bot")]

    made, changed, gone = kept(place, story)

    assert repr(made) == (
        "Identity(type='Client', name='bot', description='Builds.', created_at=7.5, "
        "created_by='User:admin')"
    )
    assert repr(changed) == repr(made).replace("Builds.", "Tests.")
    assert gone is None


def test_a_name_is_one_of_its_type_however_many_want_it_at_once(place: Place) -> None:
    async def story(ledger: IdentityLedger) -> list[object]:
        wanted = (ledger.create("User", "ann", str(number), "") for number in range(5))
        found: list[object] = await asyncio.gather(*wanted, return_exceptions=True)
        await ledger.create("Team", "ann", "", "")
        return found

    found = kept(place, story)

    assert sum(isinstance(one, IdentityKnownError) for one in found) == 4


@pytest.mark.parametrize(
    ("contains", "names"),
    [
        ("", ["A_1", "a-2", "ab", "b%"]),
        ("A", ["A_1", "a-2", "ab"]),
        ("_", ["A_1"]),
        ("%", ["b%"]),
        ("x", []),
    ],
)
def test_what_is_listed_has_the_text_in_its_name_and_nothing_like_it(
    place: Place, contains: str, names: list[str]
) -> None:
    async def story(ledger: IdentityLedger) -> tuple[list[str], list[str]]:
        for name in ("ab", "A_1", "b%", "a-2"):
            await ledger.create("Client", name, "", "")
        await ledger.create("User", "A_1", "", "")
        whole = [one.name for one in await ledger.listed("Client", contains=contains)]
        paged: list[str] = []
        after = None
        while page := await ledger.listed("Client", contains=contains, limit=2, after=after):
            paged += [one.name for one in page]
            after = page[-1].name
        return whole, paged

    whole, paged = kept(place, story)

    assert sorted(whole) == names
    assert paged == whole


def test_who_is_unknown_is_told_in_the_order_of_asking(place: Place) -> None:
    async def story(ledger: IdentityLedger) -> list[list[str]]:
        await ledger.create("Team", "ops", "", "")
        await ledger.create("User", "dev", "", "")
        return [await ledger.unknown("Team", names) for names in (("z", "ops", "dev"), ())]

    assert kept(place, story) == [["z", "dev"], []]
