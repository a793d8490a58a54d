"""The files of a chain: their names, and what the first line of each says of the one before.

A segment is called `NODE.WORKER.NUMBER.jsonl`; numbers count from 1, so names sort as they were
written. Its first line is a record of the journal itself (kind `change`, what
`journal.segment`) that names the segment before and how many of its bytes count: what follows
them was never acknowledged. The first of a chain holds a random genesis instead, and its `prev`
is that genesis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

from storage.journal.errors import JournalNewerError
from storage.journal.frame import Chain, Record, is_newer, parsed
from storage.journal.limits import LONGEST_LINE

SEGMENT = "journal.segment"
REPAIR = "journal.repair"
RETENTION = "journal.retention"
WHO = {"type": "System", "id": "journal"}

STARTED, ROTATED, RECOVERED = "started", "rotated", "recovered"

_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.([0-9]{4})\.([0-9]{8})\.jsonl")


class Segment(NamedTuple):
    """One file of a chain."""

    chain: Chain
    number: int

    @property
    def file(self) -> str:
        return f"{self.chain.node}.{self.chain.worker:04d}.{self.number:08d}.jsonl"

    @property
    def next(self) -> Segment:
        return Segment(self.chain, self.number + 1)


class Header(NamedTuple):
    """What the first line of a segment says.

    `before` is the segment before and `size` its bytes that count; both are None and zero in the
    first of a chain, which has a `genesis`. `why` tells whether bytes after those may be there.
    """

    segment: Segment
    seq: int
    prev: str
    why: str
    before: Segment | None
    size: int
    genesis: str


def lock_name(chain: Chain) -> str:
    return f"{chain.node}.{chain.worker:04d}.lock"


def named(name: object) -> Segment | None:
    """Return the segment whose file is called *name*; None if none is."""
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    return found and Segment(Chain(found[1], int(found[2])), int(found[3]))


def segments(directory: Path, chain: Chain) -> list[Segment]:
    """Return the segments of *chain* that are in *directory*, the oldest first."""
    return chains(directory).get(chain, [])


def chains(directory: Path) -> dict[Chain, list[Segment]]:
    """Return the segments of every chain that is in *directory*, the oldest first."""
    found = sorted(filter(None, (named(path.name) for path in directory.iterdir())))
    return {chain: list(own) for chain, own in groupby(found, key=lambda one: one.chain)}


def header_payload(
    segment: Segment, why: str, before: Segment | None, size: int, genesis: str
) -> dict[str, Any]:
    after = {"segment": segment.file} | ({} if before else {"genesis": genesis})
    return {
        "who": WHO,
        "what": SEGMENT,
        "why": why,
        "before": before and {"segment": before.file, "size": size},
        "after": after,
    }


def read_header(directory: Path, segment: Segment) -> Header | None:
    """Return what the first line of *segment* says; None if it is not the first line of one."""
    record = _first(directory, segment)
    return header_of(record) if record else None


def read_first(directory: Path, segment: Segment) -> Record | None:
    """Return the first record of *segment*; None if it is not that of this segment."""
    record = _first(directory, segment)
    header = header_of(record) if record else None
    return record if header and header.segment == segment else None


def _first(directory: Path, segment: Segment) -> Record | None:
    with (directory / segment.file).open("rb") as file:
        line = file.readline(LONGEST_LINE)
    return parsed(line, segment.number, len(line))


def refuse_newer(directory: Path, segment: Segment) -> None:
    """Raise `JournalNewerError` if a newer version wrote *segment*.

    All of its first lines say so: one that does alone was altered.
    """
    first = [line for _, line in islice(lines(directory / segment.file), 3)]
    if first and all(map(is_newer, first)):
        raise JournalNewerError(segment.file, 1)


def header_of(record: Record) -> Header | None:
    """Return what *record* says as the first of a segment; None if it is not one."""
    if not is_own(record, SEGMENT):
        return None
    before, after = record.payload.get("before"), record.payload.get("after")
    segment = named(after.get("segment")) if isinstance(after, dict) else None
    if segment is None or not isinstance(after, dict):
        return None
    link = _before(before)
    if link is None:
        return None
    genesis = after.get("genesis", "")
    why = record.payload.get("why")
    return Header(segment, record.seq, record.prev, str(why), *link, str(genesis))


def _before(value: object) -> tuple[Segment | None, int] | None:
    if value is None:
        return None, 0
    if not isinstance(value, dict) or not isinstance(value.get("size"), int):
        return None
    segment = named(value.get("segment"))
    return (segment, value["size"]) if segment else None


def is_own(record: Record, what: str) -> bool:
    """Tell whether the journal itself wrote *record*, about *what*."""
    return record.payload.get("who") == WHO and record.payload.get("what") == what


def lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield each line of *path* between two offsets, with the offset after it.

    The last may lack its line break; one that is longer than any record comes in parts.
    """
    offset = start
    with path.open("rb") as file:
        file.seek(start)
        while end is None or offset < end:
            line = file.readline(LONGEST_LINE)
            if not line:
                return
            offset += len(line)
            if end is not None and offset > end:
                line = line[: end - offset]
                offset = end
            yield offset, line
