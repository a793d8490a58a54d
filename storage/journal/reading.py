"""Reading a journal, while it is written or as a copy."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from storage.journal.errors import Fault, JournalDamagedError, JournalNewerError
from storage.journal.frame import Chain, Pattern, Position, Record, is_newer, parsed
from storage.journal.segments import Segment, chains, lines, read_header
from storage.journal.walk import is_torn

Positions = Mapping[Chain, Position]
"""Where reading each chain goes on; `Record.position` of the last record read of it."""


def read(directory: Path, after: Positions | None = None) -> Iterator[Record]:
    """Yield the records of all chains in *directory* that follow *after*, by id.

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
        (record for record, _ in _records(directory, own, after.get(chain)))
        for chain, own in chains(directory).items()
    ]
    return heapq.merge(*each, key=lambda record: record.id)


def read_chain(directory: Path, chain: Chain, after: Position | None = None) -> Iterator[Record]:
    """Yield the records of *chain* alone that follow *after*, in their order, as `read` does."""
    return (record for record, _ in read_lines(directory, chain, after))


def read_lines(
    directory: Path, chain: Chain, after: Position | None = None
) -> Generator[tuple[Record, bytes], None, None]:
    """Yield what `read_chain` does, each record with its line, to the byte as it was written."""
    own = chains(directory).get(chain, [])
    if own:
        yield from _records(directory, own, after)


def _records(
    directory: Path, own: Sequence[Segment], after: Position | None
) -> Iterator[tuple[Record, bytes]]:
    for segment, successor in [*pairwise(own), (own[-1], None)]:
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
