"""Opaque tokens in the database: one owner each, and as long as he is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import pytest

from storage.credentials import (
    MOST_OF_A_KIND,
    Credential,
    CredentialLedger,
    TooManyCredentialsError,
)
from storage.engine import Database
from storage.errors import TextRefusedError
from storage.identities import IdentityLedger
from storage.opaque import (
    OpaqueLedger,
    OpaqueToken,
    OpaqueTokenTakenError,
    OwnerUnknownError,
)
from storage.versions import version_of
from tests.storage.state.places import Place, opened

BOT = OpaqueToken("t1", "Client", "bot", "aa" * 32, 1_000.5, "User:admin")
NEXT = replace(BOT, id="t2", mark="bb" * 32, created_at=1_001.5, expires_at=9_000)
ANN = replace(BOT, id="t3", owner_type="User", owner="ann", mark="cc" * 32, created_at=1_002.5)
T = TypeVar("T")


@dataclass
class Kept:
    database: Database
    ledger: OpaqueLedger
    identities: IdentityLedger
    now: float = 2_000.0

    async def version(self) -> int:
        async with self.database.reading() as session:
            return await version_of(session, "credentials")

    async def give(self, token: OpaqueToken, until: float = 0.0) -> None:
        await self.ledger.replace(token.owner_type, token.owner, token, until)


def using(place: Place, story: Callable[[Kept], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(place) as database:

            def now() -> float:
                return kept.now

            kept = Kept(database, OpaqueLedger(database, now), IdentityLedger(database, now))
            if await kept.identities.find("Client", "bot") is None:
                await kept.identities.create("Client", "bot", "", "", BOT)
                await kept.identities.create("User", "ann", "", "")
            return await story(kept)

    return asyncio.run(run())


def test_all_tokens_are_found_as_they_were_given_the_oldest_first(place: Place) -> None:
    async def story(kept: Kept) -> None:
        await kept.give(ANN)
        await kept.give(NEXT, until=9_500)

    using(place, story)

    found = using(place, lambda kept: kept.ledger.all())
    assert found == [replace(BOT, expires_at=9_500), NEXT, ANN]
    assert BOT.mark not in repr(found)


def test_no_two_have_one_token_and_nobody_is_made_without_the_one_he_should_have(
    place: Place,
) -> None:
    async def story(kept: Kept) -> list[OpaqueToken]:
        same = replace(ANN, mark=BOT.mark)
        with pytest.raises(OpaqueTokenTakenError):
            await kept.give(same)
        with pytest.raises(OpaqueTokenTakenError):
            await kept.identities.create("Client", "new", "", "", replace(same, owner="new"))
        assert await kept.identities.find("Client", "new") is None
        return await kept.ledger.all()

    assert using(place, story) == [BOT]


def test_one_of_many_processes_gets_a_token_that_all_want(place: Place) -> None:
    async def story(kept: Kept) -> tuple[list[object], list[OpaqueToken]]:
        names = [f"c{number}" for number in range(4)]
        for name in names:
            await kept.identities.create("Client", name, "", "")
        async with opened(place) as second, opened(place) as third:
            ledgers = [OpaqueLedger(one, lambda: kept.now) for one in (second, third)] * 2
            wanted = [
                ledger.replace("Client", name, replace(NEXT, id=name, owner=name), 0)
                for ledger, name in zip(ledgers, names, strict=True)
            ]
            results: list[object] = await asyncio.gather(*wanted, return_exceptions=True)
        return results, await kept.ledger.all()

    results, found = using(place, story)

    assert results.count(None) == 1
    assert sum(isinstance(one, OpaqueTokenTakenError) for one in results) == 3
    assert len(found) == 2


def test_the_token_before_ends_now_or_when_it_would_have_anyway_or_with_the_overlap(
    place: Place,
) -> None:
    async def story(kept: Kept) -> list[list[tuple[str, int | None]]]:
        seen = []
        for token, until in ((NEXT, 5_000), (replace(NEXT, id="t4", mark="dd"), 7_000), (None, 0)):
            await kept.ledger.replace("Client", "bot", token, until)
            seen.append([(one.id, one.expires_at) for one in await kept.ledger.all()])
        return seen

    assert using(place, story) == [
        [("t1", 5_000), ("t2", 9_000)],
        [("t1", 5_000), ("t2", 7_000), ("t4", 9_000)],
        [],
    ]


def test_a_token_that_ended_is_not_told_and_may_be_given_to_somebody_else(place: Place) -> None:
    async def story(kept: Kept) -> list[list[OpaqueToken]]:
        await kept.give(NEXT)
        kept.now = 9_000
        ended = await kept.ledger.all()
        await kept.give(replace(ANN, mark=NEXT.mark))
        return [ended, await kept.ledger.all()]

    assert using(place, story) == [[], [replace(ANN, mark=NEXT.mark)]]


def test_an_owner_has_so_many_tokens(place: Place) -> None:
    async def story(kept: Kept) -> None:
        for number in range(MOST_OF_A_KIND - 1):
            await kept.give(replace(BOT, id=f"n{number}", mark=f"{number}"), until=9_000)
        with pytest.raises(TooManyCredentialsError):
            await kept.give(NEXT, until=9_000)
        await kept.give(NEXT)
        assert await kept.ledger.all() == [NEXT]

    using(place, story)


def test_tokens_end_with_their_owner_and_other_processes_are_told(place: Place) -> None:
    async def story(kept: Kept) -> list[int]:
        versions = [await kept.version()]
        for change in (
            kept.give(NEXT),
            kept.ledger.end("t2", "unknown"),
            kept.identities.forget("User", "ann"),  # who has none
            kept.give(BOT),
            kept.identities.forget("Client", "bot"),
        ):
            await change
            versions.append(await kept.version())
        assert await kept.ledger.all() == []
        with pytest.raises(OwnerUnknownError):
            await kept.give(BOT)
        return [after - before for before, after in pairwise(versions)]

    assert using(place, story) == [1, 1, 0, 1, 1]


def test_the_ledger_of_credentials_neither_shows_nor_takes_away_tokens(place: Place) -> None:
    secret = Credential("s1", "bot", "secret", "ee" * 32, 1_000.0, "User:admin", None)

    async def story(kept: Kept) -> tuple[list[Credential], list[OpaqueToken]]:
        credentials = CredentialLedger(kept.database, lambda: kept.now)
        await credentials.add(secret)
        await credentials.remove("bot", BOT.id)
        await kept.ledger.end(secret.id)
        return await credentials.of("bot"), await kept.ledger.all()

    assert using(place, story) == ([secret], [BOT])


@pytest.mark.parametrize("wrong", [{"id": "x" * 9_000}, {"mark": "\0"}, {"created_by": "\ud800"}])
def test_what_no_database_can_keep_is_refused(place: Place, wrong: dict[str, str]) -> None:
    async def story(kept: Kept) -> None:
        with pytest.raises(TextRefusedError):
            await kept.give(replace(NEXT, **wrong))  # type: ignore[arg-type]

    using(place, story)
