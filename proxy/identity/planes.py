"""Everything that tokens of one listener need: keys, an issuer, a verifier, what was revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from proxy.identity.claims import Expectations
from proxy.identity.issue import Issuer
from proxy.identity.keyfile import FileKeyring, Plan
from proxy.identity.keyring import Keyring, Plane
from proxy.identity.keys import Algorithm, SigningKey
from proxy.identity.revocations import Revocations
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError
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
        self.issuer = Issuer(issuer, self._signing_key, clock, longest_life=longest_life)
        self.verifier = Verifier(
            Expectations(issuer, longest_life), clock, look_again=self._look_again
        )
        self._trust()

    @property
    def keyring(self) -> Keyring:
        """The keys as they are now, whichever process of this machine changed them last."""
        self._look_again()
        return self._keys.keyring

    def refuse(self, revoked: Iterable[tuple[str, int]]) -> None:
        """Refuse from now on the tokens *revoked*: their ids, and when they end."""
        revocations = self._revocations.without_ended(self._clock())
        for token_id, expires_at in revoked:
            revocations = revocations.with_token(token_id, expires_at)
        self._revocations = revocations
        self.verifier.refuse(revocations)

    def jwks(self) -> dict[str, Any]:
        """Return the public keys to verify by (RFC 7517)."""
        return dict(self.keyring.jwks(self._clock()))

    def reload(self) -> bool:
        """Sign and verify by what is in the file now; tell whether that is anything new.

        Raises as opening a keyring does; then nothing changes.
        """
        changed = self._keys.reload()
        if changed:
            self._trust()
        return changed

    async def plan_preparation(self) -> Plan:
        """Plan to publish a new key. Raises `KeyringError` if one waits already."""
        self._look_again()
        return await asyncio.to_thread(self._keys.plan_preparation)

    async def plan_rotation(self, algorithm: Algorithm | None) -> Plan:
        """Plan to sign with the prepared key, or with a new one if none of *algorithm* waits."""
        self._look_again()
        return await asyncio.to_thread(self._keys.plan_rotation, algorithm)

    def plan_revocation(self, key_id: str) -> Plan:
        """Plan to trust *key_id* no more. Raises `KeyringError` for a key that is not here."""
        self._look_again()
        return self._keys.plan_revocation(key_id)

    async def carry_out(self, plan: Plan) -> None:
        """Make the change; it is in effect here when this returns.

        Raises `KeyringChangedError` if another process was quicker, else as opening does.
        """
        # What is in the file is what counts, even if whoever wanted it has left meanwhile.
        await asyncio.shield(asyncio.ensure_future(self._carried_out(plan)))

    async def _carried_out(self, plan: Plan) -> None:
        await asyncio.to_thread(self._keys.write, plan)
        # Read and not taken from the plan: another process may have followed at once.
        self.reload()

    def _trust(self) -> None:
        self.verifier.trust(self._keys.keyring.trusted(self._clock()))

    def _signing_key(self) -> SigningKey:
        self._look_again()
        return self._keys.signing_key()

    def _look_again(self) -> bool:
        """Follow another process of this machine; tell whether there is anything new.

        A file that cannot be read changes nothing: what is known goes on serving.
        """
        try:
            return self._keys.is_behind and self.reload()
        except (OSError, DamagedError, MasterKeyError):
            return False
