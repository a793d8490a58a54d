"""Removing what is older than it is to be kept, and making room for what is new.

What nobody has copied is never removed: then the journal fills up, and calls are refused until
there is room again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proxy.audit import Audit, UnrecordedError
from proxy.keptpolicies import KeptPolicies
from storage.errors import StateError
from storage.journal import Chain, Journal, JournalError
from storage.journal.ages import DAY, Age, Ages, oldest, outdated, trusted
from storage.journal.files import lock, size_of
from storage.journal.removal import LeftChains
from storage.journal.segments import Segment, chains
from storage.shipping.expiry import Copies, Expiry

LOOK_SECONDS: Final = 1.0
"""Between two looks at the room that is left."""

AGE_SECONDS: Final = 60.0
"""Between two looks for what is too old."""

ROOM: Final = "room"
_GATEWAY: Final = {"type": "System", "id": "gateway"}
_LOCK: Final = "retention.lock"
_FAILURES: Final = (StateError, JournalError, OSError, UnrecordedError)

Consumer = Callable[[Chain], int | None]
"""Returns the number of the first segment of a chain that it still needs; None for all of them."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept: records for so many `days`, for ever if 0, and a journal of so many `bytes`."""

    days: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told of what.

    `released` takes a chain, the segments, their bytes and why; `expired` the copies and the moment
    before which they were made; `held` the seconds that the clock is ahead; `failed` a code and a
    detail, `fault` a fault of ours.
    """

    released: Callable[[Chain, int, int, str], None]
    expired: Callable[[Copies, str], None]
    held: Callable[[float], None]
    failed: Callable[[str, str], None]
    fault: Callable[[BaseException], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept, and where: this process writes the chain `own` of `journal`.

    `in_force` returns the policies that decide now.
    """

    journal: Journal
    own: Chain
    left: LeftChains
    copies: Expiry
    policies: KeptPolicies
    in_force: Callable[[], Collection[str]]
    audit: Audit

    @property
    def directory(self) -> Path:
        return self.left.directory


