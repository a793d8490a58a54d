"""The durable point of every decision, as the event loop sees it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from storage.journal.chain import ChainFile
from storage.journal.checkpoints import Signer
from storage.journal.errors import (
    JournalBusyError,
    JournalClosedError,
    JournalError,
    JournalLateError,
    JournalUnavailableError,
)
from storage.journal.files import Files, LocalFiles
from storage.journal.frame import Chain, Kind, Link, Stamp
from storage.journal.limits import MIB, MOST_RECORD_BYTES, Limits
from storage.journal.removal import remove, retention_payload
from storage.journal.segments import Segment, segments
from storage.journal.writer import Entry, Writer

CLOSE_SECONDS = 10.0
LINGER_SECONDS = 0.005
"""How long a record that nobody waits for stays for the next that somebody does."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the journal does.

    `code` is that of the failure while appends are refused for it, else empty. Counts are since
    it was opened: records `durable`; `refused`, given up while somebody waited; `late`, which
    may yet become durable; `lost`, given up with nobody waiting; `failures` of the disk.
    """

    code: str
    waiting: int
    durable: int
    refused: int
    late: int
    lost: int
    failures: int

    @property
    def available(self) -> bool:
        return not self.code


class Journal:
    """One chain, open for appending from one event loop, in its thread."""

    def __init__(self, file: ChainFile, stamp: Stamp, place: Place, limits: Limits) -> None:
        """Use `open` instead."""
        self._file = file
        self._stamp = stamp
        self._place = place
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._waiting_bytes = 0
        self._durable = self._refused = self._late = self._lost = 0
        self._fresh: list[Entry] = []
        self._is_leaving = self._is_lingering = False
        self._line: deque[Entry] = deque()  # those somebody waits for, the oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._ended = asyncio.Event()
        self._writer = Writer(file, limits, self._tell_settled, self._tell_ended)

    @classmethod
    async def open(
        cls,
        directory: Path,
        node: str,
        worker: int,
        *,
        limits: Limits | None = None,
        clock: Callable[[], int] = time.time_ns,
        files: Files | None = None,
        signer: Signer | None = None,
    ) -> Self:
        """Open the chain of *worker* on *node* in *directory*, and repair what a crash left.

        *clock* returns nanoseconds since 1970, UTC. A checkpoint by *signer* follows every second
        of activity, and ends the chain at close. Raise `JournalLockedError` if another process
        has this chain, `JournalDamagedError` if it is broken before its end,
        `JournalUnavailableError` if the disk fails, `ValueError` for a name that no file can
        have.
        """
        limits, files = limits or Limits(), files or LocalFiles()
        chain = Chain(node, worker).checked()
        try:
            file = await asyncio.to_thread(
                ChainFile, directory, chain, limits, clock, files, signer
            )
        except OSError as error:
            raise JournalUnavailableError(type(error).__name__) from error
        return cls(file, Stamp(chain, clock, file.last), Place(directory, chain, files), limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def append(self, kind: Kind, payload: Mapping[str, Any]) -> str:
        """Record *payload* and return the record's id once it would survive the loss of power.

        Records of one caller, and of callers in the order they call, follow each other in the
        chain. Raise `RecordRefusedError` for a payload that cannot be recorded, and
        `JournalUnavailableError` where the record is not acknowledged in time. Whether it is on
        the disk is then unknown, as it is when the caller is cancelled.
        """
        entry = self._entry(kind, payload, self._limits.reserve)
        await self._acknowledged(entry)
        return entry.draft.id

    def append_soon(self, kind: Kind, payload: Mapping[str, Any]) -> str:
        """Take *payload* to be recorded without waiting, and return the record's id.

        It goes with the next record that somebody waits for, or else by itself a moment later: a
        commit of its own would keep that one waiting. It is kept while the disk fails and written
        when it can be; `health.lost` counts what was not, which includes what is refused here.
        Raises as `append` does.
        """
        try:
            entry = self._entry(kind, payload, 0)
            self._enter(entry)
        except JournalError:
            self._lost += 1
            raise
        return entry.draft.id

    async def release(self, before: int, *, why: str) -> list[Segment]:
        """Remove the segments numbered below *before*, once a record of it is durable and signed.

        Return them; the segment that is written stays. Raises as `append` does, and `OSError` if a
        file cannot be removed: then it may be tried again.
        """
        found = await asyncio.to_thread(segments, self._place.directory, self._place.chain)
        kept = next(one for one in found if one.number >= min(before, found[-1].number))
        if kept == found[0]:
            return []
        # A full journal still takes this record, as it makes room.
        entry = self._entry(Kind.CHANGE, retention_payload(found[0], kept, why), -MIB)
        entry.signed = True
        await self._acknowledged(entry)
        gone = [one for one in found if one < kept]
        await asyncio.to_thread(remove, self._place.directory, gone, self._place.files)
        return gone

    async def close(self, *, seconds: float = CLOSE_SECONDS) -> None:
        """Write what was taken so far and let go of the chain.

        What cannot be written is counted as lost. Raise `JournalLateError` if the disk does not
        answer within so many *seconds*; it may be tried again.
        """
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._writer.stop()
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            raise JournalLateError("while closing") from None
        if self._timer:
            self._timer.cancel()

    @property
    def link(self) -> Link:
        """The last record that is durable, and the hash of its line."""
        return self._file.link

    @property
    def health(self) -> Health:
        failure: JournalError | None = self._writer.failure
        if self._closed or self._writer.is_over:
            failure = JournalClosedError()
        return Health(
            code=failure.code if failure else "",
            waiting=self._waiting,
            durable=self._durable,
            refused=self._refused,
            late=self._late,
            lost=self._lost,
            failures=self._writer.failures,
        )

    def _entry(self, kind: Kind, payload: Mapping[str, Any], floor: int) -> Entry:
        draft = self._stamp.draft(Kind(kind), payload, self._limits.record_bytes)
        return Entry(draft, floor)

    async def _acknowledged(self, entry: Entry) -> None:
        entry.waiter = self._loop.create_future()
        entry.due = self._loop.time() + self._limits.deadline
        try:
            self._enter(entry)
        except JournalError:
            self._refused += 1
            raise
        self._line.append(entry)
        if self._timer is None:
            self._timer = self._loop.call_at(entry.due, self._expire)
        await entry.waiter

    def _enter(self, entry: Entry) -> None:
        if self._closed or self._writer.is_over:
            raise JournalClosedError
        failure, size = self._writer.failure, entry.draft.size
        if failure and entry.waiter:
            raise JournalUnavailableError(failure.detail)
        if (
            self._waiting >= self._limits.waiting
            or self._waiting_bytes + size > self._limits.waiting_bytes + MOST_RECORD_BYTES
        ):
            raise JournalBusyError
        self._waiting += 1
        self._waiting_bytes += size
        self._fresh.append(entry)
        if entry.waiter is None:
            self._linger()
        elif not self._is_leaving:
            # Callers woken by one commit append in the same turn of the loop: handed over at its
            # end, they share the next one, instead of the first having it and the others waiting.
            self._is_leaving = True
            self._loop.call_soon(self._hand_over)

    def _linger(self) -> None:
        if not self._is_lingering:
            self._is_lingering = True
            self._loop.call_later(LINGER_SECONDS, self._end_lingering)

    def _end_lingering(self) -> None:
        self._is_lingering = False
        self._hand_over()

    def _hand_over(self) -> None:
        self._is_leaving = False
        if self._fresh:
            self._writer.put(self._fresh)
            self._fresh = []

    def _expire(self) -> None:
        """Give up on those who have waited too long, and come back for the next.

        One timer serves all: they are due in the order in which they wait.
        """
        now = self._loop.time()
        self._timer = None
        while self._line:
            entry = self._line[0]
            if entry.waiter and not entry.waiter.done():
                if entry.due > now:
                    self._timer = self._loop.call_at(entry.due, self._expire)
                    return
                self._late += 1
                entry.waiter.set_exception(JournalLateError())
            self._line.popleft()

    def _tell_settled(self, entries: list[Entry], error: JournalError | None) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(self._settle, entries, error)

    def _tell_ended(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)

    def _settle(self, entries: list[Entry], error: JournalError | None) -> None:
        self._waiting -= len(entries)
        for entry in entries:
            self._waiting_bytes -= entry.draft.size
            waiter = entry.waiter
            if error is None:
                self._durable += 1
                if waiter and not waiter.done():
                    waiter.set_result(None)
            elif waiter is None:
                self._lost += 1
            elif not waiter.done():
                self._refused += 1
                # Each caller gets an exception of its own: tracebacks are written into them.
                waiter.set_exception(type(error)(error.detail))
        while self._line and self._line[0].waiter and self._line[0].waiter.done():
            self._line.popleft()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain lives."""

    directory: Path
    chain: Chain
    files: Files
