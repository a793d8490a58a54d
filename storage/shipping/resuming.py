"""Where copying a chain goes on: what the database has is not read again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from storage.journal.frame import Position, parsed
from storage.journal.limits import LONGEST_LINE
from storage.journal.segments import segments
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import Cursor, Feed, fitting


async def resumed(ledger: ShippingLedger, directory: Path, feed: Feed) -> Cursor | None:
    """Return how far *feed*, of the journal in *directory*, was copied; None if nothing was.

    Where the cursor is lost, or fits no more, it is the last segment that was begun: a chain is
    copied in its order, so all before the first record of a segment that is there is there too.
    Raise `DatabaseUnavailableError`, `OSError`.
    """
    known = await ledger.cursor(feed)
    cursor = await asyncio.to_thread(fitting, directory, feed.chain, known)
    if cursor is not None:
        return cursor
    beginnings = await asyncio.to_thread(_beginnings, directory, feed)
    held = await ledger.held([one for one, _ in beginnings])
    return next((one for id_, one in reversed(beginnings) if id_ in held), None)


def _beginnings(directory: Path, feed: Feed) -> Sequence[tuple[str, Cursor]]:
    """Return where each segment begins, the oldest first, with the id of its first record."""
    found = []
    for segment in segments(directory, feed.chain):
        with (
            suppress(FileNotFoundError),  # released meanwhile
            (directory / segment.file).open("rb") as file,
        ):
            record = parsed(file.readline(LONGEST_LINE), segment.number, 0)
            if record is not None:
                start = Position(segment.number, 0, record.prev)
                found.append((str(record.id), Cursor(start, record.seq - 1)))
    return found
