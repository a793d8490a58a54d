"""What is no longer good, although its signature is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from immutables import Map

from proxy.identity.refusal import Reason

_KEPT_SECONDS = 86_400
"""How long a revoked token is remembered past its end: a clock set back must not revive it."""


@dataclass(frozen=True, slots=True)
class Revocations:
    """Revoked tokens and identities of one issuer; each change returns a new value.

    Identities are written as in the subject of a token: `client:ci`, `user:alice`. A delegated
    token falls with either of its two. Moments are in seconds since the epoch.
    """

    tokens: Map[str, int] = field(default_factory=Map)
    identities: frozenset[str] = frozenset()
    earliest: Map[str, int] = field(default_factory=Map)
    earliest_of_all: int = 0

    def with_token(self, token_id: str, expires_at: int) -> Revocations:
        """Revoke one token by its `jti`; *expires_at* says until when that must be remembered."""
        return replace(self, tokens=self.tokens.set(token_id, expires_at))

    def with_identity(self, identity: str) -> Revocations:
        """Revoke every token of *identity*, those yet to be issued included."""
        return replace(self, identities=self.identities | {identity})

    def with_all_until(self, moment: int, identity: str | None = None) -> Revocations:
        """Revoke what was issued in the second *moment* or before, of *identity* or of everybody.

        A later moment stays: revoking more never revives anything.
        """
        after = moment + 1
        if identity is None:
            return replace(self, earliest_of_all=max(after, self.earliest_of_all))
        known = self.earliest.get(identity, 0)
        return replace(self, earliest=self.earliest.set(identity, max(after, known)))

    def without_ended(self, now: float) -> Revocations:
        """Forget tokens that ended a day ago or earlier."""
        kept = {
            token_id: expires_at
            for token_id, expires_at in self.tokens.items()
            if expires_at + _KEPT_SECONDS > now
        }
        return replace(self, tokens=Map(kept))

    def reason(self, token_id: str, issued_at: int, identities: Iterable[str]) -> Reason | None:
        """Tell why a token is revoked; None if it is not."""
        if token_id in self.tokens:
            return Reason.TOKEN_REVOKED
        if issued_at < self.earliest_of_all:
            return Reason.ISSUED_TOO_EARLY
        for identity in identities:
            if identity in self.identities:
                return Reason.IDENTITY_REVOKED
            if issued_at < self.earliest.get(identity, 0):
                return Reason.ISSUED_TOO_EARLY
        return None
