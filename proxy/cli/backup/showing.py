"""What these commands show: how far they are, and what a backup holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from proxy.cli.policy import console
from storage.backup import Backup

Told = Callable[[int, int], None]


@contextmanager
def progress(what: str) -> Iterator[Told]:
    """Give what tells how many rows are done, of how many: on stderr, if that is a terminal."""
    stream = console.err()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=stream,
        disable=not stream.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def document(backup: Backup) -> dict[str, object]:
    return {**asdict(backup.header), "rows": dict(backup.rows)}


def print_backup(stream: Console, path: Path, backup: Backup, done: str) -> None:
    """Write what *backup*, at *path*, holds; *done* says what became of it."""
    header = backup.header
    at = datetime.fromtimestamp(header.created_at, UTC).isoformat(timespec="seconds")
    rows = sum(backup.rows.values())
    stream.print(
        console.visible(
            f"{path} is {done}: {console.counted(rows, 'row')} of {at}, by northgate "
            f"{header.northgate} on {header.database}, schema {header.schema}."
        )
    )
    print_rows(stream, backup.rows)


def print_rows(stream: Console, rows: Mapping[str, int]) -> None:
    cells = [
        (Text(f"  {name}"), Text(f"{count:,}")) for name, count in sorted(rows.items()) if count
    ]
    if cells:
        console.print_columns(stream, cells)
