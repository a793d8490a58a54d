"""Checking that a journal, or a copy of one, is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from storage.journal.errors import Fault, JournalDamagedError
from storage.journal.frame import Chain, Link, Pattern, digest, parsed
from storage.journal.segments import (
    RECOVERED,
    RETENTION,
    Header,
    Segment,
    chains,
    header_of,
    is_own,
    lines,
    named,
    read_header,
)
from storage.journal.walk import Walked, is_torn, judge, walk


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold: a line of a file, counted from 1.

    `edited`: that line was altered. `cut`: lines that stood from there on are gone. `swapped`:
    another line, or file, stands in that place. `inserted`: it does not belong there. `missing`:
    the whole file is gone.
    """

    file: str
    line: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.fault}"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `verify` found of one chain.

    `records` hold, up to `link`. `torn` bytes at the end are what a crash, or a write that is
    under way, leaves; `leftover` bytes follow the acknowledged part of segments that were given
    up. Neither was acknowledged.
    """

    chain: Chain
    segments: int
    records: int
    link: Link
    leftover: int
    torn: int
    broken: Break | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found."""

    chains: tuple[ChainReport, ...]

    @property
    def is_whole(self) -> bool:
        return self.first_break is None

    @property
    def first_break(self) -> Break | None:
        return next((one.broken for one in self.chains if one.broken), None)


def verify(directory: Path) -> Verification:
    """Walk every chain in *directory*, and name the first break of each.

    What is missing at the very end of a chain, or a whole chain, shows only beside something
    kept elsewhere: a checkpoint or a manifest. Raise `OSError` if a file cannot be read.
    """
    found = chains(directory)
    return Verification(tuple(_Inspection(directory, own).report() for own in found.values()))


class _Inspection:
    """One walk along one chain."""

    def __init__(self, directory: Path, own: Sequence[Segment]) -> None:
        self._directory = directory
        self._own = own
        self._pattern = Pattern(own[0].chain)
        self._link = Link(0, "")
        self._records = self._leftover = self._torn = 0

    def report(self) -> ChainReport:
        broken = None
        try:
            self._follow()
        except JournalDamagedError as error:
            broken = Break(error.file, error.line, error.fault)
        return ChainReport(
            chain=self._own[0].chain,
            segments=len(self._own),
            records=self._records,
            link=self._link,
            leftover=self._leftover,
            torn=self._torn,
            broken=broken,
        )

    def _follow(self) -> None:
        first, *others = self._own
        header = self._header(first)
        self._begin(header)
        for segment in others:
            if segment != header.segment.next:
                self._segment(header, None)
                raise JournalDamagedError(header.segment.next.file, 1, Fault.MISSING)
            successor = self._header(segment, header.segment)
            self._segment(header, successor)
            header = successor
        self._segment(header, None, is_last=True)

    def _begin(self, header: Header) -> None:
        self._link = Link(header.seq - 1, header.prev)
        if header.before:
            if not self._is_retained(header.segment):
                raise JournalDamagedError(header.before.file, 1, Fault.MISSING)
        elif header.segment.number != 1 or header.prev != header.genesis:
            raise JournalDamagedError(header.segment.file, 1, Fault.EDITED)

    def _header(self, segment: Segment, before: Segment | None = None) -> Header:
        """Return what *segment* says first; raise unless that is so and was not altered."""
        found = [line for _, line in islice(lines(self._directory / segment.file), 3)]
        header = read_header(self._directory, segment)
        if header is None:
            raise JournalDamagedError(segment.file, 1, self._no_header(segment, found))
        link = Link(header.seq, digest(found[0]))
        frame = self._pattern.frame(found[1]) if found[1:] else None
        if frame and frame.seq == link.seq + 1 and frame.prev != link.digest:
            verdict = judge(link, found[1:], self._pattern)
            raise JournalDamagedError(segment.file, 2 + verdict.line, verdict.fault)
        if header.segment != segment:
            raise JournalDamagedError(segment.file, 1, Fault.SWAPPED)
        if before and header.before != before:
            raise JournalDamagedError(segment.file, 1, Fault.EDITED)
        return header

    def _no_header(self, segment: Segment, found: list[bytes]) -> Fault:
        if not found or not self._pattern.frame(found[0]):
            return Fault.EDITED
        records = (
            parsed(line, segment.number, offset)
            for offset, line in lines(self._directory / segment.file)
        )
        elsewhere = any(record and header_of(record) for record in records)
        if elsewhere:
            return Fault.SWAPPED
        # A line that a next one vouches for was there; any other may be the header, altered.
        is_whole = found[1:] and (self._pattern.frame(found[1]) or (0, ""))[1] == digest(found[0])
        return Fault.CUT if is_whole else Fault.EDITED

    def _segment(self, header: Header, successor: Header | None, *, is_last: bool = False) -> None:
        segment, path = header.segment, self._directory / header.segment.file
        walked = walk(path, self._pattern, self._link, successor.size if successor else None)
        self._records += walked.count
        self._link = walked.link
        if walked.rest:
            self._judge(segment, walked, successor, is_last=is_last)
        if successor is not None:
            self._check_end(segment, walked, successor)

    def _judge(
        self, segment: Segment, walked: Walked, successor: Header | None, *, is_last: bool
    ) -> None:
        if is_last and walked.count and is_torn(walked.rest, self._pattern):
            self._torn = sum(map(len, walked.rest))
            return
        then = successor.prev if successor else ""
        verdict = judge(walked.link, walked.rest, self._pattern, then)
        raise JournalDamagedError(segment.file, walked.count + 1 + verdict.line, verdict.fault)

    def _check_end(self, segment: Segment, walked: Walked, successor: Header) -> None:
        """Raise unless *segment* ends where and as its successor says."""
        size = (self._directory / segment.file).stat().st_size
        if walked.link.seq + 1 < successor.seq or size < successor.size:
            raise JournalDamagedError(segment.file, walked.count + 1, Fault.CUT)
        if walked.link != Link(successor.seq - 1, successor.prev):
            raise JournalDamagedError(segment.file, walked.count, Fault.EDITED)
        if size > successor.size and successor.why != RECOVERED:
            raise JournalDamagedError(segment.file, walked.count + 1, Fault.INSERTED)
        self._leftover += size - successor.size

    def _is_retained(self, first: Segment) -> bool:
        """Tell whether the chain itself says that what was before *first* was removed."""
        needle = f'"what":"{RETENTION}"'.encode()
        for segment in self._own:
            for offset, line in lines(self._directory / segment.file):
                record = parsed(line, segment.number, offset) if needle in line else None
                if record and is_own(record, RETENTION):
                    after = record.payload.get("after")
                    kept = named(after.get("segment")) if isinstance(after, dict) else None
                    if kept and kept >= first:
                        return True
        return False
