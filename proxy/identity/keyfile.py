"""A keyring kept in one private file, for a gateway that needs nothing but a directory."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.identity.claims import LEEWAY_SECONDS, LONGEST_LIFE_SECONDS
from proxy.identity.keyring import Keyring, KeyState, Plane, from_record, to_record
from proxy.identity.keys import Algorithm, SigningKey, generate
from proxy.identity.sealing import DamagedError, MasterKey, private_text, write_private


class FileKeyring:
    """The keyring of one plane in a file of mode 0600, replaced atomically at each change.

    Several processes of one machine may share it: changes are made one at a time, each on what the
    last one left; `reload` shows those of others. *clock* tells the seconds since the epoch.
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
        self.keyring = Keyring(plane)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._change(self._begun)

    def reload(self) -> bool:
        """Read the file again; tell whether it had changed. Raises as opening it does."""
        return self._take(self._read())

    def prepare(self) -> None:
        """Publish a new key; raises `KeyringError` if one waits already."""
        self._change(self._prepared)

    def rotate(self) -> None:
        """Sign with the prepared key from now on, or with a new one if none waits."""
        self._change(self._rotated)

    def revoke(self, key_id: str) -> None:
        """Trust *key_id* no more; if it was active, another takes its place at once."""
        self._change(lambda keyring, now: self._begun(keyring.revoke(key_id, now), now))

    def signing_key(self) -> SigningKey:
        """Return the active key."""
        if self._signing is None:
            self._signing = self.keyring.signing_key(self._master)
        return self._signing

    def _prepared(self, keyring: Keyring, now: int) -> Keyring:
        return keyring.prepare(generate(self._algorithm), self._master, now)

    def _rotated(self, keyring: Keyring, now: int) -> Keyring:
        if keyring.in_state(KeyState.PREPARED) is None:
            keyring = self._prepared(keyring, now)
        return keyring.rotate(now, self._overlap)

    def _begun(self, keyring: Keyring, now: int) -> Keyring:
        has_active = keyring.in_state(KeyState.ACTIVE) is not None
        return keyring if has_active else self._rotated(keyring, now)

    def _change(self, change: Callable[[Keyring, int], Keyring]) -> None:
        with self._locked():
            before = self._read() if self._path.exists() else Keyring(self._plane)
            after = change(before, int(self._clock()))
            if after != before:
                record = to_record(after, self._master)
                write_private(self._path, json.dumps(record, indent=1) + "\n")
        self._take(after)

    def _read(self) -> Keyring:
        try:
            record = json.loads(private_text(self._path))
        except ValueError:
            raise DamagedError(f"{self._path} is no keyring.") from None
        if not isinstance(record, dict):
            raise DamagedError(f"{self._path} is no keyring.")
        return from_record(record, self._plane, self._master)

    def _take(self, keyring: Keyring) -> bool:
        changed = keyring != self.keyring
        if changed:
            self.keyring = keyring
            self._signing = None
        return changed

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file of its own: the keyring's is replaced, and a lock would stay with the old one.
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
