"""Walking a segment line by line, and naming what is wrong where it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from storage.journal.checkpoints import HEAD
from storage.journal.errors import Fault
from storage.journal.frame import Link, Pattern, digest, is_json
from storage.journal.limits import TAIL_BYTES
from storage.journal.segments import lines


@dataclass(frozen=True, slots=True)
class Walked:
    """How far a segment holds: `count` lines and `size` bytes, up to `link`.

    `rest` holds the lines from the first that does not fit, where there is one; `checkpoints` are
    among those that hold.
    """

    link: Link
    count: int
    size: int
    rest: tuple[bytes, ...] = ()
    checkpoints: tuple[Sighting, ...] = ()


class Sighting(NamedTuple):
    """A line that begins as a checkpoint does: which of its file, counted from 1."""

    number: int
    seq: int
    line: bytes


class Verdict(NamedTuple):
    """What is wrong, and with which line: 0 the first that does not fit, -1 the one before."""

    fault: Fault
    line: int


def walk(path: Path, pattern: Pattern, link: Link, end: int | None = None) -> Walked:
    """Follow the chain from *link* through *path*, no further than *end* bytes.

    A GiB of records of ordinary size takes about 6 seconds.
    """
    seq, digest_before = link
    last, before = b"", Walked(link, 0, 0)
    count = size = 0
    seen: list[Sighting] = []
    frame_of = pattern.frame
    for offset, line in lines(path, 0, end):
        frame = frame_of(line)
        if frame is None or frame.seq != seq + 1 or frame.prev != digest_before:
            rest = (line, *(one for _, one in lines(path, offset, end)))
            return Walked(Link(seq, digest_before), count, size, rest, tuple(seen))
        before = Walked(Link(seq, digest_before), count, size)
        seq, digest_before, count, size = seq + 1, sha256(line).hexdigest(), count + 1, offset
        last = line
        if line.startswith(HEAD):
            seen.append(Sighting(count, seq, line))
    if last and not is_json(last):
        # No later line vouches for the payload of the last.
        kept = tuple(one for one in seen if one.number < count)
        return Walked(before.link, before.count, before.size, (last,), kept)
    return Walked(Link(seq, digest_before), count, size, (), tuple(seen))


def is_torn(rest: Sequence[bytes], pattern: Pattern) -> bool:
    """Tell whether *rest* is what a crash leaves of a commit: garbage up to the end.

    A line that was acknowledged is followed by none of a torn commit, so whole lines after the
    break, or a whole line that only does not fit, mean damage instead; except where a part of
    the commit never reached the disk, and NUL stands in its place.
    """
    if sum(map(len, rest)) > TAIL_BYTES:
        return False
    first, *others = rest
    if b"\0" in first:
        return True
    is_whole = pattern.frame(first) is not None and is_json(first)
    return not is_whole and not any(map(pattern.frame, others))


def judge(link: Link, rest: Sequence[bytes], pattern: Pattern, then: str = "") -> Verdict:
    """Say what is wrong with the first of *rest*, which does not follow *link*.

    *then* is the hash that what follows *rest* holds of its last line, where that is known.
    """
    first, *others = rest
    frame = pattern.frame(first)
    if frame is None or frame.prev == link.digest:
        return Verdict(Fault.EDITED, 0)
    if frame.seq == link.seq + 1:
        # One of two neighbours was altered: what comes after tells whether it was this.
        after = pattern.frame(others[0]) if others else None
        vouched = after.prev if after else then
        return Verdict(Fault.EDITED, 0 if vouched and vouched != digest(first) else -1)
    if frame.seq <= link.seq:
        return Verdict(Fault.INSERTED, 0)
    is_later = any(one and one.seq == link.seq + 1 for one in map(pattern.frame, others))
    return Verdict(Fault.SWAPPED if is_later else Fault.CUT, 0)
