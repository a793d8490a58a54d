"""Several processes that share one database, each with its own connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from storage.engine import open_database
from storage.secrets import SecretLedger
from tests.identity.workshop import Clock
from tests.storage.state.places import Place

T = TypeVar("T")


@asynccontextmanager
async def sharing(place: Place, count: int = 2) -> AsyncIterator[list[SecretLedger]]:
    """Give each of *count* processes the secrets in the database of *place*."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            database = await open_database(place.url)
            stack.push_async_callback(database.close)
            found.append(SecretLedger(database, Clock()))
        yield found


def told(place: Place, story: Callable[..., Awaitable[T]], count: int = 2) -> T:
    """Run *story* with the secrets as *count* processes have them."""

    async def run() -> T:
        async with sharing(place, count) as found:
            return await story(*found)

    return asyncio.run(run())
