"""Databases of tests: real files and a real server, opened and closed."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, event

from storage.engine import WAIT_SECONDS, Database, open_database
from tests.storage.postgres import Server


class Place(Protocol):
    """Where a test has its database."""

    @property
    def url(self) -> str: ...

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run *statements* past the code under test, and return the rows of the last."""


class FilePlace:
    """A file in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.file = file_in(directory)
        self.url = f"sqlite:///{self.file}"

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return [connection.execute(one).fetchall() for one in statements][-1]


class ServerPlace:
    """A database on the server of the tests."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.url = server.url(name)

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        return [[tuple(row) for row in self.server.ask(one, self.name)] for one in statements][-1]


def file_in(directory: Path) -> Path:
    return directory / "state" / "northgate.db"


@asynccontextmanager
async def opened(place: Place, *, wait: float = WAIT_SECONDS) -> AsyncIterator[Database]:
    """Open the database of *place*, new or as it was left."""
    database = await open_database(place.url, wait=wait)
    try:
        yield database
    finally:
        await database.close()


def ticking(start: float = 1_000.5) -> Callable[[], float]:
    """Return a clock that is a second later each time it is asked."""
    return itertools.count(start).__next__


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the statements that any database runs in the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
