"""Copying the record to the database and to sinks, beside the calls and never in their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from storage.errors import StateError
from storage.journal import Chain, JournalError
from storage.journal.segments import Segment
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import Cursor, Feed, claimed, feed, left_behind, portion
from storage.shipping.resuming import resumed

LOOK_SECONDS: Final = 0.25
"""Between two looks for records that are not copied yet."""

LEFT_SECONDS: Final = 30.0
"""Between two looks for chains whose writers are gone."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
LAST_SECONDS: Final = 5.0
"""For what is left to be copied when the gateway ends; the next start does the rest."""


class NotTakenError(Exception):
    """A destination did not take what it was given. `detail` holds no secret."""

    code = "not-taken"
    public = "The record was not taken. It is tried again until it is."

    def __init__(self, detail: str) -> None:
        super().__init__(f"{self.code}: {detail}")
        self.detail = detail


_FAILURES: Final = (StateError, JournalError, NotTakenError, OSError)


class Destination(Protocol):
    """Where chains are copied to, and how far each was.

    Both methods raise `StateError`, `JournalError`, `NotTakenError` or `OSError` where that fails;
    then it may be tried again.
    """

    @property
    def claim(self) -> str:
        """What tells claims for this destination from those for others."""

    async def cursor(self, chain: Chain) -> Cursor | None:
        """Return how far *chain* was copied; None if nothing of it was."""

    async def advance(
        self, chain: Chain, after: Cursor | None, until: int | None = None
    ) -> Cursor | None:
        """Copy what follows *after*, up to the record *until*, or a part of it.

        Return how far that is, once it is kept; None if nothing follows.
        """


