"""How secrets of clients are kept: as a mark that knows them again, and tells nothing of them."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Final

from proxy.identity.compact import canonical_text
from proxy.identity.sealing import MasterKey, Secret, locked, private_text, write_private

_PURPOSE_MARK: Final = "marking"
_PURPOSE_SEAL: Final = "marking-key"
_ABOUT: Final = b"northgate/marking-key"
_SECRET_BYTES: Final = 32


class Marks:
    """Marks secrets under *key*, 32 bytes.

    A mark is as good as a slow hash, for what is marked has 256 random bits, and costs strangers'
    guesses a microsecond each.
    """

    def __init__(self, key: Secret) -> None:
        self._key = key

    def new_secret(self) -> Secret:
        return Secret(canonical_text(secrets.token_bytes(_SECRET_BYTES)).encode())

    def mark(self, secret: str) -> str:
        """Return an HMAC-SHA256 of *secret*, in hexadecimal digits."""
        # A surrogate that came by an odd way must be a wrong secret, and nothing worse.
        text = secret.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key.reveal(), text, "sha256").hex()


def marking_key(path: Path, master: MasterKey) -> Secret:
    """Return the key that *path* holds under *master*, or begin one there.

    Raises `MasterKeyError` for another master key or a file that others may read, `DamagedError`
    for one that was changed, and `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(path):
        if not path.exists():
            # Not a random one: gateways that share a master key and a database mark alike.
            write_marking_key(path, master.key_for(_PURPOSE_MARK), master)
        return read_marking_key(path, master)


def read_marking_key(path: Path, master: MasterKey) -> Secret:
    """Return the key that *path* holds. Raises as `marking_key` does."""
    return master.open(_PURPOSE_SEAL, private_text(path).strip(), _ABOUT)


def write_marking_key(path: Path, key: Secret, master: MasterKey) -> None:
    """Keep *key* in *path* under *master*. Raises `OSError`."""
    write_private(path, master.seal(_PURPOSE_SEAL, key, _ABOUT) + "\n")
