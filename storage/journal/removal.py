"""Removing what is too old, or in the way, so that the chain itself says so.

The record of it is signed before a file goes, in the chain it is about. A chain whose writer is
gone is opened for that, and keeps one short segment: the word, signed, that the rest was removed.
So its numbers go on where it is begun again, and no other chain has to remember it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.journal.chain import ChainFile
from storage.journal.checkpoints import Signer
from storage.journal.files import Files, LocalFiles, lock
from storage.journal.frame import Chain
from storage.journal.limits import Limits
from storage.journal.segments import RETENTION, WHO, Segment, lock_name, segments


def retention_payload(first: Segment, kept: Segment, why: str) -> dict[str, Any]:
    """Return the payload of the record that the segments from *first* up to *kept* are removed."""
    return {
        "who": WHO,
        "what": RETENTION,
        "why": why,
        "before": {"segment": first.file},
        "after": {"segment": kept.file},
    }


def remove(directory: Path, found: Iterable[Segment], files: Files) -> None:
    """Remove the files of *found*, the oldest first.

    Each is gone for good before the next goes, so that a loss of power leaves no gap, which would
    look like tampering.
    """
    for segment in found:
        with suppress(FileNotFoundError):
            files.remove(directory / segment.file)
        files.sync_directory(directory)


@dataclass(frozen=True, slots=True)
class LeftChains:
    """The chains in `directory` that nobody writes any more. `clock` is that of a journal."""

    directory: Path
    limits: Limits
    clock: Callable[[], int]
    signer: Signer | None
    files: Files = field(default_factory=LocalFiles)

    def release(self, chain: Chain, before: Callable[[], int], *, why: str) -> list[Segment]:
        """Remove the segments of *chain* below what *before* returns, and return them.

        It is asked once nobody can write to the chain any more; where somebody does, nothing is
        removed. Raise `JournalDamagedError` for a chain that is broken before its end, `OSError`
        if the disk fails.
        """
        if self.is_written(chain):
            return []
        arguments = (self.limits, self.clock, self.files, self.signer)
        with closing(ChainFile(self.directory, chain, *arguments)) as file:
            found = segments(self.directory, chain)
            number = before()
            if number <= found[0].number:
                return []
            if number > found[-1].number:
                file.rotate()
            kept = Segment(chain, min(number, file.segment.number))
            file.append([file.own(retention_payload(found[0], kept, why))], signed=True)
            gone = [one for one in found if one < kept]
            remove(self.directory, gone, self.files)
            return gone

    def is_written(self, chain: Chain) -> bool:
        """Tell whether a process has *chain* open for writing. Raise `OSError`."""
        try:
            os.close(lock(self.directory / lock_name(chain)))
        except BlockingIOError:
            return True
        return False
