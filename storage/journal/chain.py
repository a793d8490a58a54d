"""One chain on the disk: appends that are durable when they return, segments, recovery.

Everything here blocks and belongs to one thread at a time; `Journal` is the face of it.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from storage.journal.ages import began
from storage.journal.checkpoints import Signer, newest_of
from storage.journal.errors import JournalLockedError
from storage.journal.files import Files, lock, make_directory, size_of, write_all
from storage.journal.frame import Chain, Draft, Kind, Link, Stamp, digest
from storage.journal.limits import MOST_RECORD_BYTES, Limits
from storage.journal.recovery import recover
from storage.journal.segments import (
    RECOVERED,
    ROTATED,
    STARTED,
    Segment,
    chains,
    header_payload,
    lock_name,
    segments,
)

_GENESIS_BYTES = 32
_LOCK_SECONDS = 1.0
"""For whoever holds the lock of a chain but for a moment, to remove what is old of it."""

_MEASURE_SECONDS = 0.25
"""For which what others write to the directory is not looked at."""

_SECOND = 1_000_000_000  # in nanoseconds


class ChainFile:
    """The open end of a chain.

    An `OSError` from any method seals the segment: nothing is written to it again, and appends
    raise until `reopen` has made the next one.
    """

    def __init__(
        self,
        directory: Path,
        chain: Chain,
        limits: Limits,
        clock: Callable[[], int],
        files: Files,
        signer: Signer | None = None,
    ) -> None:
        """Open *chain* in *directory*, made where it is missing, behind a lock.

        Without a *signer* no checkpoint is made.

        Raise `JournalLockedError` if another process has it, `JournalDamagedError` if it is
        broken before its end, `OSError` if the disk fails.
        """
        self._directory = directory
        self._chain = chain.checked()
        self._limits = limits
        self._files = files
        self._stamp = Stamp(chain, clock)
        self._signer = signer
        self._clock = clock
        self._handle: int | None = None
        self._used = 0
        self._measured_at = 0.0
        self._begun: float | None = None  # when the segment was, once that was asked
        self._unsigned = 0
        self._newest: tuple[Segment, ...] = ()
        self._bare = False  # the segment holds its header alone
        self._header: tuple[str, Segment | None, int, Link, str]
        self._segment = Segment(chain, 1)
        self._link = Link(0, "")
        self._size = 0
        make_directory(directory)
        try:
            self._lock = lock(directory / lock_name(chain), _LOCK_SECONDS)
        except BlockingIOError:
            raise JournalLockedError(lock_name(chain)) from None
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def link(self) -> Link:
        """The last record that is durable, and the hash of its line."""
        return self._link

    @property
    def is_sealed(self) -> bool:
        return self._handle is None

    @property
    def segment(self) -> Segment:
        """The segment that is written, or was when it was sealed."""
        return self._segment

    @property
    def last(self) -> int:
        """Where the ids of the chain are, as a stamp tells it."""
        return self._stamp.last

    @property
    def unsigned(self) -> int:
        """How many records wait for a checkpoint; none where none can be made."""
        return self._unsigned if self._signer else 0

    def append(self, drafts: Sequence[Draft], *, signed: bool = False) -> None:
        """Write *drafts* in this order; all of them are durable when this returns.

        With *signed* a checkpoint of them, and of all before them, is a part of the same commit.
        Raise `OSError` if the disk fails: then any of them may be on the disk, or none.
        """
        if self._handle is None:
            raise OSError("the segment is sealed")
        if self._size >= self._limits.segment_bytes or self._is_old():
            self.rotate()
        if drafts:
            # The first line of the next segment then has an id greater than all in this one.
            self._stamp.pass_by(max(draft.id for draft in drafts))
        link, parts = self._link, []
        for draft in drafts:
            line = draft.line(link)
            link = Link(link.seq + 1, digest(line))
            parts.append(line)
        if signed and self._signer:
            line = self._checkpoint(self._signer, link)
            link = Link(link.seq + 1, digest(line))
            parts.append(line)
        self._write(b"".join(parts))
        self._link = link
        self._bare = False
        self._unsigned = 0 if signed else self._unsigned + len(drafts)

    def room(self) -> int:
        """Return how many bytes more the directory may hold.

        What others write is noticed a moment later, and at once where there is little room.
        """
        left = self._limits.total_bytes - self._used
        is_close = left <= self._limits.reserve + MOST_RECORD_BYTES
        if is_close or monotonic() >= self._measured_at + _MEASURE_SECONDS:
            self._measure()
        return self._limits.total_bytes - self._used

    def seal(self) -> None:
        """Give the segment up: what is in it stays as far as it is durable."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                self._files.close(handle)

    def reopen(self) -> None:
        """Begin the next segment where the durable part of a sealed one ends.

        Raise `OSError` if the disk still fails; it may be tried again.
        """
        self.seal()
        self._cut_leftover()
        if self._bare:
            # Nothing follows the header, so the new one takes its place: a disk that fails
            # again and again is not filled with empty segments.
            self._create(self._segment, *self._header)
        else:
            self._next(RECOVERED)
        self._measure()

    def rotate(self) -> None:
        """End the segment, and begin the next. Raise `OSError` if the disk fails."""
        self.seal()
        self._next(ROTATED)

    def own(self, payload: dict[str, Any]) -> Draft:
        """Return a record of the journal itself."""
        return self._stamp.draft(Kind.CHANGE, payload, MOST_RECORD_BYTES)

    def close(self) -> None:
        """Close the files and end the lock."""
        self.seal()
        os.close(self._lock)

    def _begin(self) -> None:
        found = segments(self._directory, self._chain)
        if not found:
            genesis = secrets.token_hex(_GENESIS_BYTES)
            self._create(Segment(self._chain, 1), STARTED, None, 0, Link(0, genesis), genesis)
        else:
            tail = recover(self._directory, found[-1], self._files)
            # A path that cannot be durable is not opened: a rename may have been lost with power.
            self._files.sync_directory(self._directory)
            self._segment, self._link, self._size = tail.segment, tail.link, tail.size
            self._handle = self._files.open(self._directory / tail.segment.file)
            self._unsigned = 1  # whether the last record was signed is not looked into
            if tail.newest_id:
                self._stamp.pass_by(tail.newest_id)
            if tail.torn:
                self.append([self.own(tail.repair())])
        self._measure()

    def _next(self, why: str) -> None:
        self._create(self._segment.next, why, self._segment, self._size, self._link, "")

    def _create(
        self,
        segment: Segment,
        why: str,
        before: Segment | None,
        size: int,
        link: Link,
        genesis: str,
    ) -> None:
        """Make *segment* with its first line; it has its name only when that line is durable."""
        line = self.own(header_payload(segment, why, before, size, genesis)).line(link)
        path = self._directory / segment.file
        draft = path.with_suffix(".new")
        handle = self._files.create(draft)
        try:
            write_all(self._files, handle, line, 0)
            self._files.sync(handle)
            self._files.rename(draft, path)
            self._files.sync_directory(self._directory)
        except BaseException:
            with suppress(OSError):
                self._files.close(handle)
            raise
        self._handle, self._segment, self._size = handle, segment, len(line)
        self._begun = None
        self._header = (why, before, size, link, genesis)
        self._link = Link(link.seq + 1, digest(line))
        self._bare = True
        self._unsigned += 1

    def _checkpoint(self, signer: Signer, link: Link) -> bytes:
        newest = newest_of(chains(self._directory).values())
        if newest != self._newest:
            # A name that is listed must not be lost with power: its absence would accuse someone.
            self._files.sync_directory(self._directory)
            self._newest = newest
        payload = signer.payload(newest)
        draft = self._stamp.draft(Kind.CHECKPOINT, payload, MOST_RECORD_BYTES)
        return signer.signed(draft.line(link))

    def _write(self, data: bytes) -> None:
        if self._handle is None:
            raise OSError("the segment is sealed")
        try:
            write_all(self._files, self._handle, data, self._size)
            self._files.sync(self._handle)
        except BaseException:
            self.seal()
            raise
        self._size += len(data)
        self._used += len(data)

    def _cut_leftover(self) -> None:
        """Give back the space of what was never acknowledged; it does not count in any case."""
        path = self._directory / self._segment.file
        with suppress(OSError):
            handle = self._files.open(path)
            try:
                self._files.truncate(handle, self._size)
            finally:
                self._files.close(handle)

    def _is_old(self) -> bool:
        # A clock that jumps, either way, ends the segment too: what was written by another clock
        # is then told apart by where segments begin.
        if self._limits.segment_seconds == math.inf:
            return False
        if self._begun is None:
            self._begun = began(self._directory, self._segment)
        return abs(self._clock() / _SECOND - self._begun) >= self._limits.segment_seconds

    def _measure(self) -> None:
        self._used = size_of(self._directory)
        self._measured_at = monotonic()
