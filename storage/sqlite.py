"""A database in a file, by SQLite."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from storage.errors import DatabaseUnavailableError, DatabaseUrlError
from storage.migrations.steps import migrate

_PREFIX: Final = "sqlite:///"
_PAUSE: Final = 0.01
_HEARING_SECONDS: Final = 0.02
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "foreign_keys = ON",
    # A revocation that was acknowledged must survive a loss of power, which NORMAL does not ensure.
    "synchronous = FULL",
)


async def opened(url: str, wait: float) -> tuple[AsyncEngine, AsyncEngine]:
    """Open the file of *url* in the newest schema: one engine for reading, one for writing.

    Both have one pool, whose connections wait *wait* seconds for the locks of other processes.
    """
    path = _path(url)
    try:
        await asyncio.to_thread(_create, path)
    except OSError as error:
        raise DatabaseUnavailableError(f"{type(error).__name__}: {path}") from error
    engine = _engine(path, wait)
    writing = engine.execution_options(writes=True)
    try:
        await _connect(engine, wait)
        async with writing.begin() as connection:
            await connection.run_sync(migrate)
    except BaseException:
        await engine.dispose()
        raise
    return engine, writing


@asynccontextmanager
async def hearing(engine: AsyncEngine, heard: Callable[[], None]) -> AsyncIterator[None]:
    """Have *heard* called soon after any process has written to the file."""
    # SQLite brings no news, but every commit writes to this file, and looking at it takes 2 us.
    log = Path(f"{engine.url.database}-wal")
    listening = asyncio.create_task(_listen(log, heard))
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _listen(log: Path, heard: Callable[[], None]) -> None:
    seen = _written_at(log)
    while True:
        await asyncio.sleep(_HEARING_SECONDS)
        written = _written_at(log)
        if written != seen:
            seen = written
            heard()


def _written_at(log: Path) -> int:
    try:
        return os.stat(log).st_mtime_ns  # noqa: PTH116  a third of the time of Path.stat
    except OSError:
        return 0


async def _connect(engine: AsyncEngine, wait: float) -> None:
    """Make the first connection, trying again while other processes make theirs.

    The first of all turns the file to WAL, and for that SQLite does not wait by itself.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait
    while True:
        try:
            async with engine.connect():
                return
        except OperationalError as error:
            if loop.time() >= ends or "locked" not in str(error.orig):
                raise
        await asyncio.sleep(_PAUSE)


def _path(url: str) -> Path:
    # Taken as it is, not parsed: a path may hold what a URL gives a meaning.
    path = url.removeprefix(_PREFIX)
    if path in {url, "", ":memory:"} or "\0" in path:
        raise DatabaseUrlError(url.partition(":")[0])
    return Path(path).absolute()


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileExistsError):
        # SQLite gives the files it puts beside this one the same permissions. One that exists is
        # not opened here: closing it would end the locks that this process has on it.
        os.close(os.open(path, flags, 0o600))


def _engine(path: Path, wait: float) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        # Transactions begin where we say so, and DDL is part of them.
        connect_args={"isolation_level": None, "timeout": wait},
        pool_timeout=wait,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "invalidate", _undo)
    return engine


def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  whatever the driver has
    with closing(connection.cursor()) as cursor:
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")


def _undo(connection: Any, _record: object, _cause: object) -> None:  # noqa: ANN401
    # A connection whose statement was cancelled is closed next, but SQLite keeps its transaction,
    # and with it the lock, for as long as a traceback holds on to that statement.
    with suppress(Exception, asyncio.CancelledError):
        connection.rollback()


def _begin(connection: Connection) -> None:
    # A writer that starts as a reader may find, too late to wait, that another has written since.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
