"""The thread that writes: whatever waits goes to the disk in one commit, and is told of at once."""

from __future__ import annotations

import errno
import math
from asyncio import Future
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from storage.journal.chain import ChainFile
from storage.journal.errors import JournalError, JournalFullError, JournalUnavailableError
from storage.journal.frame import Draft
from storage.journal.limits import BATCH_BYTES, Limits


@dataclass(slots=True, eq=False, repr=False)
class Entry:
    """A record on its way. It is written where at least `floor` bytes of room are left after it.

    One without a `waiter` is kept and tried again when a commit fails. One that is `signed` has a
    checkpoint in the same commit.
    """

    draft: Draft
    floor: int
    waiter: Future[None] | None = None
    due: float = 0.0
    signed: bool = False


Settled = Callable[[list[Entry], JournalError | None], None]
"""Told, from the thread, of entries that are durable, or that were given up and why."""


class Writer:
    """Commits entries in the order they come, and finds its way back after a failure."""

    def __init__(
        self, file: ChainFile, limits: Limits, settled: Settled, ended: Callable[[], None]
    ) -> None:
        self.failure: JournalUnavailableError | None = None
        self.failures = 0
        self.is_over = False
        self._file = file
        self._limits = limits
        self._settled = settled
        self._ended = ended
        self._queue: SimpleQueue[list[Entry] | None] = SimpleQueue()
        self._backlog: deque[Entry] = deque()
        self._closing = False
        self._is_full = False
        self._delay = limits.retry_first
        self._next_try = 0.0
        self._due = math.inf  # when a checkpoint is
        self._silent_until = monotonic() + limits.silence
        # A daemon, so that a disk that never answers cannot keep the process from ending.
        self._thread = Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, entries: list[Entry]) -> None:
        """Hand *entries* over; `settled` is told what became of each."""
        self._queue.put(entries)

    def stop(self) -> None:
        """Write what was handed over so far, close the chain, and tell `ended`."""
        self._queue.put(None)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._gather()
                self._turn()
            self._finish()
        finally:
            self.is_over = True
            self._file.close()
            self._ended()

    def _gather(self) -> None:
        """Wait until there is something to do, and take all that is there."""
        if not self._file.unsigned:
            self._due = math.inf
        elif self._due == math.inf:
            self._due = monotonic() + self._limits.checkpoint
        if not self._backlog or self._is_stuck:
            until = self._next_try if self._is_stuck else min(self._due, self._silent_until)
            wait = None if until == math.inf else max(0.0, until - monotonic())
            with suppress(Empty):
                self._take(self._queue.get(timeout=wait))
        with suppress(Empty):
            while True:
                self._take(self._queue.get_nowait())

    @property
    def _is_stuck(self) -> bool:
        return self._file.is_sealed or self._is_full

    @property
    def _is_due(self) -> bool:
        return monotonic() >= min(self._due, self._silent_until)

    def _take(self, entries: list[Entry] | None) -> None:
        if entries is None:
            self._closing = True
        else:
            self._backlog.extend(entries)

    def _turn(self) -> None:
        if self._file.is_sealed and not self._reopened():
            self._refuse()
        elif self._backlog or self._is_due:
            self._commit()

    def _reopened(self) -> bool:
        if monotonic() < self._next_try:
            return False
        try:
            self._file.reopen()
        except Exception as error:  # noqa: BLE001  whatever it was, the disk is tried again
            self._fail(error)
            return False
        self.failure = None
        return True

    def _refuse(self) -> None:
        """Tell everyone who waits that it is in vain; keep the rest for better days."""
        refused = [entry for entry in self._backlog if entry.waiter]
        if refused:
            self._backlog = deque(entry for entry in self._backlog if not entry.waiter)
            self._settled(refused, self.failure)

    def _commit(self) -> None:
        try:
            batch, refused = self._admitted()
        except OSError as error:
            self._fail(error)
            return
        if refused:
            self._settled(refused, JournalFullError())
        signed = self._is_due or any(entry.signed for entry in batch)
        if not batch and not signed:
            return
        try:
            self._file.append([entry.draft for entry in batch], signed=signed)
        except Exception as error:  # noqa: BLE001  whatever it was, nothing was acknowledged
            self._backlog.extendleft(reversed(batch))
            self._fail(error)
        else:
            self._delay = self._limits.retry_first
            self._silent_until = monotonic() + self._limits.silence
            if batch:
                self._settled(batch, None)

    def _admitted(self) -> tuple[list[Entry], list[Entry]]:
        """Take from the backlog what goes into one commit, and what the chain has no room for."""
        left, size = self._file.room(), 0
        batch: list[Entry] = []
        refused: list[Entry] = []
        kept: list[Entry] = []
        while self._backlog and size < BATCH_BYTES:
            entry = self._backlog.popleft()
            if size + entry.draft.size <= left - entry.floor:
                size += entry.draft.size
                batch.append(entry)
            else:
                (refused if entry.waiter else kept).append(entry)
        self._backlog.extendleft(reversed(kept))
        self._is_full = bool(kept) and not batch
        if self._is_full:
            self._next_try = monotonic() + self._limits.retry_first
        return batch, refused

    def _fail(self, error: Exception) -> None:
        """Give the segment up, tell everyone who waits, and say when to try again."""
        self._file.seal()
        self.failures += 1
        self.failure = JournalUnavailableError(_reason(error))
        self._next_try = monotonic() + self._delay
        self._delay = min(2 * self._delay, self._limits.retry_most)
        self._refuse()

    def _finish(self) -> None:
        """Try once more to write what is left, and give up what cannot be."""
        self._next_try = 0.0
        while self._backlog:
            left = len(self._backlog)
            self._turn()
            if len(self._backlog) == left:
                break
        if self._backlog:
            self._settled(list(self._backlog), self.failure or JournalFullError())
        if self._file.unsigned and not self._file.is_sealed:
            with suppress(OSError):  # the next process signs it
                self._file.append((), signed=True)


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    name = errno.errorcode.get(number, "") if number else ""
    return f"{type(error).__name__} {name}".rstrip()
