"""A keyring kept among the secrets that all processes of a gateway share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from proxy.identity.claims import LEEWAY_SECONDS, LONGEST_LIFE_SECONDS
from proxy.identity.keyring import Keyring, KeyState, Plane, from_record, to_record
from proxy.identity.keys import Algorithm, SigningKey, generate
from proxy.identity.sealing import DamagedError, MasterKey
from storage.secrets import SecretLedger


class KeyringChangedError(Exception):
    """The keyring is not what a change was planned on: another process was quicker."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of a keyring that is ready to be made, so that it can be recorded first."""

    before: Keyring
    after: Keyring


class KeptKeyring:
    """The keyring of one plane, as all processes that share *secrets* have it.

    A change is made on what it was planned on, or not at all; `reload` shows those of others.
    *clock* tells the seconds since the epoch, *longest_life* of a token is in seconds.
    """

    def __init__(
        self,
        secrets: SecretLedger,
        plane: Plane,
        master: MasterKey,
        clock: Callable[[], float],
        *,
        longest_life: int = LONGEST_LIFE_SECONDS,
    ) -> None:
        """Use `opened` instead."""
        self._secrets = secrets
        self._name = name_of(plane)
        self._plane = plane
        self._master = master
        self._clock = clock
        self._overlap = longest_life + LEEWAY_SECONDS
        self._signing: SigningKey | None = None
        self._kept: str | None = None
        # Else what was read first could be taken last.
        self._turn = asyncio.Lock()
        self.keyring = Keyring(plane)

    @classmethod
    async def opened(
        cls,
        secrets: SecretLedger,
        plane: Plane,
        master: MasterKey,
        clock: Callable[[], float],
        *,
        longest_life: int = LONGEST_LIFE_SECONDS,
    ) -> KeptKeyring:
        """Open the keyring, or make one with an active key where there is none.

        Of several processes that make one, all have that of the first. Raises `MasterKeyError` for
        a wrong master key, `DamagedError` for a keyring that was changed, and `StateError`.
        """
        ring = cls(secrets, plane, master, clock, longest_life=longest_life)
        await ring._begin()
        return ring

    async def reload(self) -> bool:
        """Take what is kept now; tell whether it had changed. Raises as opening does."""
        async with self._turn:
            text = await self._secrets.read(self._name)
            if text == self._kept:
                return False
            if text is None:
                raise DamagedError(f"The {self._name} is gone from the database.")
            before = self.keyring
            self._take(text, read_keyring(text, self._plane, self._master))
            return self.keyring != before

    def plan_preparation(self) -> Plan:
        """Plan to publish a new key, of the kind that signs now.

        Raises `KeyringError` if one waits already.
        """
        before = self.keyring
        return Plan(before, self._prepared(before, None))

    def plan_rotation(self, algorithm: Algorithm | None = None) -> Plan:
        """Plan to sign with the prepared key, or with a new one if none of *algorithm* waits."""
        before = keyring = self.keyring
        waiting = keyring.in_state(KeyState.PREPARED)
        if waiting is not None and algorithm not in {None, waiting.algorithm}:
            keyring, waiting = keyring.withdraw(), None
        if waiting is None:
            keyring = self._prepared(keyring, algorithm)
        return Plan(before, keyring.rotate(self._now, self._overlap))

    def plan_revocation(self, key_id: str) -> Plan:
        """Plan to trust *key_id* no more; if it is active, another takes its place at once.

        Raises `KeyringError` for a key that is not here.
        """
        before = self.keyring
        return Plan(before, self._with_active(before.revoke(key_id, self._now)))

    async def write(self, plan: Plan) -> None:
        """Make the change, in the database and here.

        Raises `KeyringChangedError` if another process was quicker, and `StateError`.
        """
        async with self._turn:
            text = written(plan.after, self._master)
            is_known = plan.before == self.keyring
            if not is_known or not await self._secrets.replace(self._name, self._kept, text):
                raise KeyringChangedError
            self._take(text, plan.after)

    def signing_key(self) -> SigningKey:
        """Return the active key."""
        if self._signing is None:
            self._signing = self.keyring.signing_key(self._master)
        return self._signing

    @property
    def _now(self) -> int:
        return int(self._clock())

    async def _begin(self) -> None:
        while True:
            text = await self._secrets.read(self._name)
            found = Keyring(self._plane)
            if text is not None:
                found = read_keyring(text, self._plane, self._master)
            whole = await asyncio.to_thread(self._with_active, found)
            after = text if text is not None and whole == found else written(whole, self._master)
            if text == after or await self._secrets.replace(self._name, text, after):
                return self._take(after, whole)

    def _take(self, text: str, keyring: Keyring) -> None:
        self._kept, self.keyring, self._signing = text, keyring, None

    def _prepared(self, keyring: Keyring, algorithm: Algorithm | None) -> Keyring:
        if algorithm is None:
            active = keyring.in_state(KeyState.ACTIVE)
            algorithm = Algorithm.EDDSA if active is None else active.algorithm
        return keyring.prepare(generate(algorithm), self._master, self._now)

    def _with_active(self, keyring: Keyring) -> Keyring:
        if keyring.in_state(KeyState.ACTIVE) is not None:
            return keyring
        if keyring.in_state(KeyState.PREPARED) is None:
            keyring = self._prepared(keyring, None)
        return keyring.rotate(self._now, self._overlap)


def name_of(plane: Plane) -> str:
    """Return the name by which the keyring of *plane* is kept."""
    return f"keyring:{plane.value}"


def read_keyring(text: str, plane: Plane, master: MasterKey) -> Keyring:
    """Return the keyring that is kept as *text*.

    Raises `MasterKeyError` if it is under another master key, `DamagedError` if it was changed.
    """
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DamagedError(f"What the database keeps as {name_of(plane)} is no keyring.")
    return from_record(record, plane, master)


def written(keyring: Keyring, master: MasterKey) -> str:
    """Return the text by which *keyring* is kept under *master*."""
    return json.dumps(to_record(keyring, master))
