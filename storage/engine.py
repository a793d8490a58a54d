"""The database of the state: opening it, and its transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from storage import postgresql, sqlite
from storage.errors import DatabaseUnavailableError
from storage.failures import failures

WAIT_SECONDS: Final = 5.0


class Database:
    """One database, open in one event loop."""

    def __init__(
        self,
        reading: AsyncEngine,
        writing: AsyncEngine,
        wait: float,
        copying: AsyncEngine | None = None,
    ) -> None:
        """Use `open_database` instead."""
        self._wait = wait
        self._reading = reading
        self._writing = writing
        self._copying = copying
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
    async def copying(self) -> AsyncIterator[AsyncSession]:
        """Run one transaction that adds copies of the record, and that no change waits for.

        On a server it has a connection of its own and takes no turn, so others may write beside
        it. A file has one writer at a time, whoever it is: there it is as `changing`. Raise
        `DatabaseUnavailableError` if the database fails.
        """
        if self._copying is None:
            async with self.changing() as one:
                yield one
        else:
            async with self._transaction(), self._session(self._copying) as one:
                yield one

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Run one transaction that only reads, and sees the state of one moment.

        Raise `DatabaseUnavailableError` if the database fails.
        """
        async with self._transaction(), self._session(self._reading) as one:
            yield one

    @asynccontextmanager
    async def listening(self, heard: Callable[[], None]) -> AsyncIterator[AsyncConnection]:
        """Hold a connection for short transactions that only read, one after another.

        *heard* is called when another process tells that it changed the state, if the database
        carries such news. Raise `DatabaseUnavailableError` if it fails, and once it is closed.
        """
        if self._is_closed:
            raise DatabaseUnavailableError("closed")
        with failures():
            async with AsyncExitStack() as stack:
                connection = await stack.enter_async_context(self._reading.connect())
                try:
                    if connection.dialect.name == "postgresql":
                        await postgresql.listen(connection, heard)
                    else:
                        await stack.enter_async_context(sqlite.hearing(self._reading, heard))
                    yield connection
                finally:
                    # Nobody else should have one that hears.
                    await connection.invalidate()

    async def close(self) -> None:
        """Let the transactions that run end, and let go of the database. Nothing runs after."""
        self._is_closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * self._wait):
                await self._unused.wait()
        for engine in filter(None, (self._reading, self._copying)):
            await engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        if self._is_closed:
            raise DatabaseUnavailableError("closed")
        self._running += 1
        self._unused.clear()
        try:
            with failures():
                yield
        finally:
            self._running -= 1
            if not self._running:
                self._unused.set()

    @asynccontextmanager
    async def _taking_turns(self) -> AsyncIterator[None]:
        # SQLite lets writers poll, and may let the last to come go first; here they queue, and
        # take one connection of the few. Only other processes are left to the database.
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
    """Open the database at *url* and bring it to the newest schema.

    *url* is `sqlite:///` and a path, or `postgresql://` and what libpq would take. A new file, and
    the directory it needs, are for their owner only. *wait* is how many seconds a transaction
    waits for its turn, for a connection, for the locks of other processes, and for the answer to
    one statement. Raise `DatabaseUrlError` for another URL, `SchemaError` for a database of a newer
    release, and `DatabaseUnavailableError` if it cannot be opened.
    """
    is_server = url.startswith(postgresql.SCHEMES)
    with failures():
        if is_server:
            reading, writing = await postgresql.opened(url, wait)
            return Database(reading, writing, wait, postgresql.copying(url, wait))
        reading, writing = await sqlite.opened(url, wait)
    return Database(reading, writing, wait)
