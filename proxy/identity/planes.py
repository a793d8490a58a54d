"""Everything that tokens of one listener need: keys, an issuer, a verifier, what was revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from proxy.identity.claims import Expectations
from proxy.identity.issue import Issuer
from proxy.identity.keptring import KeptKeyring, Plan
from proxy.identity.keyring import Keyring, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.lookout import Lookout
from proxy.identity.revocations import Revocations
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError
from proxy.identity.verify import Verifier
from storage.errors import StateError
from storage.secrets import SecretLedger


class TokenPlane:
    """The tokens of one plane, signed and verified under the name *issuer*.

    *clock* tells the seconds since the epoch, *longest_life* is in seconds.
    """

    def __init__(
        self,
        plane: Plane,
        issuer: str,
        keys: KeptKeyring,
        clock: Callable[[], float],
        *,
        longest_life: int,
    ) -> None:
        """Use `opened` instead."""
        self.plane = plane
        self.on_change: Callable[[Keyring], None] = lambda _: None
        """Called with the keys after each change of them, whoever made it."""
        self._clock = clock
        self._keys = keys
        self._revocations = Revocations()
        self.issuer = Issuer(issuer, keys.signing_key, clock, longest_life=longest_life)
        lookout = Lookout(self._seek)
        self.verifier = Verifier(
            Expectations(issuer, longest_life), clock, look_again=lookout.look_again
        )
        self._trust()

    @classmethod
    async def opened(
        cls,
        plane: Plane,
        issuer: str,
        secrets: SecretLedger,
        master: MasterKey,
        clock: Callable[[], float],
        *,
        longest_life: int,
    ) -> TokenPlane:
        """Return the tokens of *plane* under the keys among *secrets*; the first keys are made.

        Raises what opening a keyring raises.
        """
        keys = await KeptKeyring.opened(secrets, plane, master, clock, longest_life=longest_life)
        return cls(plane, issuer, keys, clock, longest_life=longest_life)

    @property
    def keyring(self) -> Keyring:
        """The keys as they are known here."""
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

    async def reload(self) -> None:
        """Sign and verify by what is kept now, whichever process changed it.

        Raises as opening a keyring does; then nothing changes.
        """
        if await self._keys.reload():
            self._changed()

    async def plan_preparation(self) -> Plan:
        """Plan to publish a new key. Raises `KeyringError` if one waits already."""
        return await asyncio.to_thread(self._keys.plan_preparation)

    async def plan_rotation(self, algorithm: Algorithm | None) -> Plan:
        """Plan to sign with the prepared key, or with a new one if none of *algorithm* waits."""
        return await asyncio.to_thread(self._keys.plan_rotation, algorithm)

    async def plan_revocation(self, key_id: str) -> Plan:
        """Plan to trust *key_id* no more. Raises `KeyringError` for a key that is not here."""
        return await asyncio.to_thread(self._keys.plan_revocation, key_id)

    async def carry_out(self, plan: Plan) -> None:
        """Make the change; it is in effect here when this returns.

        Raises `KeyringChangedError` if another process was quicker, and `StateError`.
        """
        # What is kept is what counts, even if whoever wanted it has left meanwhile.
        await asyncio.shield(asyncio.ensure_future(self._carried_out(plan)))

    async def _carried_out(self, plan: Plan) -> None:
        await self._keys.write(plan)
        self._changed()

    def _changed(self) -> None:
        self._trust()
        self.on_change(self.keyring)

    def _trust(self) -> None:
        self.verifier.trust(self.keyring.trusted(self._clock()), self.keyring.revoked)

    async def _seek(self) -> None:
        """Look for a key that is not known here; where none can be read there is none."""
        with suppress(StateError, DamagedError, MasterKeyError):
            await self.reload()
