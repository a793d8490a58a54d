"""The ledger of credentials, on each kind of database that there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from sqlmodel import select

from storage.credentials import (
    MOST_OF_A_KIND,
    Credential,
    CredentialKnownError,
    CredentialLedger,
    SpentAssertionRow,
    TooManyCredentialsError,
)
from storage.engine import Database
from storage.errors import TextRefusedError
from tests.storage.state.conftest import place, postgres, served, used
from tests.storage.state.places import Place, opened

__all__ = ["place", "postgres", "served", "used"]

ONE = Credential("id-1", "ci", "secret", "ab" * 32, 1_000.0, "User:admin", 2_000.0)
KEY = replace(
    ONE, id="id-2", kind="key", content='{"kty":"OKP"}', created_at=1_001.0, expires_at=None
)
T = TypeVar("T")


@dataclass
class Kept:
    database: Database
    ledger: CredentialLedger
    now: float = 1_500.0


def using(place: Place, story: Callable[[Kept], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(place) as database:
            kept = Kept(database, CredentialLedger(database, lambda: kept.now))
            return await story(kept)

    return asyncio.run(run())


def test_credentials_are_found_as_they_were_added_the_oldest_first(place: Place) -> None:
    async def story(kept: Kept) -> None:
        await kept.ledger.add(KEY)
        await kept.ledger.add(ONE)
        await kept.ledger.add(replace(ONE, id="id-3", client="other"))

    using(place, story)

    assert using(place, lambda kept: kept.ledger.of("ci")) == [ONE, KEY]
    assert using(place, lambda kept: kept.ledger.of("nobody")) == []
    assert using(place, lambda kept: kept.ledger.of("nul\0")) == []


def test_the_first_credential_of_a_client_makes_its_identity(place: Place) -> None:
    async def story(kept: Kept) -> None:
        await kept.ledger.add(ONE)
        await kept.ledger.add(KEY)

    using(place, story)

    assert place.ask("SELECT type, name, created_by FROM identities") == [
        ("Client", "ci", "User:admin")
    ]


def test_credentials_end_with_their_client(place: Place) -> None:
    async def story(kept: Kept) -> None:
        await kept.ledger.add(ONE)
        await kept.ledger.add(replace(ONE, id="id-3", client="other"))

    async def deleted(kept: Kept) -> list[list[Credential]]:
        async with kept.database.changing() as session:
            connection = await session.connection()
            await connection.exec_driver_sql("DELETE FROM identities WHERE name = 'ci'")
        return [await kept.ledger.of(name) for name in ("ci", "other")]

    using(place, story)

    assert using(place, deleted) == [[], [replace(ONE, id="id-3", client="other")]]


def test_the_same_credential_is_kept_once(place: Place) -> None:
    async def story(kept: Kept) -> list[Credential]:
        await kept.ledger.add(KEY)
        with pytest.raises(CredentialKnownError):
            await kept.ledger.add(replace(KEY, id="id-9"))
        await kept.ledger.add(replace(KEY, id="id-9", client="other"))
        return await kept.ledger.of("ci")

    assert using(place, story) == [KEY]


def test_a_client_has_so_many_of_a_kind_and_expired_ones_make_room(place: Place) -> None:
    async def story(kept: Kept) -> list[str]:
        for number in range(MOST_OF_A_KIND):
            await kept.ledger.add(replace(ONE, id=f"s{number}", content=f"{number}"))
        await kept.ledger.add(KEY)
        with pytest.raises(TooManyCredentialsError):
            await kept.ledger.add(replace(ONE, id="more", content="more"))
        kept.now = 2_000.0
        await kept.ledger.add(replace(ONE, id="more", content="more", expires_at=None))
        return [one.id for one in await kept.ledger.of("ci")]

    assert using(place, story) == ["more", "id-2"]


def test_a_credential_is_good_to_the_moment_it_expires() -> None:
    assert ONE.is_good(1_999.9)
    assert not ONE.is_good(2_000.0)
    assert KEY.is_good(10.0**12)


def test_only_the_clients_own_credential_is_removed(place: Place) -> None:
    async def story(kept: Kept) -> list[list[Credential]]:
        await kept.ledger.add(ONE)
        found = []
        for client, id_ in (("other", ONE.id), ("ci", "nul\0"), ("ci", "none"), ("ci", ONE.id)):
            await kept.ledger.remove(client, id_)
            found.append(await kept.ledger.of("ci"))
        return found

    assert using(place, story) == [[ONE], [ONE], [ONE], []]


def test_an_assertion_is_spent_once_whoever_else_tries_at_the_same_time(place: Place) -> None:
    async def story(kept: Kept) -> tuple[list[bool], list[bool]]:
        other = CredentialLedger(kept.database, lambda: kept.now)
        both = [one.spend("ci", "a", 2_000.0) for one in (kept.ledger, other) * 5]
        first = list(await asyncio.gather(*both))
        return first, [await kept.ledger.spend("other", "a", 2_000.0)]

    first, other = using(place, story)

    assert sorted(first) == [False] * 9 + [True]
    assert other == [True]
    assert using(place, lambda kept: kept.ledger.spend("ci", "a", 2_000.0)) is False


def test_what_cannot_be_used_again_anyway_is_forgotten(place: Place) -> None:
    async def story(kept: Kept) -> list[float]:
        await kept.ledger.spend("ci", "a", 1_600.0)
        await kept.ledger.spend("ci", "b", 1_700.0)
        kept.now = 1_600.0
        await kept.ledger.spend("ci", "c", 1_800.0)
        async with kept.database.reading() as session:
            return sorted(await session.exec(select(SpentAssertionRow.expires_at)))

    assert using(place, story) == [1_700.0, 1_800.0]


@pytest.mark.parametrize(
    "wrong", [{"client": "a\0"}, {"content": "\ud800"}, {"created_by": "\0"}, {"id": "x" * 9_000}]
)
def test_what_no_database_can_keep_is_refused(place: Place, wrong: dict[str, str]) -> None:
    async def story(kept: Kept) -> None:
        with pytest.raises(TextRefusedError):
            await kept.ledger.add(replace(ONE, **wrong))  # type: ignore[arg-type]

    using(place, story)
