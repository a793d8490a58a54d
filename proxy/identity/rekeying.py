"""The master key changed: everything that is kept under it, sealed anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.identity.keyfile import read_keyring, write_keyring
from proxy.identity.keyring import Plane
from proxy.identity.marking import read_marking_key, write_marking_key
from proxy.identity.sealing import MasterKey, MasterKeyError, locked

Work = Callable[[], None]


def rekey(keyrings: dict[Plane, Path], marking: Path, old: MasterKey, new: MasterKey) -> list[Path]:
    """Seal under *new* what these files hold under *old*, and return those that were changed.

    All of them are read before the first is written, and each is replaced whole; files that do not
    exist are left out, and those that are under *new* already stay, so whoever is interrupted does
    it again. Raises `MasterKeyError` for a file under a third key or that others may read,
    `DamagedError` for one that was changed, and `OSError`.
    """
    planned: list[tuple[Path, Work]] = []
    for plane, path in keyrings.items():
        if path.exists():
            planned += _for_keyring(path, plane, old, new)
    if marking.exists():
        planned += _for_marking(marking, old, new)
    for path, write in planned:
        with locked(path):
            write()
    return [path for path, _ in planned]


def _for_keyring(
    path: Path, plane: Plane, old: MasterKey, new: MasterKey
) -> list[tuple[Path, Work]]:
    if _is_done(lambda: read_keyring(path, plane, new)):
        return []
    resealed = read_keyring(path, plane, old).reseal(old, new)
    return [(path, lambda: write_keyring(path, resealed, new))]


def _for_marking(path: Path, old: MasterKey, new: MasterKey) -> list[tuple[Path, Work]]:
    if _is_done(lambda: read_marking_key(path, new)):
        return []
    key = read_marking_key(path, old)
    return [(path, lambda: write_marking_key(path, key, new))]


def _is_done(read: Callable[[], object]) -> bool:
    try:
        read()
    except MasterKeyError:
        return False
    return True
