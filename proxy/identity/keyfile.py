"""A keyring kept in one private file, for a gateway that needs nothing but a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.identity.claims import LEEWAY_SECONDS, LONGEST_LIFE_SECONDS
from proxy.identity.keyring import Keyring, KeyState, Plane, from_record, to_record
from proxy.identity.keys import Algorithm, SigningKey, generate
from proxy.identity.sealing import DamagedError, MasterKey, locked, private_text, write_private


class KeyringChangedError(Exception):
    """The keyring is not what a change was planned on: another process was quicker."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of a keyring that is ready to be made, so that it can be recorded first."""

    before: Keyring
    after: Keyring


class FileKeyring:
    """The keyring of one plane in a file of mode 0600, replaced atomically at each change.

    Several processes of one machine may share it: a change is made on what it was planned on, or
    not at all; `reload` shows those of others. *clock* tells the seconds since the epoch.
    """

    def __init__(
        self,
        path: Path,
        plane: Plane,
        master: MasterKey,
        clock: Callable[[], float],
        *,
        algorithm: Algorithm = Algorithm.EDDSA,
        longest_life: int = LONGEST_LIFE_SECONDS,
    ) -> None:
        """Open the keyring, or make one with an active key where there is none.

        Raises `MasterKeyError` for a wrong master key or a file that others may read,
        `DamagedError` for one that was changed, `OSError` if it cannot be read or written.
        """
        self._path = path
        self._plane = plane
        self._master = master
        self._clock = clock
        self._algorithm = algorithm
        self._overlap = longest_life + LEEWAY_SECONDS
        self._signing: SigningKey | None = None
        self._seen: tuple[int, ...] = ()
        self.keyring = Keyring(plane)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._begin()

    @property
    def is_behind(self) -> bool:
        """Whether the file was replaced since it was last read. Raises `OSError`."""
        return self._identity() != self._seen

    def reload(self) -> bool:
        """Read the file again; tell whether it had changed. Raises as opening it does."""
        self._seen = self._identity()
        keyring = self._read()
        changed = keyring != self.keyring
        if changed:
            self.keyring = keyring
            self._signing = None
        return changed

    def plan_preparation(self) -> Plan:
        """Plan to publish a new key, of the kind that signs now.

        Raises `KeyringError` if one waits already.
        """
        return Plan(self.keyring, self._prepared(self.keyring, None))

    def plan_rotation(self, algorithm: Algorithm | None = None) -> Plan:
        """Plan to sign with the prepared key, or with a new one if none of *algorithm* waits."""
        keyring = self.keyring
        waiting = keyring.in_state(KeyState.PREPARED)
        if waiting is not None and algorithm not in {None, waiting.algorithm}:
            keyring, waiting = keyring.withdraw(), None
        if waiting is None:
            keyring = self._prepared(keyring, algorithm)
        return Plan(self.keyring, keyring.rotate(self._now, self._overlap))

    def plan_revocation(self, key_id: str) -> Plan:
        """Plan to trust *key_id* no more; if it is active, another takes its place at once.

        Raises `KeyringError` for a key that is not here.
        """
        revoked = self.keyring.revoke(key_id, self._now)
        return Plan(self.keyring, self._with_active(revoked))

    def write(self, plan: Plan) -> None:
        """Make the change, durably; `reload` shows it here.

        Raises `KeyringChangedError` if another process was quicker, else as opening does.
        """
        with locked(self._path):
            if self._read() != plan.before:
                raise KeyringChangedError
            write_keyring(self._path, plan.after, self._master)

    def signing_key(self) -> SigningKey:
        """Return the active key."""
        if self._signing is None:
            self._signing = self.keyring.signing_key(self._master)
        return self._signing

    @property
    def _now(self) -> int:
        return int(self._clock())

    def _begin(self) -> None:
        with locked(self._path):
            found = self._read() if self._path.exists() else Keyring(self._plane)
            whole = self._with_active(found)
            if whole != found:
                write_keyring(self._path, whole, self._master)
        self.reload()

    def _prepared(self, keyring: Keyring, algorithm: Algorithm | None) -> Keyring:
        if algorithm is None:
            active = keyring.in_state(KeyState.ACTIVE)
            algorithm = self._algorithm if active is None else active.algorithm
        return keyring.prepare(generate(algorithm), self._master, self._now)

    def _with_active(self, keyring: Keyring) -> Keyring:
        if keyring.in_state(KeyState.ACTIVE) is not None:
            return keyring
        if keyring.in_state(KeyState.PREPARED) is None:
            keyring = self._prepared(keyring, None)
        return keyring.rotate(self._now, self._overlap)

    def _read(self) -> Keyring:
        return read_keyring(self._path, self._plane, self._master)

    def _identity(self) -> tuple[int, ...]:
        # It is replaced at each change, and never written to.
        found = os.stat(self._path)  # noqa: PTH116  a third of the time of Path.stat
        return found.st_ino, found.st_mtime_ns, found.st_size


def read_keyring(path: Path, plane: Plane, master: MasterKey) -> Keyring:
    """Return the keyring in the file *path*. Raises as opening one does."""
    try:
        record = json.loads(private_text(path))
    except ValueError:
        raise DamagedError(f"{path} is no keyring.") from None
    if not isinstance(record, dict):
        raise DamagedError(f"{path} is no keyring.")
    return from_record(record, plane, master)


def write_keyring(path: Path, keyring: Keyring, master: MasterKey) -> None:
    """Keep *keyring* in the file *path*. Raises `OSError`, and then what was there is untouched."""
    write_private(path, json.dumps(to_record(keyring, master), indent=1) + "\n")
