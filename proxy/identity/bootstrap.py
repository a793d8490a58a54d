"""The one-time secret by which the first administrator begins."""

from __future__ import annotations

import hmac
import secrets as random
from hashlib import sha256
from typing import Final

from proxy.identity.sealing import MasterKey, Secret
from storage.secrets import SecretLedger

BOOTSTRAP: Final = "bootstrap"
"""The name by which the secret is kept."""

SPENT: Final = "spent"
"""What is kept once nothing waits any more: there is one first start, however many secrets."""

_PURPOSE: Final = "bootstrap"
_ABOUT: Final = b"northgate/bootstrap"
_SECRET_BYTES: Final = 32


class Bootstrap:
    """The secret among those that all processes share: its digest, sealed under *master*.

    So nobody begins another without the master key: that is how an administrator who lost his token
    comes back, and why it works on the machine itself only.
    """

    def __init__(self, secrets: SecretLedger, master: MasterKey) -> None:
        self._secrets = secrets
        self._master = master

    async def is_open(self) -> bool:
        """Tell whether a secret waits to be spent. Raises `StateError`."""
        return await self._secrets.read(BOOTSTRAP) not in {None, SPENT}

    async def begin_first(self) -> Secret | None:
        """Return the very first secret, to be shown once; None if there was one before.

        Of several processes one has it. Raises `StateError`.
        """
        text, sealed = self._made()
        is_first = await self._secrets.replace(BOOTSTRAP, None, sealed)
        return Secret(text.encode()) if is_first else None

    async def begin(self) -> Secret:
        """Return a new secret, to be shown once; one that waited is no good any more.

        Raises `StateError` if it cannot be kept.
        """
        text, sealed = self._made()
        while not await self._secrets.replace(
            BOOTSTRAP, await self._secrets.read(BOOTSTRAP), sealed
        ):
            pass  # spent meanwhile, or begun by another
        return Secret(text.encode())

    async def spend(self, text: str) -> bool:
        """Tell whether *text* is the secret; it is good once, whoever else tries meanwhile.

        Raises `MasterKeyError` if it was sealed under another master key, `DamagedError` if it was
        changed, and `StateError`.
        """
        kept = await self._secrets.read(BOOTSTRAP)
        if kept is None or kept == SPENT:
            return False
        if not hmac.compare_digest(open_digest(kept, self._master).reveal(), _digest(text)):
            return False
        return await self._secrets.replace(BOOTSTRAP, kept, SPENT)

    def _made(self) -> tuple[str, str]:
        text = random.token_urlsafe(_SECRET_BYTES)
        return text, seal_digest(Secret(_digest(text)), self._master)


def open_digest(sealed: str, master: MasterKey) -> Secret:
    """Return the digest that is kept as *sealed*. Raises `MasterKeyError` and `DamagedError`."""
    return master.open(_PURPOSE, sealed, _ABOUT)


def seal_digest(digest: Secret, master: MasterKey) -> str:
    return master.seal(_PURPOSE, digest, _ABOUT)


def _digest(text: str) -> bytes:
    # A surrogate that came by an odd way must be a wrong secret, and nothing worse.
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
