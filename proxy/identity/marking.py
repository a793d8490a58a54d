"""How secrets of clients are kept: as a mark that knows them again, and tells nothing of them."""

from __future__ import annotations

import hmac
import secrets as random
from typing import Final

from proxy.identity.compact import canonical_text
from proxy.identity.sealing import MasterKey, Secret
from storage.secrets import SecretLedger

MARKING: Final = "marking"
"""The name by which the key is kept."""

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
        return Secret(canonical_text(random.token_bytes(_SECRET_BYTES)).encode())

    def mark(self, secret: str) -> str:
        """Return an HMAC-SHA256 of *secret*, in hexadecimal digits."""
        # A surrogate that came by an odd way must be a wrong secret, and nothing worse.
        text = secret.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key.reveal(), text, "sha256").hex()


async def marking_key(secrets: SecretLedger, master: MasterKey) -> Secret:
    """Return the key that is kept under *master*, or begin one.

    Raises `MasterKeyError` for another master key, `DamagedError` for a key that was changed, and
    `StateError`.
    """
    kept = await secrets.read(MARKING)
    while kept is None:
        # Not a random one: gateways that share a master key and a database mark alike.
        begun = seal_marking_key(master.key_for(_PURPOSE_MARK), master)
        await secrets.replace(MARKING, None, begun)
        kept = await secrets.read(MARKING)
    return open_marking_key(kept, master)


def open_marking_key(sealed: str, master: MasterKey) -> Secret:
    """Return the key that is kept as *sealed*. Raises `MasterKeyError` and `DamagedError`."""
    return master.open(_PURPOSE_SEAL, sealed, _ABOUT)


def seal_marking_key(key: Secret, master: MasterKey) -> str:
    return master.seal(_PURPOSE_SEAL, key, _ABOUT)
