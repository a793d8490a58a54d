"""Where a gateway's past is: its record, its facts, its policies, and the key of its digests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from proxy.cli.policy.inputs import InputError
from proxy.config import SettingsError, load
from proxy.datadir import DataDirectory
from proxy.identity.sealing import (
    MASTER_KEY_VARIABLE,
    DamagedError,
    MasterKey,
    MasterKeyError,
    master_key,
)
from storage.engine import Database, open_database
from storage.errors import StateError

_FILE: Final = "sqlite:///"
_WAIT_SECONDS: Final = 60.0
"""For one statement: whoever waits at a terminal has more time than a call."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory, its database, its policy of now, and the master key if it is there."""

    data_dir: Path
    database: str
    policies: Path
    master: MasterKey | None

    def read(self, work: Callable[[Database], Awaitable[_Result]]) -> _Result:
        """Return what *work* reads from the database. Raise `InputError` if it cannot be read."""
        file = Path(self.database.removeprefix(_FILE))
        if self.database.startswith(_FILE) and not file.exists():
            # To open it would make it.
            raise InputError.saying(
                f"{file}: there is no database here, and so no facts; name the settings of the "
                "gateway with --config."
            )
        try:
            return asyncio.run(self._done(work))
        except StateError as error:
            told = f" ({error.detail})" if error.detail else ""
            raise InputError.saying(f"{error.public}{told}") from error

    async def _done(self, work: Callable[[Database], Awaitable[_Result]]) -> _Result:
        database = await open_database(self.database, wait=_WAIT_SECONDS)
        try:
            return await work(database)
        finally:
            await database.close()


def located(data_dir: Path, config: Path | None, environ: Mapping[str, str]) -> Place:
    """Return where the past of the gateway is that has the settings *config*, or *data_dir*.

    Raise `InputError` for settings, or a key, that cannot be used.
    """
    if config is None:
        url = f"{_FILE}{data_dir.absolute() / 'northgate.db'}"
        return Place(data_dir, url, data_dir / "policies", _key(data_dir, environ))
    try:
        settings = load(config, environ)
    except SettingsError as error:
        raise InputError.saying(*map(str, error.problems)) from error
    return Place(
        settings.data_dir,
        settings.database.url.reveal().decode(),
        settings.policy.path,
        _key(settings.data_dir, environ),
    )


def _key(data_dir: Path, environ: Mapping[str, str]) -> MasterKey | None:
    path = DataDirectory(data_dir).master_key
    if MASTER_KEY_VARIABLE not in environ and not path.exists():
        return None  # a copy of a record need not come with its key
    try:
        return master_key(path, environ)
    except (MasterKeyError, DamagedError) as error:
        raise InputError.saying(str(error)) from error
