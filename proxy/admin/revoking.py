"""Ending tokens before their time, one or many, and what was opened with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.admin.issuing import REVOKED, Author, Issuing, issued_document
from proxy.admin.opaque import AccessTokens
from proxy.identity.keyring import Plane
from storage.opaque import OpaqueToken
from storage.tokens import IssuedRecord, TokenRecord
from storage.tokens import Plane as StoredPlane

MANY_REVOKED: Final = "tokens.revoked"
"""What records call that some tokens were revoked together."""

_PORTION: Final = 500
"""Tokens that one record names."""

_PLANES: Final = {"Client": Plane.DATA, "User": Plane.CONTROL}


@dataclass(frozen=True, slots=True)
class Which:
    """Tokens: of `subject`, issued before the Unix second `issued_before`, and for `plane`.

    None leaves that open. `but` is the id of one that is left out.
    """

    subject: str | None = None
    issued_before: int | None = None
    plane: Plane | None = None
    but: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "issued_before": self.issued_before,
            "plane": self.plane and self.plane.value,
        }

    def covers(self, token: OpaqueToken) -> bool:
        return (
            self.subject in {None, f"{token.owner_type.lower()}:{token.owner}"}
            and self.plane in {None, _PLANES[token.owner_type]}
            and (self.issued_before is None or token.created_at < self.issued_before)
            and token.id != self.but
        )


@dataclass(frozen=True, slots=True)
class Revoking:
    """Revokes tokens, and takes away access tokens.

    `revoked` makes it effective in this process, with the ids of signed tokens of a plane and when
    they end.
    """

    issuing: Issuing
    revoked: Callable[[Plane, Collection[tuple[str, int]]], None]
    access: AccessTokens

    async def revoke_all(self, which: Which, author: Author, why: str) -> int:
        """Revoke every token of *which* that may still be good, and return how many they were.

        Once begun it is done whole, even if whoever asked leaves. Raises `UnrecordedError`, and
        then none is revoked, and `StateError`.
        """
        work = self._revoke_all(which, author, why)
        return await asyncio.shield(asyncio.ensure_future(work))

    async def _revoke_all(self, which: Which, author: Author, why: str) -> int:
        signed = await self._signed(which)
        opaque = [one.id for one in await self.access.ledger.all() if which.covers(one)]
        ids = [*(one.jti for one in signed), *opaque]
        for some in _portions(ids):
            before = which.document() | {"token_ids": some}
            await self.issuing.audit.changed(author.document, MANY_REVOKED, why=why, before=before)
        # First here, whatever becomes of the rest: to refuse one token more is always safe.
        for plane in Plane:
            some_of = [(one.jti, one.expires_at) for one in signed if one.plane == plane.value]
            if some_of:
                self.revoked(plane, some_of)
        if signed:
            await self.issuing.ledger.revoke_all([one.jti for one in signed], author.name, why)
        if opaque:
            await self.access.end(opaque)
        for one in ids:
            self.issuing.events.token_revoked(token_id=one, by=author.name, why=why)
        return len(ids)

    async def _signed(self, which: Which) -> list[IssuedRecord]:
        plane: StoredPlane | None = None if which.plane is None else which.plane.value
        found = await self.issuing.ledger.unrevoked(
            subject=which.subject, issued_before=which.issued_before, plane=plane
        )
        return [one for one in found if one.jti != which.but]

    async def revoke(self, token: TokenRecord, author: Author, why: str) -> None:
        """Revoke one token, which is not revoked yet. Raises as `revoke_all` does."""
        issued = token.issued
        document = issued_document(issued)
        await self.issuing.audit.changed(author.document, REVOKED, why=why, before=document)
        self.refuse(issued)
        await self.issuing.ledger.revoke(issued.jti, author.name, why)
        self.issuing.events.token_revoked(token_id=issued.jti, by=author.name, why=why)

    def refuse(self, issued: IssuedRecord) -> None:
        """Refuse a token in this process, which is safe to do again."""
        self.revoked(Plane(issued.plane), [(issued.jti, issued.expires_at)])


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _PORTION):
        yield ids[start : start + _PORTION]
