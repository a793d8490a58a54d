"""Opaque tokens in memory: who is known by which, where, and for how long (T05, checklist 17)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from proxy.identity.bearer import bearer
from proxy.identity.keyring import Plane
from proxy.identity.marking import Marks
from proxy.identity.opaque import LONGEST, OpaqueTokens, is_opaque
from proxy.identity.refusal import RefusedError
from proxy.identity.sealing import Secret
from storage.engine import open_database
from storage.identities import IdentityLedger
from storage.opaque import OpaqueLedger, OpaqueToken
from tests.identity.workshop import Clock

PUBLIC, ADMIN = "http://localhost:8080", "http://localhost:8081"
MARKS = Marks(Secret(b"m" * 32))
TEXT = "Zm9yIGEgY2xpZW50IHRoYXQgbW92ZXMgaW4gc29vbg"
T = TypeVar("T")


def token(text: str = TEXT, **more: object) -> OpaqueToken:
    one = OpaqueToken(f"of-{text[:8]}", "Client", "bot", MARKS.mark(text), 1.0, "User:admin")
    return replace(one, **more)  # type: ignore[arg-type]


class Rig:
    """Opaque tokens on a real ledger."""

    def __init__(self, ledger: OpaqueLedger, clock: Clock, admin: str = ADMIN) -> None:
        self.ledger = ledger
        self.clock = clock
        addresses = {Plane.DATA: PUBLIC, Plane.CONTROL: admin}
        self.tokens = OpaqueTokens(ledger, MARKS, addresses, "northgate", clock)
        self.ended: list[str] = []
        self.tokens.on_end = lambda *ids: self.ended.extend(sorted(ids))

    async def give(self, new: OpaqueToken, until: float = 0.0) -> None:
        await self.ledger.replace(new.owner_type, new.owner, new, until)
        await self.tokens.catch_up()

    def seen(self, text: str, plane: Plane = Plane.DATA, audience: str = PUBLIC) -> str | None:
        """Return the id of the token that *text* is, None for none, or why it is refused."""
        try:
            found = self.tokens.known(text, plane, {audience})
        except RefusedError as refused:
            return refused.reason.value
        return None if found is None else found.token_id


def told(directory: Path, story: Callable[[Rig], Awaitable[T]], **how: str) -> T:
    async def run() -> T:
        clock = Clock()
        database = await open_database(f"sqlite:///{directory / 'northgate.db'}")
        identities = IdentityLedger(database, clock)
        for type_, name in (("Client", "bot"), ("Client", "other"), ("User", "ann")):
            await identities.create(type_, name, "", "")  # type: ignore[arg-type]
        rig = Rig(OpaqueLedger(database, clock), clock, **how)
        try:
            return await story(rig)
        finally:
            rig.tokens.close()
            await database.close()

    return asyncio.run(run())


def test_a_token_stands_for_its_owner_as_a_signed_one_would(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.give(token())
        await rig.give(token("of-a-user-1", owner_type="User", owner="ann", expires_at=2**40))
        client = rig.tokens.known(TEXT, Plane.DATA, {PUBLIC})
        user = rig.tokens.known("of-a-user-1", Plane.CONTROL, {ADMIN})
        assert client is not None
        assert user is not None
        assert (client.actor, client.subject, client.client_id) == (
            ("Client", "bot"), "client:bot", "bot",
        )  # fmt: skip
        assert (client.issuer, client.audience, client.scope) == (PUBLIC, PUBLIC, frozenset())
        assert (user.actor, user.client_id, user.issuer, user.audience) == (
            ("User", "ann"), "northgate", ADMIN, ADMIN,
        )  # fmt: skip
        assert user.expires_at == 2**40

    told(tmp_path, story)


def test_t05_only_the_whole_token_is_known(tmp_path: Path) -> None:
    others = [TEXT[:-1], TEXT + "a", TEXT.lower(), TEXT[:20], f"{TEXT}=", "", "a.b.c", "x" * 9_000]
    others += [f"{TEXT[:20]}{number}" for number in range(10_000)]

    async def story(rig: Rig) -> set[str | None]:
        await rig.give(token())
        assert rig.seen(TEXT) is not None
        return {rig.seen(one) for one in others}

    assert told(tmp_path, story) == {None}


@pytest.mark.parametrize("admin", [ADMIN, PUBLIC])
def test_a_clients_token_is_for_agents_and_a_users_for_administration(
    tmp_path: Path, admin: str
) -> None:

    async def story(rig: Rig) -> list[str | None]:
        await rig.give(token())
        await rig.give(token("of-a-user", owner_type="User", owner="ann"))
        return [
            rig.seen(text, plane, audience)
            for text in (TEXT, "of-a-user")
            for plane, audience in ((Plane.DATA, PUBLIC), (Plane.CONTROL, admin))
        ]

    assert told(tmp_path, story, admin=admin) == [
        token().id, "audience_other", "audience_other", "of-of-a-use",
    ]  # fmt: skip


def test_a_token_for_every_server_is_refused_where_none_is_accepted(tmp_path: Path) -> None:
    async def story(rig: Rig) -> str | None:
        await rig.give(token())
        return rig.seen(TEXT, audience=f"{PUBLIC}/servers/up/mcp")

    assert told(tmp_path, story) == "audience_other"


def test_a_token_is_good_until_it_ends_or_is_replaced(tmp_path: Path) -> None:
    async def story(rig: Rig) -> list[list[str | None]]:
        now = int(rig.clock())
        await rig.give(token())
        await rig.give(token("new-token", created_at=2.0), until=now + 60)
        seen = [[rig.seen(TEXT), rig.seen("new-token")]]
        rig.clock.now += 60
        seen.append([rig.seen(TEXT), rig.seen("new-token")])
        await rig.give(token("newest-token"))
        seen.append([rig.seen("new-token"), rig.seen("newest-token")])
        return seen

    ids = [token().id, token("new-token").id, token("newest-token").id]
    assert told(tmp_path, story) == [ids[:2], ["expired", ids[1]], [None, ids[2]]]


def test_streams_are_told_of_tokens_that_were_taken_away_and_of_those_that_ended(
    tmp_path: Path,
) -> None:
    async def story(rig: Rig) -> list[list[str]]:
        seen = []
        await rig.give(token())
        await rig.give(token("new-token", created_at=2.0), until=rig.clock() + 1)
        seen.append(list(rig.ended))
        rig.clock.now += 1
        async with asyncio.timeout(5):
            while not rig.ended:  # noqa: ASYNC110  that it ends by itself is the point
                await asyncio.sleep(0.01)
        seen.append(list(rig.ended))
        await rig.ledger.end(token("new-token").id)
        await rig.tokens.catch_up()
        seen.append(list(rig.ended))
        return seen

    first, second = token().id, token("new-token").id
    assert told(tmp_path, story) == [[], [first], [first, second]]


def test_whoever_reads_first_does_not_bring_back_what_was_taken_away_since(tmp_path: Path) -> None:
    async def story(rig: Rig) -> list[str | None]:
        await rig.give(token())
        reading = [asyncio.ensure_future(rig.tokens.catch_up()) for _ in range(20)]
        await asyncio.sleep(0)
        await rig.ledger.end(token().id)
        await rig.tokens.catch_up()
        seen = [rig.seen(TEXT)]
        await asyncio.gather(*reading)
        return [*seen, rig.seen(TEXT)]

    assert told(tmp_path, story) == [None, None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, True),
        ("12345678", True),
        ("1234567", False),
        ("x" * LONGEST, True),
        ("x" * (LONGEST + 1), False),
        ("with space", False),
        ("with\ttab0", False),
        ("new\nline", False),
        ("trailing ", False),
        ("one.dot-is-fine", True),
        ("three.dots.are.fine", True),
        ("header.claims.signature", False),
        ("........", True),
        ("schlüssel", False),
        ("half\ud800surrogate", False),
        ("nul\0nul\0", False),
        ("padded==", True),
    ],
)
def test_what_may_be_an_opaque_token_is_what_a_request_can_carry_and_no_signed_one(
    text: str, expected: object
) -> None:
    assert is_opaque(text) is expected
    if expected:
        assert bearer([("Authorization", f"Bearer {text}")]) == text
