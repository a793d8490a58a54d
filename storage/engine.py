"""The database of the state: opening it, and its transactions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.errors import DatabaseUnavailableError, DatabaseUrlError
from storage.migrations.steps import migrate

WAIT_SECONDS: Final = 5.0
_PAUSE: Final = 0.01

_SQLITE: Final = "sqlite:///"
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "foreign_keys = ON",
    # A revocation that was acknowledged must survive a loss of power, which NORMAL does not ensure.
    "synchronous = FULL",
)
# Mistakes of ours, not of the database: trying again would not help.
_OURS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


class Database:
    """One database, open in one event loop."""

    def __init__(self, engine: AsyncEngine, wait: float) -> None:
        """Use `open_database` instead."""
        self._wait = wait
        self._engine = engine
        self._writing = engine.execution_options(writes=True)
        self._turn = asyncio.Lock()
        self._running = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._is_closed = False

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncSession]:
        """Run one transaction that may write, alone: others wait, in the order they came.

        It is committed at the end of the block, and undone if the block raises or is cancelled.
        Raise `DatabaseUnavailableError` if the database fails or its turn does not come in time.
        """
        async with self._transaction(), self._taking_turns(), self._session(self._writing) as one:
            yield one

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Run one transaction that only reads, and sees the state of one moment.

        Raise `DatabaseUnavailableError` if the database fails.
        """
        async with self._transaction(), self._session(self._engine) as one:
            yield one

    async def close(self) -> None:
        """Let the transactions that run end, and let go of the database. Nothing runs after."""
        self._is_closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._wait):
                await self._unused.wait()
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        if self._is_closed:
            raise DatabaseUnavailableError("closed")
        self._running += 1
        self._unused.clear()
        try:
            with _failures():
                yield
        finally:
            self._running -= 1
            if not self._running:
                self._unused.set()

    @asynccontextmanager
    async def _taking_turns(self) -> AsyncIterator[None]:
        # SQLite lets writers poll, and may let the last to come go first; here they queue. Only
        # other processes are left to its polling.
        try:
            async with asyncio.timeout(self._wait):
                await self._turn.acquire()
        except TimeoutError:
            raise DatabaseUnavailableError("too many changes wait") from None
        try:
            yield
        finally:
            self._turn.release()

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session


async def open_database(url: str, *, wait: float = WAIT_SECONDS) -> Database:
    """Open the database at *url*, `sqlite:///` and a path, and bring it to the newest schema.

    A new file, and the directory it needs, are for their owner only. *wait* is how many seconds a
    transaction waits for its turn, for a connection, and for the locks of other processes. Raise
    `DatabaseUrlError` for another URL, `SchemaError` for a database of a newer release, and
    `DatabaseUnavailableError` if it cannot be opened.
    """
    path = _path(url)
    try:
        await asyncio.to_thread(_create, path)
    except OSError as error:
        raise DatabaseUnavailableError(f"{type(error).__name__}: {path}") from error
    engine = _sqlite(path, wait)
    try:
        with _failures():
            await _connect(engine, wait)
            async with engine.execution_options(writes=True).begin() as connection:
                await connection.run_sync(migrate)
    except BaseException:
        await engine.dispose()
        raise
    return Database(engine, wait)


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
    path = url.removeprefix(_SQLITE)
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


def _sqlite(path: Path, wait: float) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        # Transactions begin where we say so, and DDL is part of them.
        connect_args={"isolation_level": None, "timeout": wait},
        pool_timeout=wait,
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


@contextmanager
def _failures() -> Iterator[None]:
    """Tell the failures of the database from mistakes of ours, and keep statements out of them."""
    try:
        yield
    except _OURS:
        raise
    except (DatabaseError, InterfaceError) as error:
        raise DatabaseUnavailableError(f"{type(error.orig).__name__}: {error.orig}") from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError("no connection became free") from error
