"""Appends under load until it is killed, and prints the id of each record acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from storage.journal import Journal, JournalUnavailableError, Kind, Limits
from tests.storage.early import EarlyJournal
from tests.storage.samples import decision

CALLERS = 32


async def append_for_ever(journal: Journal, caller: int) -> None:
    number = 0
    while True:
        number += 1
        try:
            name = await journal.append(
                Kind.DECISION, decision(number, caller=caller, pad="x" * 200)
            )
        except JournalUnavailableError:
            await asyncio.sleep(0)
        else:
            os.write(1, f"{name}\n".encode())


async def main(directory: Path, *, early: bool) -> None:
    limits = Limits(segment_bytes=2**18, deadline=60)
    journal = await (EarlyJournal if early else Journal).open(directory, "n", 0, limits=limits)
    await asyncio.gather(*(append_for_ever(journal, caller) for caller in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), early=sys.argv[2:] == ["early"]))
