"""How a token comes into being: signed, recorded, kept, and only then given out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.audit import Audit
from proxy.identity.issue import IssuedToken, Issuer, TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from proxy.telemetry.events import Events
from storage.tokens import IssuedRecord, TokenLedger

ISSUED: Final = "token.issued"
REVOKED: Final = "token.revoked"
"""What records call these changes."""

HOLDER: Final = "northgate"
"""The client that holds a user's token: whoever uses it, this gateway handed it out."""


@dataclass(frozen=True, slots=True)
class Author:
    """Whoever makes a change: as records name him, and as the ledger does."""

    document: Mapping[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class Issuing:
    """Issues the tokens of both planes."""

    issuers: Mapping[Plane, Issuer]
    ledger: TokenLedger
    audit: Audit
    events: Events

    async def issue(
        self, plane: Plane, wanted: TokenRequest, author: Author, why: str = ""
    ) -> IssuedToken:
        """Return a new token, once the record and the ledger have it.

        Raises `UnrecordedError` and `StateError`; then nobody has the token.
        """
        token = self.issuers[plane].issue(wanted)
        kept = IssuedRecord(
            jti=token.token_id,
            plane=plane.value,
            subject=token.subject,
            client_id=wanted.client_id,
            audience=wanted.audience,
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            issued_by=author.name,
            key_id=token.key_id,
        )
        await self.audit.changed(author.document, ISSUED, why=why, after=issued_document(kept))
        await self.ledger.record(kept)
        self.events.token_issued(
            token_id=token.token_id,
            subject=token.subject,
            audience=wanted.audience,
            by=author.name,
            expires_at=token.expires_at,
        )
        return token


def wanted_for(
    type_: ActorType, name: str, audience: str, life: int, scope: tuple[str, ...] = ()
) -> TokenRequest:
    """Return the request for a token of a client or user who uses it himself."""
    holder = name if type_ is ActorType.CLIENT else HOLDER
    return TokenRequest(type_, name, audience, life, holder, scope)


def issued_document(issued: IssuedRecord) -> dict[str, Any]:
    """Return *issued* as records and answers name it."""
    return {
        "token_id": issued.jti,
        "plane": issued.plane,
        "subject": issued.subject,
        "audience": issued.audience,
        "issued_at": issued.issued_at,
        "expires_at": issued.expires_at,
    }
