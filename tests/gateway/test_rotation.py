"""Two replicas under load while an admin rotates keys and revokes tokens (T10, R19, R23)."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proxy.identity.keyring import KeyState, Plane
from tests.gateway.harness import CI, Rig, until
from tests.gateway.raw import asking
from tests.gateway.test_replicas import replicas
from tests.oauth.served import manage
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

CALLERS: Final = 6
ROTATIONS: Final = 6
REVOCATIONS: Final = 6
SEEN_SECONDS: Final = 1.0
"""After which what is revoked on one replica is refused on each."""


@dataclass
class Wallet:
    """The tokens that callers use, and since when each is revoked."""

    rigs: tuple[Rig, Rig]
    bearers: list[str]
    revoked_at: dict[str, float] = field(default_factory=dict)
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    wrong: list[tuple[int, str]] = field(default_factory=list)

    def chosen(self, number: int) -> str:
        """Return a token for the call of *number*: an old one, a new one, or a revoked one."""
        if number % 3 == 0:
            # Signed with whatever key is active just now on the replica that is not asked.
            return f"Bearer {self.rigs[(number + 1) % 2].token(CI)}"
        revoked = list(self.revoked_at)
        some = revoked if number % 3 == 1 and revoked else self.bearers
        return some[number // 3 % len(some)]

    def kind(self, bearer: str, began: float) -> str:
        """Return what a call that *began* then with *bearer* must be taken for."""
        revoked_at = self.revoked_at.get(bearer)
        if revoked_at is None:
            return "good"
        return "revoked" if began > revoked_at + SEEN_SECONDS else "unseen"

    async def call(self, turn: Iterator[int]) -> None:
        """Call, now here and now there, until cancelled, and note what was answered wrongly."""
        loop = asyncio.get_running_loop()
        while True:
            number = next(turn)
            rig = self.rigs[number % 2]
            bearer = self.chosen(number)
            body, headers = asking("tools/call", {"name": "echo"})
            began = loop.time()
            said = await rig.post([("Authorization", bearer), *headers], body)
            # What was revoked meanwhile was good when the call began, or may have been.
            kind = self.kind(bearer, began)
            if kind == "good" and bearer in self.revoked_at:
                kind = "unseen"
            self.answers[said.status, kind] += 1
            if (kind, said.status) in {("good", 401), ("revoked", 200)} or said.status >= 500:
                self.wrong.append((said.status, kind))


@asynccontextmanager
async def under_load(rigs: tuple[Rig, Rig]) -> AsyncIterator[Wallet]:
    wallet, turn = Wallet(rigs, [f"Bearer {rig.token(CI)}" for rig in rigs]), itertools.count()
    callers = [asyncio.create_task(wallet.call(turn)) for _ in range(CALLERS)]
    try:
        yield wallet
        assert not any(one.done() for one in callers)
    finally:
        for one in callers:
            one.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def revoke_one(wallet: Wallet, number: int) -> None:
    """Revoke a token that replica *number* is not the issuer of, through it."""
    rigs = wallet.rigs
    issuing, wish = rigs[(number + 1) % 2], {"ttl_seconds": 600}
    issued = await manage(issuing, "POST", f"clients/{CI}/tokens", wish)
    assert issued.status == 201
    bearer = f"Bearer {issued.document['token']}"
    path = f"tokens/{issued.document['token_id']}"
    told = await manage(rigs[number % 2], "DELETE", path)
    assert told.status == 200
    wallet.revoked_at[bearer] = asyncio.get_running_loop().time()


def test_r19_no_good_token_is_refused_and_no_revoked_one_accepted_while_keys_rotate(
    tmp_path: Path, postgres: Server
) -> None:
    url = postgres.url(postgres.new_database(TEMPLATE))

    async def story() -> Wallet:
        async with replicas(tmp_path, url) as rigs, under_load(rigs) as wallet:
            for number in range(max(ROTATIONS, REVOCATIONS)):
                rotating = rigs[number % 2]
                before = sum(wallet.answers.values())
                told = await manage(rotating, "POST", "keys/rotate", {"plane": "data"})
                assert told.status in {200, 409}, told.body
                await revoke_one(wallet, number)
                # Calls meet each state of the keys.
                await until(lambda before=before: sum(wallet.answers.values()) > before + 40)
            last = max(wallet.revoked_at.values()) + SEEN_SECONDS
            loop = asyncio.get_running_loop()
            await until(lambda: loop.time() > last)
            seen = wallet.answers[401, "revoked"]
            await until(lambda: wallet.answers[401, "revoked"] > seen + 10)
            rings = [rig.gateway.tokens[Plane.DATA].keyring for rig in rigs]
            assert rings[0] == rings[1]
            retired = [key for key in rings[0].keys if key.state is KeyState.RETIRED]
            assert len(retired) >= ROTATIONS - 1
            return wallet

    wallet = asyncio.run(story())

    assert not wallet.wrong
    assert wallet.answers[200, "good"] > 200
