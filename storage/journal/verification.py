"""Checking that a journal, or a copy of one, is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from storage.journal.anchor import Anchor
from storage.journal.checkpoints import Checkpoint, read_checkpoint
from storage.journal.errors import Fault, JournalDamagedError
from storage.journal.frame import Chain, Link, Pattern, Record, digest, parsed
from storage.journal.proofs import Proof
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
    refuse_newer,
    segments,
)
from storage.journal.walk import Walked, is_torn, judge, walk


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold: a line of a file, counted from 1.

    `edited`: that line was altered. `cut`: lines that stood from there on are gone. `swapped`:
    another line, or file, stands in that place. `inserted`: it does not belong there. `missing`:
    the whole file is gone. `forged`: this checkpoint was not signed for what stands before it, or
    not with a key that is known, so a record between the last one that is proven and this was
    altered, and the chain made to fit. `seq` is the number of the record; 0 if that is unknown.
    """

    file: str
    line: int
    fault: Fault
    seq: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Removed:
    """Records up to number `seq` were removed at `time`, and the chain says `why`.

    `anchored` if a checkpoint that was kept elsewhere is among them: it proves whose word that is,
    and can no longer prove the records.
    """

    seq: int
    time: str
    why: str
    anchored: bool


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `verify` found of one chain.

    `records` hold, up to `link`. `torn` bytes at the end are what a crash, or a write that is
    under way, leaves; `leftover` bytes follow the acknowledged part of segments that were given
    up. Neither was acknowledged. `proven` is the last checkpoint, and `unsigned` counts the
    records after it. `removed` tells of the records that the chain itself says were removed.
    """

    chain: Chain
    segments: int
    records: int
    link: Link
    leftover: int
    torn: int
    broken: Break | None
    proven: Checkpoint | None = None
    unsigned: int = 0
    removed: Removed | None = None


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

    def anchor(self) -> Anchor:
        """Return what proves this journal later: its last checkpoints."""
        return Anchor.of(filter(None, (one.proven for one in self.chains)))


def verify(
    directory: Path, anchor: Anchor | None = None, walked: Callable[[int], None] | None = None
) -> Verification:
    """Walk every chain in *directory*, and name the first break of each.

    What is missing at the very end of a chain shows only beside something that knows of it: an
    *anchor*, or a checkpoint of another chain. Without an anchor the keys that checkpoints name are
    believed. *walked* is told the bytes of each segment. Raise `JournalNewerError` for what a newer
    version wrote, `OSError` if a file cannot be read.
    """
    found = chains(directory)
    reports = [_inspected(directory, own, anchor, walked) for own in found.values()]
    # Listed once more: what began while it was walked is there now.
    return Verification(tuple(_listed(reports, chains(directory), anchor)))


def _inspected(
    directory: Path,
    own: Sequence[Segment],
    anchor: Anchor | None,
    walked: Callable[[int], None] | None,
) -> ChainReport:
    while True:
        try:
            return _Inspection(directory, own, anchor, walked).report()
        except FileNotFoundError:
            # What was removed meanwhile is told by what is there now.
            there = segments(directory, own[0].chain)
            if not there or there[0] == own[0]:
                raise
            own = there


def _listed(
    reports: Sequence[ChainReport], there: Mapping[Chain, Sequence[Segment]], anchor: Anchor | None
) -> Iterator[ChainReport]:
    """Yield *reports*, with what checkpoints list and is not *there* named in them, or beside."""
    known = {report.chain for report in reports}
    lost = {}
    for segment in _newest(reports, anchor):
        own = there.get(segment.chain)
        if own is None:
            lost[segment.chain] = segment
        elif own[-1] < segment:
            lost[segment.chain] = own[-1].next
    for report in reports:
        is_short = report.broken is None and report.chain in lost
        yield _without(report, lost[report.chain]) if is_short else report
    for chain in sorted(lost.keys() - known):
        nothing = ChainReport(chain, 0, 0, Link(0, ""), 0, 0, None)
        yield _without(nothing, lost[chain])


def _newest(reports: Sequence[ChainReport], anchor: Anchor | None) -> Iterator[Segment]:
    """Yield the last segment of each chain that any checkpoint knows, the newest of a chain last.

    What is signed counts, and nothing else.
    """
    kept = anchor.checkpoints.values() if anchor else ()
    proven = (report.proven for report in reports if report.proven)
    yield from sorted({one for checkpoint in (*kept, *proven) for one in checkpoint.newest})


def _without(report: ChainReport, segment: Segment) -> ChainReport:
    return replace(report, broken=Break(segment.file, 1, Fault.MISSING, report.link.seq + 1))


class _Inspection:
    """One walk along one chain."""

    def __init__(
        self,
        directory: Path,
        own: Sequence[Segment],
        anchor: Anchor | None,
        walked: Callable[[int], None] | None,
    ) -> None:
        self._directory = directory
        self._own = own
        self._pattern = Pattern(own[0].chain)
        self._proof = Proof(directory, own[0].chain, anchor)
        self._walked = walked or (lambda _: None)
        self._link = Link(0, "")
        self._records = self._leftover = self._torn = 0
        self._retention: Record | None = None

    def report(self) -> ChainReport:
        found = None
        try:
            self._follow()
        except JournalDamagedError as error:
            found = error
        # A signature that is wrong stands before the place where the chain ends.
        forged = self._proof.forged()
        if forged and not (found and (found.file, found.line) == (forged.file, forged.line)):
            found = forged
        found = found or self._proof.shortened(self._link) or self._unsigned_removal()
        proven = self._proof.proven
        return ChainReport(
            chain=self._own[0].chain,
            segments=len(self._own),
            records=self._records,
            link=self._link,
            leftover=self._leftover,
            torn=self._torn,
            broken=self._break(found) if found else None,
            proven=proven,
            unsigned=min(self._records, self._link.seq - (proven.seq if proven else 0)),
            removed=self._removed(),
        )

    def _break(self, error: JournalDamagedError) -> Break:
        seq = self._proof.seq_at(error.file, error.line)
        if not seq and (self._link.seq or error.file == Segment(self._own[0].chain, 1).file):
            seq = self._link.seq + error.line  # in the file after all that was walked
        return Break(error.file, error.line, error.fault, seq)

    def _follow(self) -> None:
        for segment in self._own:
            refuse_newer(self._directory, segment)
        first, *others = self._own
        header = self._header(first)
        self._begin(header)
        for segment in others:
            if segment != header.segment.next:
                self._segment(header, None)
                raise JournalDamagedError(header.segment.next.file, 1, Fault.MISSING)
            try:
                successor = self._header(segment, header.segment)
            except JournalDamagedError:
                with suppress(JournalDamagedError):  # that place would be no earlier
                    self._segment(header, None)
                raise
            self._segment(header, successor)
            header = successor
        self._segment(header, None, is_last=True)

    def _begin(self, header: Header) -> None:
        self._link = Link(header.seq - 1, header.prev)
        if header.before:
            self._retention = self._retained(header.segment)
            if self._retention is None:
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
        # A line that is signed, or that a next one vouches for, was there; any other may be the
        # header, altered.
        if read_checkpoint(found[0]):
            return Fault.CUT
        is_whole = found[1:] and (self._pattern.frame(found[1]) or (0, ""))[1] == digest(found[0])
        return Fault.CUT if is_whole else Fault.EDITED

    def _segment(self, header: Header, successor: Header | None, *, is_last: bool = False) -> None:
        segment, path = header.segment, self._directory / header.segment.file
        walked = walk(path, self._pattern, self._link, successor.size if successor else None)
        before, self._link = self._link, walked.link
        self._records += walked.count
        self._walked(walked.size)
        self._proof.saw(segment, before, walked)
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

    def _unsigned_removal(self) -> JournalDamagedError | None:
        """Return the break where a chain that is signed has no signature for a removal.

        It is signed before anything is removed; whoever may only write files can add a word to
        the end of the chain, and no signature.
        """
        said, proven = self._retention, self._proof.proven
        if said is None or (said.seq <= proven.seq if proven else not self._proof.is_asked):
            return None
        file = Segment(self._own[0].chain, self._own[0].number - 1).file
        return JournalDamagedError(file, 1, Fault.MISSING)

    def _removed(self) -> Removed | None:
        said, first = self._retention, self._proof.first
        if said is None or not first:
            return None
        anchored = 0 < self._proof.kept < first
        return Removed(first - 1, said.time, str(said.payload.get("why")), anchored)

    def _retained(self, first: Segment) -> Record | None:
        """Return where the chain itself says that what was before *first* was removed."""
        needle = f'"what":"{RETENTION}"'.encode()
        for segment in self._own:
            for offset, line in lines(self._directory / segment.file):
                record = parsed(line, segment.number, offset) if needle in line else None
                if record and is_own(record, RETENTION):
                    after = record.payload.get("after")
                    kept = named(after.get("segment")) if isinstance(after, dict) else None
                    if kept and kept >= first:
                        return record
        return None
