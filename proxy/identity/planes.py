"""Everything that tokens of one listener need: keys, an issuer, a verifier, what was revoked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from proxy.identity.claims import Expectations
from proxy.identity.issue import Issuer
from proxy.identity.keyfile import FileKeyring
from proxy.identity.keyring import Plane
from proxy.identity.revocations import Revocations
from proxy.identity.sealing import MasterKey
from proxy.identity.verify import Verifier


class TokenPlane:
    """The tokens of one plane, signed and verified under the name *issuer*.

    *clock* tells the seconds since the epoch, *longest_life* is in seconds. Raises what opening a
    keyring raises.
    """

    def __init__(
        self,
        plane: Plane,
        issuer: str,
        path: Path,
        master: MasterKey,
        clock: Callable[[], float],
        *,
        longest_life: int,
    ) -> None:
        self.plane = plane
        self._clock = clock
        self._keys = FileKeyring(path, plane, master, clock, longest_life=longest_life)
        self._revocations = Revocations()
        self.issuer = Issuer(issuer, self._keys.signing_key, clock, longest_life=longest_life)
        self.verifier = Verifier(Expectations(issuer, longest_life), clock)
        self.verifier.trust(self._keys.keyring.trusted(clock()))

    def refuse(self, revoked: Iterable[tuple[str, int]]) -> None:
        """Refuse from now on the tokens *revoked*: their ids, and when they end."""
        revocations = self._revocations.without_ended(self._clock())
        for token_id, expires_at in revoked:
            revocations = revocations.with_token(token_id, expires_at)
        self._revocations = revocations
        self.verifier.refuse(revocations)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys to verify by (RFC 7517)."""
        return dict(self._keys.keyring.jwks(self._clock()))
