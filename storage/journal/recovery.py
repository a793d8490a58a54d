"""Finding the end of a chain after a crash, and making it good."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from storage.journal.errors import Fault, JournalDamagedError
from storage.journal.files import Files, write_all
from storage.journal.frame import Link, Pattern, digest
from storage.journal.limits import TAIL_BYTES
from storage.journal.segments import (
    REPAIR,
    WHO,
    Header,
    Segment,
    lines,
    read_header,
    refuse_newer,
)
from storage.journal.walk import Walked, is_torn, judge, walk

_ID = re.compile(
    rb'\{"v":1,"kind":"[a-z]+","id":"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f-]{17})"'
)


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a chain, durable: `size` bytes of `segment`, up to `link`; `torn` bytes cut.

    No id in the segment is greater than `newest_id`, which is empty if there is none.
    """

    segment: Segment
    link: Link
    size: int
    torn: int
    torn_digest: str
    newest_id: str

    def repair(self) -> dict[str, Any]:
        """Return the payload of the record that says what was cut off."""
        name = self.segment.file
        return {
            "who": WHO,
            "what": REPAIR,
            "why": "torn",
            "before": {"segment": name, "size": self.size + self.torn, "cut": self.torn_digest},
            "after": {"segment": name, "size": self.size},
        }


def recover(directory: Path, segment: Segment, files: Files) -> Tail:
    """Find the end of the chain whose last segment is *segment*, and cut off what a crash tore.

    Raise `JournalDamagedError` for anything that is broken before the end, `JournalNewerError`
    for what a newer version wrote, `OSError` when the disk fails.
    """
    refuse_newer(directory, segment)
    header = read_header(directory, segment)
    if header is None or header.segment != segment:
        raise JournalDamagedError(segment.file, 1, Fault.SWAPPED if header else Fault.EDITED)
    _check_before(directory, header)
    path, pattern = directory / segment.file, Pattern(segment.chain)
    walked = walk(path, pattern, Link(header.seq - 1, header.prev))
    if walked.rest and (not walked.count or not is_torn(walked.rest, pattern)):
        verdict = judge(walked.link, walked.rest, pattern)
        raise JournalDamagedError(segment.file, walked.count + 1 + verdict.line, verdict.fault)
    _settle(path, walked, files)
    torn = b"".join(walked.rest)
    newest = _newest_id(path, walked.size)
    return Tail(segment, walked.link, walked.size, len(torn), digest(torn), newest)


def _newest_id(path: Path, size: int) -> str:
    found = (_ID.match(line) for _, line in lines(path, 0, size))
    return max((one[1] for one in found if one), default=b"").decode()


def _check_before(directory: Path, header: Header) -> None:
    """Raise unless the segment before, where it is still kept, ends as *header* says."""
    if header.before is None:
        if header.segment.number != 1 or header.prev != header.genesis:
            raise JournalDamagedError(header.segment.file, 1, Fault.MISSING)
        return
    path = directory / header.before.file
    if not path.exists():
        return
    count, last, offset = 0, b"", 0
    for offset, last in lines(path, 0, header.size):  # noqa: B007  the last of both is wanted
        count += 1
    if offset < header.size:
        raise JournalDamagedError(header.before.file, count, Fault.CUT)
    if sha256(last).hexdigest() != header.prev:
        raise JournalDamagedError(header.before.file, count, Fault.EDITED)


def _settle(path: Path, walked: Walked, files: Files) -> None:
    """Cut off what is torn, and make sure that the rest is on the disk.

    The process before us may have died after a failed sync. The kernel then holds lines that it
    will never write, and says nothing of it to us; so all that can be so is written again, in
    its place.
    """
    handle = files.open(path)
    try:
        if walked.rest:
            files.truncate(handle, walked.size)
        start = max(0, walked.size - TAIL_BYTES)
        with path.open("rb") as file:
            file.seek(start)
            write_all(files, handle, file.read(walked.size - start), start)
        files.sync(handle)
    finally:
        files.close(handle)
