"""The one-time secret by which the first administrator begins."""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Final

from proxy.identity.sealing import Secret, locked, private_text, write_private

_SECRET_BYTES: Final = 32


class Bootstrap:
    """A file at *path*, for its owner alone, that holds a digest of the secret and not the secret.

    Whoever can write in the directory can begin another: that is how an administrator who lost his
    token comes back, and why it works on the machine itself only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def is_open(self) -> bool:
        """Whether a secret waits to be spent."""
        return self._path.exists()

    def begin(self) -> Secret:
        """Return a new secret, to be shown once; one that waited is no good any more.

        Raises `OSError` if it cannot be kept.
        """
        text = secrets.token_urlsafe(_SECRET_BYTES)
        with locked(self._path):
            write_private(self._path, f"{_digest(text)}\n")
        return Secret(text.encode())

    def spend(self, text: str) -> bool:
        """Tell whether *text* is the secret; it is good once, whoever else tries meanwhile.

        Raises `OSError` if the file cannot be used, and `MasterKeyError` if others may read it.
        """
        if not self.is_open:
            return False
        # Without it, a secret begun between reading and removing would be removed unspent.
        with locked(self._path):
            try:
                kept = private_text(self._path).strip()
            except FileNotFoundError:
                return False
            if not hmac.compare_digest(kept.encode(), _digest(text).encode()):
                return False
            self._path.unlink()
            self._sync()
        return True

    def _sync(self) -> None:
        """Make the removal durable, or a loss of power would bring the secret back."""
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
