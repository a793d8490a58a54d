"""The master key changed: everything that is kept under it, sealed anew."""

from __future__ import annotations

from typing import Final

from proxy.identity.bootstrap import BOOTSTRAP, SPENT, open_digest, seal_digest
from proxy.identity.checkpointing import (
    CHECKPOINT,
    open_checkpoint_key,
    seal_checkpoint_key,
)
from proxy.identity.keptring import KeyringChangedError, name_of, read_keyring, written
from proxy.identity.keyring import Plane
from proxy.identity.marking import MARKING, open_marking_key, seal_marking_key
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError
from storage.secrets import SecretLedger

MODE: Final = "mode"
UPSTREAM: Final = "upstream"
"""What is secret of a server is kept as `upstream:` and its name, sealed for this purpose."""

_RINGS: Final = {name_of(plane): plane for plane in Plane}


async def rekey(secrets: SecretLedger, old: MasterKey, new: MasterKey) -> list[str]:
    """Seal under *new* what *secrets* hold under *old*, and return the names of what was changed.

    All of it changes in one transaction or nothing does; what is under *new* already stays, so
    whoever is interrupted does it again. Raises `MasterKeyError` for what is under a third key,
    `DamagedError` for what was changed, `KeyringChangedError` if a gateway that runs changed
    something meanwhile, and `StateError`.
    """
    changes = []
    for name, kept in sorted((await secrets.all()).items()):
        if not _is_plain(name, kept) and not _is_under(new, name, kept):
            changes.append((name, kept, _resealed(name, kept, old, new)))
    if not await secrets.replace_all(changes):
        raise KeyringChangedError
    return [name for name, _, _ in changes]


def _is_plain(name: str, kept: str) -> bool:
    return name == MODE or (name == BOOTSTRAP and kept == SPENT)


def _is_under(master: MasterKey, name: str, kept: str) -> bool:
    try:
        _resealed(name, kept, master, master)
    except MasterKeyError:
        return False
    return True


def _resealed(name: str, kept: str, old: MasterKey, new: MasterKey) -> str:
    """Return *kept* under *new*. Raises `MasterKeyError` unless it is under *old*."""
    if name in _RINGS:
        return written(read_keyring(kept, _RINGS[name], old).reseal(old, new), new)
    if name == MARKING:
        return seal_marking_key(open_marking_key(kept, old), new)
    if name == CHECKPOINT:
        return seal_checkpoint_key(open_checkpoint_key(kept, old), new)
    if name == BOOTSTRAP:
        return seal_digest(open_digest(kept, old), new)
    if name.startswith(f"{UPSTREAM}:"):
        about = name.encode()
        return new.seal(UPSTREAM, old.open(UPSTREAM, kept, about), about)
    # Left as it is, it would be lost with the old key.
    raise DamagedError(f"This version knows no secret that is called {name[:64]!r}.")
