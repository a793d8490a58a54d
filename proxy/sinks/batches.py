"""What of a chain a sink is sent next. Everything here blocks, and belongs into a thread."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from storage.journal import Chain, Kind, Record
from storage.journal.limits import MIB
from storage.journal.reading import read_lines
from storage.shipping.portions import Cursor

MOST_BYTES: Final = MIB
"""Of one batch; a record that is larger is one by itself."""

MOST_SEEN: Final = 1_000
_TURN: Final = 32


@dataclass(frozen=True, slots=True)
class Copy:
    """A record, and its line to the byte as the journal has it: so its hash can be checked."""

    record: Record
    line: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """The copies that bring a sink up to `cursor`. There may be none: then nobody wants them."""

    cursor: Cursor
    copies: tuple[Copy, ...]


def batch(
    directory: Path,
    chain: Chain,
    after: Cursor | None,
    until: int | None,
    kinds: Collection[Kind],
    most: int,
) -> Batch | None:
    """Return up to *most* records of *kinds* that follow *after*; None if nothing does.

    Where *until* is given, nothing is looked at that follows the record of that number. Raises as
    `storage.journal.read` does.
    """
    copies: list[Copy] = []
    cursor: Cursor | None = None
    seen = size = 0
    with closing(read_lines(directory, chain, after.position if after else None)) as found:
        for record, line in found:
            if until is not None and record.seq > until:
                break
            cursor, seen = Cursor(record.position, record.seq), seen + 1
            if record.kind in kinds:
                copies.append(Copy(record, line))
                size += len(line)
            if len(copies) >= most or size >= MOST_BYTES or seen >= MOST_SEEN:
                break
            if record.seq == until:
                break
            if not seen % _TURN:
                time.sleep(0)  # the interpreter is the event loop's as well
    return Batch(cursor, tuple(copies)) if cursor else None
