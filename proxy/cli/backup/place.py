"""Whose state it is: the settings of a gateway, its database, and its master key."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.cli.control.endings import Code, CommandError
from proxy.config import Settings, SettingsError, load
from proxy.datadir import DataDirectory
from proxy.identity.sealing import (
    MASTER_KEY_VARIABLE,
    MasterKey,
    MasterKeyError,
    master_key,
)
from storage.errors import DatabaseUnavailableError, DatabaseUrlError, SchemaError, StateError

_DEFAULT: Final = Path("northgate.toml")
_UNREACHED: Final = (DatabaseUnavailableError, DatabaseUrlError, SchemaError)

_Result = TypeVar("_Result")


def settings_of(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings that `northgate serve` would have. Raises `CommandError`."""
    try:
        return load(config or (_DEFAULT if _DEFAULT.exists() else None), environ)
    except SettingsError as error:
        problems = " ".join(map(str, error.problems))
        raise CommandError("settings", f"The settings cannot be used: {problems}") from None


def database_of(settings: Settings) -> str:
    """Return the URL of the database, which may hold a password."""
    return settings.database.url.reveal().decode()


def key_of(settings: Settings, environ: Mapping[str, str]) -> MasterKey:
    """Return the master key, which must be there. Raises `CommandError`."""
    path = DataDirectory(settings.data_dir).master_key
    if MASTER_KEY_VARIABLE not in environ and not path.exists():
        raise CommandError(
            "no-master-key",
            f"There is no master key: {path} does not exist.",
            f"Put the gateway's key there, or in {MASTER_KEY_VARIABLE}, or name its settings with "
            "--config.",
        )
    try:
        return master_key(path, environ)
    except MasterKeyError as error:
        raise CommandError("master-key", str(error)) from None


def where_key_is(settings: Settings, environ: Mapping[str, str]) -> str:
    if MASTER_KEY_VARIABLE in environ:
        return MASTER_KEY_VARIABLE
    return str(DataDirectory(settings.data_dir).master_key)


def finished(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run *work* to its end. Raises `CommandError` for what the state refuses."""
    try:
        return asyncio.run(work)
    except StateError as error:
        raise refusal(error) from None


def refusal(error: StateError) -> CommandError:
    told = f" ({error.detail})" if error.detail else ""
    code = Code.UNUSABLE if isinstance(error, _UNREACHED) else Code.NO
    return CommandError(error.code, f"{error.public}{told}", exit_code=code)
