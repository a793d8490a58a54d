"""`northgate backup`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from proxy.cli.backup import files, place, showing
from proxy.cli.control.endings import CommandError
from proxy.cli.policy import console
from proxy.config import Settings
from proxy.datadir import DataDirectory
from proxy.identity.sealing import MasterKey
from storage.backup import Backup, Made, write_backup
from storage.engine import open_database

_WAIT_SECONDS = 60.0
"""For one statement, and for whoever takes what is written."""
_FILE = "sqlite:///"


def run(
    path: Path, config: Path | None, environ: Mapping[str, str], *, force: bool, json: bool
) -> None:
    """Write the backup and tell of it. Raises `CommandError`."""
    if json and path == files.STDOUT:
        raise CommandError("usage", "--json and the backup both want stdout.", "Name a file.")
    settings = place.settings_of(config, environ)
    _check_there(place.database_of(settings))
    key = place.key_of(settings, environ)
    with files.written(path, force=force) as file, showing.progress("Writing") as told:
        backup = place.finished(_written(settings, file, key, told))
        size = file.tell() if file.seekable() else None
    missing = _missing(settings, environ)
    if json:
        document = {"file": str(path), "bytes": size, **showing.document(backup)}
        console.print_json({**document, "not_included": missing})
        return
    stream = console.err() if path == files.STDOUT else console.out()
    showing.print_backup(stream, path, backup, "written")
    for line in _told(backup, missing):
        stream.print(console.visible(line))


async def _written(
    settings: Settings, file: BinaryIO, key: MasterKey, told: showing.Told
) -> Backup:
    database = await open_database(place.database_of(settings), wait=_WAIT_SECONDS)
    try:
        made = Made(time.time(), version("northgate"))
        return await write_backup(database, file, made, key, told)
    finally:
        await database.close()


def _check_there(url: str) -> None:
    # To open a file that is not there would make it.
    path = Path(url.removeprefix(_FILE))
    if url.startswith(_FILE) and not path.exists():
        raise CommandError(
            "no-database",
            f"There is no database: {path} does not exist.",
            "Name the settings of the gateway with --config.",
        )


def _missing(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    return {
        "master_key": place.where_key_is(settings, environ),
        "record": str(DataDirectory(settings.data_dir).journal),
        "policy": str(settings.policy.path),
    }


def _told(backup: Backup, missing: Mapping[str, str]) -> Iterator[str]:
    yield "Not in it:"
    yield (
        f"  the master key {backup.header.master_key}, without which what is sealed is lost: keep "
        f"a copy of {missing['master_key']} elsewhere"
    )
    yield (
        f"  the record, which its own chain proves and which grows: copy {missing['record']} as "
        "it is"
    )
    yield f"  the policy and the settings: copy {missing['policy']} and the settings' file"
