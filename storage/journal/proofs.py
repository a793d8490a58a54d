"""What the checkpoints of one chain prove of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from storage.journal.anchor import Anchor
from storage.journal.checkpoints import HEAD, Checkpoint, read_checkpoint
from storage.journal.errors import Fault, JournalDamagedError
from storage.journal.frame import Chain, Link
from storage.journal.segments import Segment, lines
from storage.journal.walk import Sighting, Walked


class Stretch(NamedTuple):
    """The part of a segment that was found to hold: `size` bytes, from record `first` on."""

    segment: Segment
    first: int
    size: int


class Proof:
    """Follows a walk along *chain*, and says at its end how far signatures reach.

    Since hashes join the records, the last signature proves all of them; the others are looked at
    only if that one is wrong. With an *anchor* its keys alone count.
    """

    def __init__(self, directory: Path, chain: Chain, anchor: Anchor | None) -> None:
        self.proven: Checkpoint | None = None
        """The last checkpoint that is as it was signed, once `forged` was asked."""
        self._directory = directory
        self._keys = anchor.keys if anchor else None
        self._kept = anchor.checkpoints.get(chain) if anchor else None
        self._stretches: list[Stretch] = []
        self._last: Sighting | None = None

    @property
    def is_asked(self) -> bool:
        """Whether there is anything that a signature is held against."""
        return self._keys is not None or self._last is not None

    @property
    def first(self) -> int:
        """The number of the first record that was walked; 0 if none was."""
        return self._stretches[0].first if self._stretches else 0

    @property
    def kept(self) -> int:
        """The number of the record that the anchor knows; 0 if it knows none."""
        return self._kept.seq if self._kept else 0

    def saw(self, segment: Segment, before: Link, walked: Walked) -> None:
        """Take note of what holds of *segment*, which follows *before*.

        Raise `JournalDamagedError` if the record that the anchor knows is another.
        """
        stretch = Stretch(segment, before.seq + 1, walked.size)
        self._stretches.append(stretch)
        kept, held = self._kept, walked.checkpoints
        if kept and not before.seq < kept.seq <= walked.link.seq:
            kept = None
        if kept and any(one.line == kept.line for one in held):
            kept = None
        if kept:
            held = tuple(one for one in held if one.seq < kept.seq)
        if held:
            self._last = held[-1]
        if kept:
            line = kept.seq - stretch.first + 1
            raise JournalDamagedError(segment.file, line, Fault.FORGED)

    def forged(self) -> JournalDamagedError | None:
        """Return the first checkpoint that was not signed for what stands before it."""
        if self._last is None:
            return None
        self.proven = self._genuine(self._last.line)
        if self.proven is not None:
            return None
        found = None
        for segment, sighting in self._sightings():
            checkpoint = self._genuine(sighting.line)
            if checkpoint is not None:
                self.proven, found = checkpoint, None
            elif found is None:
                found = JournalDamagedError(segment.file, sighting.number, Fault.FORGED)
        return found

    def shortened(self, link: Link) -> JournalDamagedError | None:
        """Return where the chain, which ends at *link*, should go on if the anchor is right."""
        if self._kept is None or link.seq >= self._kept.seq:
            return None
        last = self._stretches[-1]
        if self._kept.segment is not None and self._kept.segment > last.segment:
            return JournalDamagedError(last.segment.next.file, 1, Fault.MISSING)
        return JournalDamagedError(last.segment.file, link.seq - last.first + 2, Fault.CUT)

    def seq_at(self, file: str, line: int) -> int:
        """Return which record stands, or should, in *line* of *file*; 0 if that is unknown."""
        for stretch in self._stretches:
            if stretch.segment.file == file:
                return stretch.first + line - 1
        return 0

    def _genuine(self, line: bytes) -> Checkpoint | None:
        found = read_checkpoint(line)
        is_known = found is not None and (self._keys is None or found.key in self._keys)
        return found if is_known else None

    def _sightings(self) -> Iterator[tuple[Segment, Sighting]]:
        for segment, first, size in self._stretches:
            path = self._directory / segment.file
            for number, (_, line) in enumerate(lines(path, 0, size), 1):
                if line.startswith(HEAD):
                    yield segment, Sighting(number, first + number - 1, line)
