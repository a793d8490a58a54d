"""Databases of tests: real files, opened and closed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from storage.engine import WAIT_SECONDS, Database, open_database


def file_in(directory: Path) -> Path:
    return directory / "state" / "northgate.db"


@asynccontextmanager
async def opened(directory: Path, *, wait: float = WAIT_SECONDS) -> AsyncIterator[Database]:
    """Open the database in *directory*, new or as it was left."""
    database = await open_database(f"sqlite:///{file_in(directory)}", wait=wait)
    try:
        yield database
    finally:
        await database.close()


def ticking(start: float = 1_000.5) -> Callable[[], float]:
    """Return a clock that is a second later each time it is asked."""
    return itertools.count(start).__next__
