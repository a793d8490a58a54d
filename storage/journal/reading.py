"""Reading a journal, while it is written or as a copy."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from storage.journal.errors import Fault, JournalDamagedError, JournalNewerError
from storage.journal.frame import Chain, Kind, Pattern, Position, Record, is_newer, parsed
from storage.journal.segments import Segment, chains, lines, read_first, read_header
from storage.journal.walk import is_torn

Positions = Mapping[Chain, Position]
"""Where reading each chain goes on; `Record.position` of the last record read of it."""


def read(directory: Path, after: Positions | None = None, least: str = "") -> Iterator[Record]:
    """Yield the records of all chains in *directory* that follow *after*, by id.

    Of what comes before the id *least*, or `id_at` a time, whole segments are passed over unread.

    Each chain comes in its own order; ids grow with time, so chains mix by time, nearly: clocks
    differ, and the first line of a segment may be younger than what follows it. Nothing is
    locked: what is being written is read up to its last whole line, which may not be durable yet,
    and segments that were removed are passed over. Where a position fits no more, as the end of
    a segment was lost, the segment is read again from its beginning: records may come twice, and
    none is left out. Hashes are `verify`'s part. Raise `JournalDamagedError` for a line that is
    none, `JournalNewerError` for one of a newer version, `OSError` if a file cannot be read.
    """
    after = after or {}
    each = [
        (
            record
            for record, _ in _records(directory, reaching(directory, own, least), after.get(chain))
        )
        for chain, own in chains(directory).items()
    ]
    return heapq.merge(*each, key=lambda record: record.id)


def read_near(directory: Path, beginning: str) -> Iterator[Record]:
    """Yield records among which all decisions are whose ids have this *beginning*, as `read` does.

    Decisions are in the order of their ids within a chain, so each is read no further than one
    that is younger. Only outcomes that waited for a disk with room may follow later.
    """
    each = [
        _up_to(read_chain(directory, chain, least=beginning), beginning)
        for chain in chains(directory)
    ]
    return heapq.merge(*each, key=lambda record: record.id)


def read_chain(
    directory: Path, chain: Chain, after: Position | None = None, least: str = ""
) -> Iterator[Record]:
    """Yield the records of *chain* alone that follow *after*, in their order, as `read` does."""
    own = reaching(directory, chains(directory).get(chain, []), least)
    return (record for record, _ in _records(directory, own, after))


def read_lines(
    directory: Path, chain: Chain, after: Position | None = None
) -> Generator[tuple[Record, bytes], None, None]:
    """Yield what `read_chain` does, each record with its line, to the byte as it was written."""
    own = chains(directory).get(chain, [])
    if own:
        yield from _records(directory, own, after)


def id_at(time: str) -> str:
    """Return what no record of *time* or later, as records write it, has an id before.

    An id tells the moment it was made at, or a later one where the clock had been ahead.
    """
    seconds = datetime.fromisoformat(time).timestamp()
    moment = f"{max(0, int(seconds * 1000) - 1):012x}"
    return f"{moment[:8]}-{moment[8:]}"


def reaching(directory: Path, own: Sequence[Segment], least: str) -> Sequence[Segment]:
    """Return those segments of a chain, *own*, that can hold an id that is not before *least*.

    The id of a segment's first line is greater than all in the segments before it, whatever the
    clock did. What cannot be told from its first line is read.
    """
    for index in range(len(own) - 1, 0, -1):
        with suppress(OSError):
            first = read_first(directory, own[index])
            if first and first.id < least:
                return own[index:]
    return own


def _up_to(found: Iterable[Record], beginning: str) -> Iterator[Record]:
    for record in found:
        yield record
        is_beyond = record.id > beginning and not record.id.startswith(beginning)
        if is_beyond and record.kind is Kind.DECISION:
            return


def _records(
    directory: Path, own: Sequence[Segment], after: Position | None
) -> Iterator[tuple[Record, bytes]]:
    for segment, successor in [*pairwise(own), *((one, None) for one in own[-1:])]:
        if after is not None and segment.number < after.segment:
            continue
        with suppress(FileNotFoundError):  # released meanwhile
            header = read_header(directory, successor) if successor else None
            end = header.size if header and header.before == segment else None
            start = 0
            if after is not None and segment.number == after.segment:
                start = _start(directory / segment.file, after, end)
            yield from _of_segment(directory, segment, start, end)


def _start(path: Path, after: Position, end: int | None) -> int:
    """Return where reading *path* goes on: at its beginning if *after* does not fit."""
    size = path.stat().st_size if end is None else end
    for offset, line in lines(path, after.offset, end):
        if not line.endswith(b"\n"):
            break
        record = parsed(line, after.segment, offset)
        return after.offset if record and record.prev == after.digest else 0
    return after.offset if after.offset <= size else 0


def _of_segment(
    directory: Path, segment: Segment, start: int, end: int | None
) -> Iterator[tuple[Record, bytes]]:
    path = directory / segment.file
    for offset, line in lines(path, start, end):
        record = parsed(line, segment.number, offset)
        if record is None:
            count = sum(1 for _ in lines(path, 0, offset))
            if line.endswith(b"\n") and is_newer(line):
                raise JournalNewerError(segment.file, count)
            rest = (line, *(one for _, one in lines(path, offset, end)))
            if end is None and is_torn(rest, Pattern(segment.chain)):
                return
            raise JournalDamagedError(segment.file, count, Fault.EDITED)
        yield record, line
