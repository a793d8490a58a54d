"""Hearing, in one process, of what others changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from storage.engine import Database
from storage.errors import StateError
from storage.tables import CounterRow
from storage.versions import RESTORES, WHATS, What

LOOK_SECONDS: Final = 0.5
"""Between two looks at the versions, where nothing is heard of a change before."""


class Watch:
    """Knows the versions of the state, and when it last did."""

    def __init__(self, database: Database, on_change: Callable[[What], None]) -> None:
        """Use `watching` instead."""
        self._database = database
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._known: dict[str, int] = {}
        self._looked_at = self._loop.time()

    @property
    def behind(self) -> float:
        """The seconds since the state was last seen, and what had changed was told."""
        return self._loop.time() - self._looked_at

    async def begin(self) -> None:
        """Take the versions of now as known."""
        async with self._database.reading() as session:
            self._known = await _versions(await session.connection())

    async def follow(self) -> None:
        """Tell of changes until cancelled, whatever happens to the database meanwhile."""
        while True:
            started = self._loop.time()
            try:
                await self._listen()
            except StateError:
                pass  # an outage, which `behind` tells of; what changed in it is found afterwards
            except Exception as error:  # noqa: BLE001  who stops looking would never see a revocation
                self._report("The watch failed", error)
            if self._looked_at < started:  # else the connection was good, and the next may be
                await asyncio.sleep(LOOK_SECONDS)

    async def _listen(self) -> None:
        async with self._database.listening(self._news.set) as connection:
            while True:
                self._news.clear()
                began = self._loop.time()
                async with connection.begin():
                    versions = await _versions(connection)
                if self._tell(versions):
                    self._looked_at = began
                # Not all databases bring news, and no connection brings all of it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()

    def _tell(self, versions: Mapping[str, int]) -> bool:
        """Tell of what has another version now. Return whether all of it was taken."""
        # What was restored may be something else under the same version.
        restored = versions.get(RESTORES) != self._known.get(RESTORES)
        for what in WHATS:
            if restored or versions[what] != self._known[what]:
                try:
                    self._on_change(what)
                except Exception as error:  # noqa: BLE001  told again at the next look
                    self._report("What is told of changes failed", error)
                    return False
                self._known[what] = versions[what]
        self._known = {**versions}
        return True

    def _report(self, message: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error})


@asynccontextmanager
async def watching(database: Database, on_change: Callable[[What], None]) -> AsyncIterator[Watch]:
    """Call *on_change* with what changed, in any process, since the block was entered.

    It comes within `LOOK_SECONDS`, or at once where the database brings news, and once for several
    changes in a row; after an outage it comes when the database is back. One that raises is called
    again. Raise `DatabaseUnavailableError` if the database cannot be read at the start.
    """
    watch = Watch(database, on_change)
    await watch.begin()
    following = asyncio.create_task(watch.follow())
    try:
        yield watch
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _versions(connection: AsyncConnection) -> dict[str, int]:
    wanted = select(CounterRow.name, CounterRow.value).where(
        col(CounterRow.name).in_((*WHATS, RESTORES))
    )
    return {row.name: row.value for row in await connection.execute(wanted)}
