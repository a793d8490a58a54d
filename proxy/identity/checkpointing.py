"""The key that signs the checkpoints of the record: one for all processes of a gateway."""

from __future__ import annotations

from typing import Final

from proxy.identity.sealing import MasterKey, Secret
from storage.journal import Signer
from storage.secrets import SecretLedger

CHECKPOINT: Final = "checkpoint"
"""The name by which the key is kept."""

_PURPOSE_SIGN: Final = "checkpoint"
_PURPOSE_SEAL: Final = "checkpoint-key"
_ABOUT: Final = b"northgate/checkpoint-key"


async def checkpoint_signer(secrets: SecretLedger, master: MasterKey) -> Signer:
    """Return who signs with the key that is kept under *master*, or begin one.

    Raises `MasterKeyError` for another master key, `DamagedError` for a key that was changed, and
    `StateError`.
    """
    kept = await secrets.read(CHECKPOINT)
    while kept is None:
        # Not a random one: who loses the database, and not the master key, signs on as before.
        begun = seal_checkpoint_key(master.key_for(_PURPOSE_SIGN), master)
        await secrets.replace(CHECKPOINT, None, begun)
        kept = await secrets.read(CHECKPOINT)
    return Signer(open_checkpoint_key(kept, master).reveal())


def open_checkpoint_key(sealed: str, master: MasterKey) -> Secret:
    """Return the key that is kept as *sealed*. Raises `MasterKeyError` and `DamagedError`."""
    return master.open(_PURPOSE_SEAL, sealed, _ABOUT)


def seal_checkpoint_key(key: Secret, master: MasterKey) -> str:
    return master.seal(_PURPOSE_SEAL, key, _ABOUT)