class Retention:
    """Keeps the record within *bounds*. *monotonic* and *now* tell seconds, the latter since 1970.

    Processes that share the directory take turns. Each removes of its own chain, and of those
    whose writers are gone, what all *consumers* have.
    """

    def __init__(
        self,
        kept: Kept,
        bounds: Bounds,
        consumers: Sequence[Consumer],
        reports: Reports,
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._kept = kept
        self._bounds = bounds
        self._consumers = consumers
        self._reports = reports
        self._monotonic = monotonic
        self._now = now
        self._ages = Ages(kept.directory)
        self._next_age = monotonic()
        self._is_held = self._is_failing = False
        self._broken: set[Chain] = set()
        self._oldest: float | None = None
        self.size = 0
        """The bytes that the journal takes."""

    @property
    def oldest(self) -> float:
        """The seconds since the oldest record of the journal was made."""
        return 0.0 if self._oldest is None else max(0.0, self._now() - self._oldest)

    async def follow(self) -> None:
        """Remove what is to go, until cancelled, whatever happens to the disk or the database."""
        while True:
            try:
                await self.look()
            except _FAILURES as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001  who stops would let the disk fill up
                self._reports.fault(error)
            else:
                self._is_failing = False
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Remove what is to go now. Raises whatever keeps it from that."""
        self.size = await asyncio.to_thread(size_of, self._kept.directory)
        is_tight = self._bounds.bytes - self.size < self._bounds.bytes // 10
        is_due = self._monotonic() >= self._next_age
        if not is_tight and not is_due:
            return
        with _turn(self._kept.directory) as is_ours:
            if not is_ours:
                return
            if is_due:
                self._next_age = self._monotonic() + AGE_SECONDS
                await self._remove_old()
            if is_tight:
                await self._make_room()

    async def _remove_old(self) -> None:
        ages = await self._look_at()
        if not self._bounds.days:
            return
        moment = self._moment(ages.get(self._kept.own, []))
        before = moment - self._bounds.days * DAY
        why = f"older than {self._bounds.days} days"
        for chain, own in ages.items():
            number = outdated(own, before, moment, written=chain == self._kept.own)
            await self._release(own, number, why)
        await self._expire(before, why)
        await self._forget()

    def _moment(self, own: Sequence[Age]) -> float:
        moment, now = trusted(own, self._now()), self._now()
        is_held = bool(own) and now - moment >= DAY
        if is_held and not self._is_held:
            self._reports.held(now - moment)
        self._is_held = is_held
        return moment

    async def _expire(self, before: float, why: str) -> None:
        since = datetime.fromtimestamp(max(0.0, before), UTC).isoformat(timespec="seconds")
        while any(found := await self._kept.copies.count(before)):
            await self._kept.audit.changed(
                _GATEWAY, "record.retention", why=why, before=found._asdict(), after={"kept": since}
            )
            await self._kept.copies.remove(found, before)
            self._reports.expired(found, since)

    async def _forget(self) -> None:
        """Remove the policies that decided nothing of what is kept."""
        policies, in_force = self._kept.policies, self._kept.in_force()
        for version in in_force:
            await asyncio.to_thread(policies.used, version, self._now())
        await self._look_at()
        known = [one for one in (self._oldest, await self._kept.copies.oldest()) if one is not None]
        first = min(known, default=0.0)
        # What is in force is noted now and then, so it decided for a while after that.
        for version in await asyncio.to_thread(policies.unused_since, first - DAY):
            if version not in in_force:
                await self._kept.audit.changed(_GATEWAY, "policy.forgotten", before=version)
                await asyncio.to_thread(policies.forget, version)

    async def _make_room(self) -> None:
        limit, ages = self._bounds.bytes, await self._look_at()
        excess = self.size - limit // 8 * 7
        ours = {chain: own for chain, own in ages.items() if self._is_ours(chain)}
        # The oldest may be another's to remove. Who finds little room left does not wait for it.
        is_urgent = limit - self.size < limit // 12
        chosen = {*oldest(self._removable(ours if is_urgent else ages), excess)}
        for own in ours.values():
            number = next((one.segment.number for one in own if one.segment not in chosen), None)
            last = own[-1].segment.number + 1
            await self._release(own, last if number is None else number, ROOM)

    def _is_ours(self, chain: Chain) -> bool:
        """Tell whether this process may remove anything of *chain*."""
        if self._needed(chain) is None or chain in self._broken:
            return False
        return chain == self._kept.own or not self._kept.left.is_written(chain)

    def _removable(self, ages: Mapping[Chain, Sequence[Age]]) -> Iterator[Age]:
        for chain, own in ages.items():
            needed = self._needed(chain)
            for one in own:
                is_kept = one is own[-1] and (chain == self._kept.own or one.bare)
                if not is_kept and (needed is None or one.segment.number < needed):
                    yield one

    async def _release(self, own: Sequence[Age], number: int, why: str) -> None:
        chain, first = own[0].segment.chain, own[0].segment.number
        if number <= first or chain in self._broken:
            return
        kept, needed = self._kept, self._needed(chain)
        if needed is None or needed <= first:
            return
        if chain == kept.own:
            gone = await kept.journal.release(min(number, needed), why=why)
        else:
            gone = await self._release_left(chain, number, why)
        if gone:
            sizes = {one.segment: one.size for one in own}
            size = sum(sizes.get(segment, 0) for segment in gone)
            self.size -= size
            self._reports.released(chain, len(gone), size, why)

    async def _release_left(self, chain: Chain, number: int, why: str) -> list[Segment]:
        def before() -> int:
            return min(number, self._needed(chain) or 0)

        try:
            return await asyncio.to_thread(self._kept.left.release, chain, before, why=why)
        except JournalError as error:
            # It is kept as it is, for whoever looks into it, and is in nobody's way.
            self._broken.add(chain)
            self._reports.failed(error.code, error.detail)
            return []

    def _needed(self, chain: Chain) -> int | None:
        """Return the number of the first segment of *chain* that anybody needs."""
        needed = [consumer(chain) for consumer in self._consumers]
        known = [number for number in needed if number is not None]
        return min(known) if known and len(known) == len(needed) else None

    async def _look_at(self) -> dict[Chain, list[Age]]:
        directory = self._kept.directory
        found = await asyncio.to_thread(lambda: self._ages.of(chains(directory)))
        self._oldest = min((one.began for own in found for one in own), default=None)
        return {own[0].segment.chain: own for own in found if own}

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._reports.failed(*_told(error))


class Room:
    """How much of the journal there is; nothing is known until somebody looks."""

    def __init__(self) -> None:
        self._retention: Retention | None = None

    def follow(self, retention: Retention) -> None:
        self._retention = retention

    @property
    def size(self) -> int:
        return self._retention.size if self._retention else 0

    @property
    def oldest(self) -> float:
        return self._retention.oldest if self._retention else 0.0


@contextmanager
def _turn(directory: Path) -> Iterator[bool]:
    """Tell whether it is this process's turn until the block ends."""
    try:
        handle = lock(directory / _LOCK)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(handle)


def _told(error: Exception) -> tuple[str, str]:
    match error:
        case StateError() | JournalError():
            return error.code, error.detail
        case UnrecordedError():
            return error.code, "the removal could not be recorded"
        case OSError():
            return "journal-unreadable", f"{type(error).__name__}: {error.strerror}"
    return "internal-error", type(error).__name__
