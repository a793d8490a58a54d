"""Fills a small disk with a journal until it refuses, makes room, and goes on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from storage.journal import Journal, JournalUnavailableError, Kind, Limits, verify
from tests.storage.samples import decision, kept

PAD = "x" * 100_000


async def filled(journal: Journal) -> list[str]:
    """Append until the disk takes no more; return the ids of what was acknowledged."""
    found: list[str] = []
    while True:
        try:
            found.append(await journal.append(Kind.DECISION, decision(len(found), pad=PAD)))
        except JournalUnavailableError:
            return found


async def recovered(journal: Journal) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                return await journal.append(Kind.DECISION, decision(0))
            except JournalUnavailableError:
                await asyncio.sleep(0.01)


async def main(disk: Path) -> None:
    ballast = disk / "ballast"
    await asyncio.to_thread(ballast.write_bytes, bytes(4 * 2**20))
    async with await Journal.open(
        disk / "journal", "n", 0, limits=Limits(segment_bytes=2**20, deadline=10)
    ) as journal:
        promised = await filled(journal)
        is_down = not journal.health.available
        await asyncio.to_thread(ballast.unlink)
        promised.append(await recovered(journal))
        promised += await filled(journal)
    found = {record.id for record in kept(disk / "journal")}
    is_whole = verify(disk / "journal").is_whole
    sys.stdout.write(f"{len(promised)} {len(set(promised) - found)} {is_down} {is_whole}\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
