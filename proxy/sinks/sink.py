"""The sinks of one process: each follows the record by itself, so that none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from proxy.shipping import Shipper
from proxy.sinks.batches import Copy, batch
from proxy.sinks.cursors import Cursors
from storage.journal import Chain, Kind
from storage.shipping.portions import Cursor

NO_SEGMENT: Final = 10**8
"""The number that follows that of every segment there can be."""


class Receiver(Protocol):
    """The far end of a sink."""

    async def take(self, copies: Sequence[Copy]) -> None:
        """Return once it has all of *copies*. Raise `NotTakenError` if it may not have them."""

    async def close(self) -> None:
        """End its connections."""


@dataclass(frozen=True, slots=True)
class Share:
    """What of the record a sink is sent: records of `kinds`, up to `most` at once."""

    kinds: Collection[Kind] = frozenset(Kind)
    most: int = 500


class Sink:
    """One sink as a destination of the journal in *directory*."""

    def __init__(self, name: str, receiver: Receiver, directory: Path, share: Share) -> None:
        self.receiver = receiver
        self.claim = f"{name}.sink"
        self._directory = directory
        self._share = share
        self._cursors = Cursors(directory, name)

    async def cursor(self, chain: Chain) -> Cursor | None:
        return await asyncio.to_thread(self._cursors.read, chain)

    async def advance(
        self, chain: Chain, after: Cursor | None, until: int | None = None
    ) -> Cursor | None:
        share = self._share
        found = await asyncio.to_thread(
            batch, self._directory, chain, after, until, share.kinds, share.most
        )
        if found is None:
            return None
        if found.copies:
            await self.receiver.take(found.copies)
        # Only now: who is killed before sends them again.
        await asyncio.to_thread(self._cursors.keep, chain, found.cursor)
        return found.cursor


@dataclass(frozen=True, slots=True)
class Sinks:
    """Every sink that is set, each with who sends to it."""

    sinks: Mapping[str, tuple[Sink, Shipper]]

    def needs(self, chain: Chain) -> int | None:
        """Return the number of the oldest segment of *chain* that any sink still needs.

        None if that is unknown, `NO_SEGMENT` where there is no sink. What a sink needs that is set
        no more does not count.
        """
        oldest = NO_SEGMENT
        for _, shipper in self.sinks.values():
            needed = shipper.needs(chain)
            if needed is None:
                return None
            oldest = min(oldest, needed)
        return oldest


@asynccontextmanager
async def sending(sinks: Sinks) -> AsyncIterator[Sinks]:
    """Send to all until the block ends, and then what is left, if that can be done at once."""
    shippers = [shipper for _, shipper in sinks.sinks.values()]
    tasks = [asyncio.create_task(one.follow()) for one in shippers]
    try:
        yield sinks
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(one.finish() for one in shippers))
        for sink, _ in sinks.sinks.values():
            await sink.receiver.close()
