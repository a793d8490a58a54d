"""Ending all tokens of an identity, and what was opened with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.admin.issuing import REVOKED, Author, Issuing, issued_document
from proxy.identity.keyring import Plane
from storage.tokens import KEPT_SECONDS, TokenRecord

_PORTION: Final = 500


@dataclass(frozen=True, slots=True)
class Revoking:
    """Revokes tokens. `revoked` makes that effective in this process; `now` is in Unix seconds."""

    issuing: Issuing
    revoked: Callable[[Plane, str, int], None]
    now: Callable[[], float]

    async def revoke_all(self, subject: str, author: Author, why: str) -> int:
        """Revoke every token of *subject* that may still be good, and return how many they were.

        Raises `UnrecordedError` and `StateError`; those revoked before stay so.
        """
        count, before = 0, None
        while True:
            page = await self.issuing.ledger.listed(subject=subject, limit=_PORTION, before=before)
            for token in page:
                if self._matters(token):
                    await self.revoke(token, author, why)
                    count += 1
            if len(page) < _PORTION:
                return count
            before = page[-1].issued.jti

    def _matters(self, token: TokenRecord) -> bool:
        return token.revoked_at is None and token.issued.expires_at > self.now() - KEPT_SECONDS

    async def revoke(self, token: TokenRecord, author: Author, why: str) -> None:
        """Revoke one token, which is not revoked yet. Raises as `revoke_all` does."""
        issued = token.issued
        document = issued_document(issued)
        await self.issuing.audit.changed(author.document, REVOKED, why=why, before=document)
        # First here, whatever becomes of the rest: to refuse one token more is always safe.
        self.revoked(Plane(issued.plane), issued.jti, issued.expires_at)
        await self.issuing.ledger.revoke(issued.jti, author.name, why)
        self.issuing.events.token_revoked(token_id=issued.jti, by=author.name, why=why)
