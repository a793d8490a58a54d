"""One worker: `python -m proxy.cli.worker DIRECTORY COUNT NUMBER`, which a supervisor starts."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import closing
from pathlib import Path

from proxy.app import Gateway
from proxy.cli.serving import idle, serve
from proxy.cli.settling import settled
from proxy.telemetry.capture import LibraryLog
from proxy.telemetry.events import Events
from proxy.workers.lifeline import Lifeline
from proxy.workers.place import SETTINGS_NAME, SharedLog, leave
from proxy.workers.worker import Worker


def run(worker: Worker, place: Path) -> int:
    """Serve until told to stop, or until the supervisor is gone; return the exit code."""
    file = place / SETTINGS_NAME
    settings = settled(file if file.exists() else None)
    if isinstance(settings, int):
        return settings
    with closing(SharedLog(sys.stderr, place)) as log, closing(Lifeline()) as line:
        events = Events(settings.telemetry.log_level, log, worker.number)

        async def during(gateway: Gateway, told: asyncio.Event) -> int:
            with line.held(told.set):
                return await idle(gateway, told)

        with LibraryLog(events):
            code = serve(settings, os.environ, events, during, worker)
        if line.is_cut:
            leave(place)
    return code


def main() -> None:
    directory, count, number = sys.argv[1:]
    place = Path(directory)
    sys.exit(run(Worker(int(number), int(count), place), place))


if __name__ == "__main__":
    main()
