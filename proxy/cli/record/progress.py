"""How far a long work on the journal is: a bar on a terminal, once it takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from proxy.cli.policy import console
from storage.journal.reading import id_at, reaching
from storage.journal.segments import chains

_SECONDS_WITHOUT_A_BAR: Final = 0.5


@contextmanager
def progress(what: str, directory: Path, since: str = "") -> Iterator[Callable[[int], None]]:
    """Give a function to tell of how many bytes more of the journal in *directory* are done.

    Of segments, those count that are read for the records *since* then.
    """
    err = console.err()
    bar = Progress(
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
    task = bar.add_task("", total=_size(directory, since))
    began, running = time.monotonic(), False

    def tick(size: int) -> None:
        nonlocal running
        if not running and err.is_terminal and time.monotonic() - began > _SECONDS_WITHOUT_A_BAR:
            running = True
            bar.start()
        bar.advance(task, size)

    try:
        yield tick
    finally:
        # Stopped without having run, a bar writes an empty line.
        if running:
            bar.stop()


def _size(directory: Path, since: str) -> int:
    size, least = 0, id_at(since) if since else ""
    for own in chains(directory).values():
        for segment in reaching(directory, own, least):
            with suppress(FileNotFoundError):  # removed meanwhile
                size += (directory / segment.file).stat().st_size
    return size
