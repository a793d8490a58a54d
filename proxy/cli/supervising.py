"""`northgate serve --workers N`: a supervisor, and one gateway in each process below it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from proxy.cli.settling import (
    cannot_listen,
    cannot_start,
    default_file,
    settled,
    warn,
)
from proxy.config import Settings
from proxy.starting import NotStartableError, prepare
from proxy.telemetry.events import Events
from proxy.workers.place import SharedLog, held_ports, meeting_place
from proxy.workers.supervisor import Supervisor

_SPARE_SECONDS: Final = 5.0
"""Beyond what running calls get at shutdown, for the rest of it."""


def run(config: Path | None, workers: int) -> int:
    """Serve with so many *workers* until SIGTERM or SIGINT, and return the exit code."""
    file = config or default_file()
    settings = settled(file)
    if isinstance(settings, int):
        return settings
    try:
        # Looked at here, so that what is wrong is told once; each worker reads it for itself.
        prepare(settings, os.environ)
        _check_ports(settings)
    except NotStartableError as error:
        return cannot_start(error)
    addresses = [(one.host, one.port) for one in (settings.data.listen, settings.admin.listen)]
    try:
        with held_ports(*addresses), meeting_place(settings.data_dir, file) as place:
            return _supervise(settings, workers, place)
    except OSError as error:
        return cannot_listen(error)


def _supervise(settings: Settings, workers: int, place: Path) -> int:
    with closing(SharedLog(sys.stderr, place)) as log:
        events = Events(settings.telemetry.log_level, log)
        warn(settings, events)
        command = partial(_command, place, workers)
        grace = settings.limits.shutdown_seconds + _SPARE_SECONDS
        return Supervisor(command, workers, events, grace).run()


def _command(place: Path, count: int, number: int) -> list[str]:
    # Without -P, whatever lies in the working directory would be imported first.
    module = ("-P", "-m", "proxy.cli.worker")
    return [sys.executable, *module, str(place), str(count), str(number)]


def _check_ports(settings: Settings) -> None:
    problems = list(_unshared(settings))
    if problems:
        raise NotStartableError(problems)


def _unshared(settings: Settings) -> Iterator[str]:
    for key, listen in (("data", settings.data.listen), ("admin", settings.admin.listen)):
        if not listen.port:
            yield f"{key}.listen: workers share one port, which cannot be 0. Choose one."
