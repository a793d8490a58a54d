"""`northgate restore`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from proxy.cli.backup import files, place, showing
from proxy.cli.control.endings import CommandError
from proxy.cli.policy import console
from proxy.identity.sealing import MasterKey
from storage.backup import Backup, check_backup, restore_backup
from storage.errors import StateError

_AFTER: Final = (
    "What was revoked, suspended or ended after that moment is not so any more: do it again."
)


def run(
    path: Path, config: Path | None, environ: Mapping[str, str], *, replace: bool, json: bool
) -> None:
    """Restore the backup and tell of it. Raises `CommandError`."""
    settings = place.settings_of(config, environ)
    key = place.key_of(settings, environ)
    url = place.database_of(settings)
    with files.read(path) as file, showing.progress("Restoring") as told:
        backup = place.finished(restore_backup(url, file, key, replace=replace, told=told))
    _tell(path, backup, "restored", json=json)
    if not json:
        console.out().print(_AFTER)


def check(path: Path, config: Path | None, environ: Mapping[str, str], *, json: bool) -> None:
    """Tell whether the backup is whole. Raises `CommandError` if it is not."""
    with files.read(path) as file:
        try:
            backup = check_backup(file, _key_at_hand(config, environ))
        except StateError as error:
            raise place.refusal(error) from None
    _tell(path, backup, "whole", json=json)


def _key_at_hand(config: Path | None, environ: Mapping[str, str]) -> MasterKey | None:
    """Return the master key if it is here; a backup may be checked where no gateway is."""
    try:
        return place.key_of(place.settings_of(config, environ), environ)
    except CommandError:
        if config is not None:
            raise
        return None


def _tell(path: Path, backup: Backup, done: str, *, json: bool) -> None:
    if json:
        document = {"file": str(path), **showing.document(backup), "proven": backup.proven}
        console.print_json(document)
        return
    showing.print_backup(console.out(), path, backup, done)
    if not backup.proven:
        console.out().print(
            console.visible(
                f"Only the master key {backup.header.master_key} could prove that nobody made it "
                "up, and that key is not here."
            )
        )
