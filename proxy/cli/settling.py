"""What serving begins with, in one process or in several: settings, and words where it cannot."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import typer

from proxy.config import Settings, SettingsError, load
from proxy.starting import NotStartableError
from proxy.telemetry.events import Events

DEFAULT_FILE: Final = Path("northgate.toml")

STOPPED: Final = 0
UNUSABLE: Final = 2

_ADDRESS_ERRORS: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}


def default_file() -> Path | None:
    """Return the file of the settings where none is named."""
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def settled(config: Path | None) -> Settings | int:
    """Return the settings, or the exit code if they cannot be used: then every problem is told."""
    try:
        return load(config, os.environ)
    except SettingsError as error:
        return refused(error.problems, "The settings cannot be used:")


def warn(settings: Settings, events: Events) -> None:
    """Tell what is allowed in *settings* and deserves a second look."""
    for warning in settings.warnings:
        events.settings_warning(setting=warning.key, problem=str(warning))


def refused(problems: Iterable[object], title: str) -> int:
    """Tell *problems* on stderr and return the exit code for them."""
    typer.echo(title, err=True)
    for problem in problems:
        typer.echo(f"  {problem}", err=True)
    return UNUSABLE


def cannot_start(error: NotStartableError) -> int:
    return refused(error.problems, "The gateway cannot start:")


def cannot_listen(error: Exception) -> int:
    return refused([_sentence(error)], "The gateway cannot listen:")


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in _ADDRESS_ERRORS:
        # The system's text tells the address.
        return f"{error.strerror}. Set data.listen or admin.listen to another one."
    return getattr(error, "public", "") or f"{type(error).__name__}: {error}"