class ToDatabase:
    """The tables of the database."""

    claim = "shipping"

    def __init__(self, ledger: ShippingLedger, directory: Path) -> None:
        self._ledger = ledger
        self._directory = directory
        self._feeds: dict[Chain, Feed] = {}

    async def cursor(self, chain: Chain) -> Cursor | None:
        if chain not in self._feeds:
            self._feeds[chain] = await asyncio.to_thread(feed, self._directory, chain)
        return await resumed(self._ledger, self._directory, self._feeds[chain])

    async def advance(
        self, chain: Chain, after: Cursor | None, until: int | None = None
    ) -> Cursor | None:
        found = await asyncio.to_thread(portion, self._directory, chain, after, until=until)
        if found is None:
            return None
        await self._ledger.take(self._feeds[chain], found)
        return found.cursor


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told of what.

    `failed` takes a code and a detail, `recovered` the seconds since, `fault` a fault of ours.
    """

    failed: Callable[[str, str], None]
    recovered: Callable[[float], None]
    fault: Callable[[BaseException], None]


@dataclass(frozen=True, slots=True)
class Source:
    """The journal in `directory`, of which this process writes `own`, `durable` up to a number."""

    directory: Path
    own: Chain
    durable: Callable[[], int]


class Shipper:
    """Copies this process's own chain of the journal, and those whose writers are gone.

    *monotonic* and *now* tell seconds, the latter since the epoch.
    """

    def __init__(
        self,
        destination: Destination,
        source: Source,
        reports: Reports,
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._destination = destination
        self._source = source
        self._reports = reports
        self._monotonic = monotonic
        self._now = now
        self._cursors: dict[Chain, Cursor | None] = {}
        self._broken: set[Chain] = set()
        self._under_way: asyncio.Future[Cursor | None] = asyncio.Future()
        self._under_way.set_result(None)
        self._before = source.durable()
        self._whole_at = monotonic()
        self._failing_since: float | None = None
        self._pause = FIRST_PAUSE
        self._next_left = monotonic()

    @property
    def behind(self) -> int:
        """The records of this process that are durable and not copied.

        Until it is known how far its chain was copied, those since the start.
        """
        own = self._source.own
        cursor = self._cursors.get(own)
        copied = cursor.seq if cursor else 0 if own in self._cursors else self._before
        return max(0, self._source.durable() - copied)

    @property
    def lag(self) -> float:
        """The seconds since every record of this process was copied."""
        is_behind = self.behind > 0 or self._failing_since is not None
        return self._monotonic() - self._whole_at if is_behind else 0.0

    def needs(self, chain: Chain) -> int | None:
        """Return the number of the first segment of *chain* that is not copied to its end.

        None if that is unknown. Of a chain that is left, the last segment may be copied to its end.
        """
        cursor = self._cursors.get(chain)
        if cursor is None:
            return None
        position = cursor.position
        if chain == self._source.own:
            return position.segment
        path = self._source.directory / Segment(chain, position.segment).file
        try:
            is_copied = path.stat().st_size == position.offset
        except FileNotFoundError:
            is_copied = True
        return position.segment + is_copied

    async def follow(self) -> None:
        """Copy what becomes durable, until cancelled, whatever happens to the destination."""
        async with AsyncExitStack() as stack:
            is_claimed = False
            while True:
                if not is_claimed:
                    # Correct without it: it tells the others that this chain is looked after.
                    is_claimed = await self._claim(stack)
                if await self._tried():
                    await self._look_around()
                is_well = self._failing_since is None
                await asyncio.sleep(LOOK_SECONDS if is_well else self._pause)

    async def finish(self) -> None:
        """Copy what is left, if that can be done at once."""
        try:
            if self._failing_since is None:
                with suppress(TimeoutError, *_FAILURES):
                    async with asyncio.timeout(LAST_SECONDS):
                        await self._copy_rest()
        finally:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _copy_rest(self) -> None:
        # To break off what is nearly there would only have it copied again.
        await self._under_way
        self._cursors.pop(self._source.own, None)
        await self._copy_own()

    async def _tried(self) -> bool:
        """Copy this process's own chain, and tell whether that went well."""
        try:
            await self._copy_own()
        except _FAILURES as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  who stops would leave its destination behind for ever
            self._reports.fault(error)
            self._failed(error)
        else:
            self._went_well()
        return self._failing_since is None

    async def _copy_own(self) -> None:
        # Asked first, and once: what is durable now is so in whatever segment it is found, and what
        # follows gathers until the next look, instead of being copied in crumbs.
        durable = self._source.durable()
        cursor = await self._cursor(self._source.own)
        while cursor is None or cursor.seq < durable:
            cursor = await self._copied(self._source.own, cursor, durable)
            if cursor is None:
                return

    async def _copied(
        self, chain: Chain, after: Cursor | None, until: int | None = None
    ) -> Cursor | None:
        """Copy the next portion of *chain*, and return how far that is; None if there is none."""
        advancing = self._destination.advance(chain, after, until)
        self._under_way = asyncio.ensure_future(advancing)
        reached = await asyncio.shield(self._under_way)
        if reached is not None:
            self._cursors[chain] = reached
        return reached

    async def _cursor(self, chain: Chain) -> Cursor | None:
        if chain not in self._cursors:
            self._cursors[chain] = await self._destination.cursor(chain)
        return self._cursors[chain]

    async def _look_around(self) -> None:
        """Copy the chains of processes that are gone, now and then."""
        if self._monotonic() < self._next_left:
            return
        self._next_left = self._monotonic() + LEFT_SECONDS
        source = self._source
        try:
            left = await asyncio.to_thread(left_behind, source.directory, source.own, self._now())
        except OSError:
            return  # a segment was released meanwhile
        for chain in left:
            try:
                with claimed(source.directory, chain, self._destination.claim) as is_ours:
                    if is_ours:
                        await self._copy_left(chain)
            except _FAILURES as error:
                if chain not in self._broken:
                    self._broken.add(chain)
                    self._reports.failed(*_told(error))
            except Exception as error:  # noqa: BLE001  as above
                self._reports.fault(error)

    async def _copy_left(self, chain: Chain) -> None:
        self._cursors.pop(chain, None)  # another may have had it meanwhile
        cursor = await self._cursor(chain)
        while (after := await self._copied(chain, cursor)) is not None:
            cursor = after
            # This process's own records do not wait for those of another.
            await self._copy_own()
        self._broken.discard(chain)

    async def _claim(self, stack: AsyncExitStack) -> bool:
        claim = AsyncExitStack()
        try:
            is_ours = claim.enter_context(
                claimed(self._source.directory, self._source.own, self._destination.claim)
            )
        except OSError:
            return False
        stack.push_async_exit(claim)
        return is_ours

    def _went_well(self) -> None:
        if self._failing_since is not None:
            self._reports.recovered(self._monotonic() - self._failing_since)
        self._failing_since = None
        self._pause = FIRST_PAUSE
        self._whole_at = self._monotonic()

    def _failed(self, error: Exception) -> None:
        if self._failing_since is None:
            self._failing_since = self._monotonic()
            self._reports.failed(*_told(error))
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


class Backlog:
    """How far behind the copies are; not at all until there is somebody who copies."""

    def __init__(self) -> None:
        self._shipper: Shipper | None = None

    def follow(self, shipper: Shipper) -> None:
        self._shipper = shipper

    @property
    def records(self) -> int:
        return self._shipper.behind if self._shipper else 0

    @property
    def seconds(self) -> float:
        return self._shipper.lag if self._shipper else 0.0


@asynccontextmanager
async def shipping(shipper: Shipper) -> AsyncIterator[None]:
    """Copy until the block ends, and then what is left."""
    task = asyncio.create_task(shipper.follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await shipper.finish()


def _told(error: Exception) -> tuple[str, str]:
    match error:
        case StateError() | JournalError() | NotTakenError():
            return error.code, error.detail
        case OSError():
            return "journal-unreadable", f"{type(error).__name__}: {error.strerror}"
    return "internal-error", type(error).__name__
