"""The ledger of tokens: issued once, revoked for good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from sqlmodel import select

from storage.errors import TokenKnownError
from storage.tables import IdentityRow
from storage.tokens import IssuedRecord, RevokedToken, TokenLedger, TokenRecord
from tests.storage.state.places import Place, opened, ticking

DAY = 86_400
ISSUED = IssuedRecord(
    jti="t1",
    plane="data",
    subject="client:ci",
    client_id="ci",
    audience="http://localhost:8080",
    issued_at=1_000,
    expires_at=4_600,
    issued_by="user:alice",
    key_id="k1",
)
T = TypeVar("T")


def using(place: Place, story: Callable[[TokenLedger], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(place) as database:
            return await story(TokenLedger(database, ticking(2_000.5)))

    return asyncio.run(run())


def identities(place: Place) -> list[dict[str, object]]:
    async def run() -> list[dict[str, object]]:
        async with opened(place) as database, database.reading() as session:
            return [row.model_dump() for row in await session.exec(select(IdentityRow))]

    return asyncio.run(run())


def test_a_token_is_found_as_it_was_recorded_after_a_restart(place: Place) -> None:
    using(place, lambda ledger: ledger.record(ISSUED))

    found = using(place, lambda ledger: ledger.find("t1"))

    assert found == TokenRecord(ISSUED, None, None, None)


def test_a_token_that_was_never_issued_is_not_found(place: Place) -> None:
    assert using(place, lambda ledger: ledger.find("t1")) is None


def test_a_token_is_recorded_once(place: Place) -> None:
    async def story(ledger: TokenLedger) -> TokenRecord | None:
        await ledger.record(ISSUED)
        with pytest.raises(TokenKnownError):
            await ledger.record(replace(ISSUED, subject="client:other"))
        return await ledger.find("t1")

    assert using(place, story) == TokenRecord(ISSUED, None, None, None)
    assert [one["name"] for one in identities(place)] == ["ci"]


def test_of_many_who_record_a_token_at_once_one_does(place: Place) -> None:
    async def run() -> list[object]:
        async with opened(place) as first, opened(place) as second:
            ledgers = [TokenLedger(one, ticking()) for one in (first, second)]
            recording = [
                ledgers[number % 2].record(replace(ISSUED, issued_by=f"user:{number}"))
                for number in range(12)
            ]
            return list(await asyncio.gather(*recording, return_exceptions=True))

    outcomes = asyncio.run(run())

    assert outcomes.count(None) == 1
    assert sum(isinstance(one, TokenKnownError) for one in outcomes) == 11
    assert [one["created_by"] for one in identities(place)] == [f"user:{outcomes.index(None)}"]


def test_the_first_token_of_a_subject_makes_its_identity(place: Place) -> None:
    async def story(ledger: TokenLedger) -> None:
        await ledger.record(ISSUED)
        await ledger.record(replace(ISSUED, jti="t2", issued_by="user:bob"))
        await ledger.record(replace(ISSUED, jti="t3", subject="user:ci"))

    using(place, story)

    made = {"description": "", "created_by": "user:alice"}
    assert identities(place) == [
        {"type": "Client", "name": "ci", "created_at": 2_000.5} | made,
        {"type": "User", "name": "ci", "created_at": 2_001.5} | made,
    ]


@pytest.mark.parametrize("subject", ["", "ci", "client:", ":ci", "Client:ci", "team:ci"])
def test_a_subject_that_is_no_client_and_no_user_is_refused(place: Place, subject: str) -> None:
    async def story(ledger: TokenLedger) -> TokenRecord | None:
        with pytest.raises(ValueError, match="subject"):
            await ledger.record(replace(ISSUED, subject=subject))
        return await ledger.find("t1")

    assert using(place, story) is None


def test_a_revoked_token_is_revoked_after_a_restart(place: Place) -> None:
    async def story(ledger: TokenLedger) -> RevokedToken | None:
        await ledger.record(ISSUED)
        return await ledger.revoke("t1", "user:bob", "leaked")

    assert using(place, story) == RevokedToken("t1", 4_600)
    found = using(place, lambda ledger: ledger.find("t1"))
    assert found == TokenRecord(ISSUED, 2_001.5, "user:bob", "leaked")
    revoked = using(place, lambda ledger: ledger.revoked("data", 3_000.0))
    assert revoked == [RevokedToken("t1", 4_600)]


def test_revoking_again_changes_nothing(place: Place) -> None:
    async def story(ledger: TokenLedger) -> tuple[RevokedToken | None, TokenRecord | None]:
        await ledger.record(ISSUED)
        await ledger.revoke("t1", "user:bob", "leaked")
        return await ledger.revoke("t1", "user:carol", "again"), await ledger.find("t1")

    assert using(place, story) == (
        RevokedToken("t1", 4_600),
        TokenRecord(ISSUED, 2_001.5, "user:bob", "leaked"),
    )


def test_a_token_that_was_never_issued_is_not_revoked(place: Place) -> None:
    assert using(place, lambda ledger: ledger.revoke("t1", "user:bob", "leaked")) is None


def test_a_token_revoked_by_twenty_at_once_keeps_the_first(place: Place) -> None:
    async def story(ledger: TokenLedger) -> TokenRecord | None:
        await ledger.record(ISSUED)
        await asyncio.gather(*(ledger.revoke("t1", f"user:{n}", "leaked") for n in range(20)))
        return await ledger.find("t1")

    assert using(place, story) == TokenRecord(ISSUED, 2_001.5, "user:0", "leaked")


@pytest.mark.parametrize(
    ("plane", "now", "expected"),
    [
        ("data", 0.0, ["t1", "t2"]),
        ("data", 4_600 + DAY - 0.5, ["t1", "t2"]),
        ("data", 4_600 + DAY, ["t2"]),
        ("data", 5_000 + DAY, []),
        ("control", 0.0, ["c1"]),
    ],
)
def test_revocations_matter_for_a_day_after_the_token_ends(
    place: Place, plane: str, now: float, expected: list[str]
) -> None:
    async def story(ledger: TokenLedger) -> list[RevokedToken]:
        await ledger.record(replace(ISSUED, jti="t2", expires_at=5_000))
        await ledger.record(replace(ISSUED, jti="c1", plane="control"))
        await ledger.record(replace(ISSUED, jti="good"))
        await ledger.record(ISSUED)
        for jti in ("t1", "t2", "c1"):
            await ledger.revoke(jti, "user:bob", "leaked")
        return await ledger.revoked("control" if plane == "control" else "data", now)

    assert [one.jti for one in using(place, story)] == expected


def test_pages_hold_every_token_once_the_newest_first(place: Place) -> None:
    async def story(ledger: TokenLedger) -> list[list[str]]:
        # Many in the same second, as a script issues them.
        for number in range(7):
            await ledger.record(replace(ISSUED, jti=f"t{number}", issued_at=1_000 + number // 3))
        pages: list[list[str]] = []
        while page := await ledger.listed(limit=2, before=pages[-1][-1] if pages else None):
            pages.append([one.issued.jti for one in page])
        return pages

    assert using(place, story) == [["t6", "t5"], ["t4", "t3"], ["t2", "t1"], ["t0"]]


def test_only_tokens_of_the_plane_and_subject_asked_for_are_listed(place: Place) -> None:
    async def story(ledger: TokenLedger) -> list[list[str]]:
        await ledger.record(ISSUED)
        await ledger.record(replace(ISSUED, jti="c1", plane="control"))
        await ledger.record(replace(ISSUED, jti="u1", subject="user:ci"))
        lists = [
            await ledger.listed(limit=9, plane="data"),
            await ledger.listed(limit=9, subject="client:ci"),
            await ledger.listed(limit=9, plane="control", subject="user:ci"),
            await ledger.listed(limit=9, before="unknown"),
        ]
        return [[one.issued.jti for one in found] for found in lists]

    assert using(place, story) == [["u1", "t1"], ["t1", "c1"], [], []]
