"""What of a chain is to be copied next. Everything here blocks, and belongs into a thread."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Final

import orjson

from storage.journal.files import lock
from storage.journal.frame import Chain, Position, digest
from storage.journal.limits import LONGEST_LINE, MIB
from storage.journal.reading import read_chain
from storage.journal.segments import Segment, chains, read_header, segments
from storage.shipping.rows import Row, rows_of

MOST_RECORDS: Final = 1_000
MOST_BYTES: Final = MIB
_TURN: Final = 32
QUIET_SECONDS: Final = 5.0
"""For which nobody wrote to a chain whose writer is gone."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A chain in one directory. `id` tells it from those of other nodes of the same name."""

    id: str
    chain: Chain


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a chain was copied: up to *position*, which is after the record *seq*."""

    position: Position
    seq: int


@dataclass(frozen=True, slots=True)
class Portion:
    """`count` records on their way, up to `cursor`: the rows of each table, as one JSON text."""

    cursor: Cursor
    count: int
    rows: Mapping[str, str] = field(repr=False)


def portion(
    directory: Path,
    chain: Chain,
    after: Cursor | None,
    *,
    until: int | None = None,
    most: int = MOST_RECORDS,
) -> Portion | None:
    """Return up to *most* records of *chain* that follow *after*; None if there are none.

    Where *until* is given, nothing is looked at that follows the record of that number: it may
    not be durable. Raises as `storage.journal.read` does.
    """
    rows: dict[str, list[Row]] = defaultdict(list)
    count = size = 0
    cursor: Cursor | None = None
    with closing(_records(directory, chain, after, until)) as records:
        for reached, length, made in records:
            cursor, count, size = reached, count + 1, size + length
            for table, row in made:
                rows[table].append(row)
            if count >= most or size >= MOST_BYTES:
                break
            if not count % _TURN:
                time.sleep(0)  # the interpreter is the event loop's as well
    if cursor is None:
        return None
    texts = {table: orjson.dumps(some).decode() for table, some in rows.items()}
    return Portion(cursor, count, texts)


def _records(
    directory: Path, chain: Chain, after: Cursor | None, until: int | None
) -> Generator[tuple[Cursor, int, Iterable[tuple[str, Row]]], None, None]:
    """Yield each record as how far it brings the cursor, its bytes, and its rows."""
    before = after.position if after else None
    for record in read_chain(directory, chain, before):
        if until is not None and record.seq > until:
            return
        position = record.position
        is_same = before is not None and before.segment == position.segment
        start = before.offset if before and is_same and before.offset < position.offset else 0
        before = position
        yield Cursor(position, record.seq), position.offset - start, rows_of(record)
        if record.seq == until:
            return


def feed(directory: Path, chain: Chain) -> Feed:
    """Return *chain* as the database knows it. Its id is made once, and kept beside it."""
    path = directory / f"{file_name(chain)}.feed"
    if not path.exists():
        draft = directory / f"{file_name(chain)}.{token_hex(8)}.draft"
        draft.write_text(token_hex(16), encoding="ascii")
        try:
            # Of two processes that make one at once, both have that of the first.
            with suppress(FileExistsError):
                path.hardlink_to(draft)
        finally:
            draft.unlink()
    return Feed(path.read_text(encoding="ascii"), chain)


def feeds(directory: Path) -> list[Feed]:
    """Return the chains that were ever copied from *directory*, whether they are there or not."""
    found = []
    for path in sorted(directory.glob("*.feed")):
        node, _, worker = path.stem.rpartition(".")
        if worker.isdecimal():
            found.append(Feed(path.read_text(encoding="ascii"), Chain(node, int(worker))))
    return found


def fitting(directory: Path, chain: Chain, cursor: Cursor | None) -> Cursor | None:
    """Return *cursor* if what it tells of is there, else None.

    It is not where a loss of power took what was copied already, or somebody put an older copy of
    the directory in its place. To copy a record again costs time and changes nothing.
    """
    if cursor is None:
        return None
    position = cursor.position
    start = max(0, position.offset - LONGEST_LINE)
    try:
        with (directory / Segment(chain, position.segment).file).open("rb") as file:
            file.seek(start)
            content = file.read(position.offset - start)
    except FileNotFoundError:
        return None
    if start + len(content) < position.offset:
        return None
    line = content[content.rfind(b"\n", 0, -1) + 1 :]
    return cursor if digest(line) == position.digest else None


def beginning(directory: Path, chain: Chain) -> Cursor | None:
    """Return the cursor before the oldest record of *chain* that is kept; None if none is.

    Raise `OSError` if its segment is removed meanwhile, or cannot be read.
    """
    own = segments(directory, chain)
    header = read_header(directory, own[0]) if own else None
    if header is None:
        return None
    return Cursor(Position(header.segment.number, 0, header.prev), header.seq - 1)


@contextmanager
def claimed(directory: Path, chain: Chain, purpose: str = "shipping") -> Iterator[bool]:
    """Tell whether *chain* is ours to copy until the block ends; another process may have it.

    Claims for one *purpose* leave those for another alone.
    """
    try:
        handle = lock(directory / f"{file_name(chain)}.{purpose}")
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(handle)


def left_behind(directory: Path, own: Chain, now: float) -> list[Chain]:
    """Return the chains besides *own* to which nobody has written for a while.

    *now* is in seconds since the epoch.
    """
    found = []
    for chain, own_segments in chains(directory).items():
        path = directory / own_segments[-1].file
        if chain != own and path.stat().st_mtime <= now - QUIET_SECONDS:
            found.append(chain)
    return found


def file_name(chain: Chain) -> str:
    """Return what the names of all files about *chain* begin with."""
    return f"{chain.node}.{chain.worker:04d}"
