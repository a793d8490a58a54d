"""How far a replay is: a bar on a terminal, once it takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from proxy.cli.policy import console

_SECONDS_WITHOUT_A_BAR: Final = 0.5
_SHARES: Final = 1000


@contextmanager
def progress(since: str, until: str) -> Iterator[Callable[[int, str], None]]:
    """Give a function to tell how many records were read, and the time of the last.

    *since* and *until* are the times, as records write them, between which they all are.
    """
    err = console.err()
    bar = Progress(
        TextColumn("Replaying"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[count]:,} records"),
        console=err,
        transient=True,
    )
    task = bar.add_task("", total=_SHARES, count=0)
    began, running = time.monotonic(), False
    start, end = _seconds(since), _seconds(until)

    def tick(count: int, moment: str) -> None:
        nonlocal running
        if not running and err.is_terminal and time.monotonic() - began > _SECONDS_WITHOUT_A_BAR:
            running = True
            bar.start()
        if running:
            share = (_seconds(moment) - start) / max(end - start, 1e-6)
            bar.update(task, completed=share * _SHARES, count=count)

    try:
        yield tick
    finally:
        # Stopped without having run, a bar writes an empty line.
        if running:
            bar.stop()


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
