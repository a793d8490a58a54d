"""How old segments are, and which of them are to go. Seconds are since the epoch.

Clocks lie: one that jumps ten years ahead would make all that is kept too old at once. So age is
judged against the newest record of the chain as well as the clock, and a stretch of records that
follows a pause of a day or more says nothing about the time until it has lasted a day itself.
Until then, time is taken to stand where it was before the pause. A real pause costs a day of
patience; a clock that is wrong for less than a day costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from storage.journal.frame import Chain, Kind, Record, parsed
from storage.journal.limits import KIB, LONGEST_LINE
from storage.journal.segments import RETENTION, SEGMENT, Segment, is_own, lines

DAY = 86_400.0
_TAIL = 64 * KIB
_MOST_BARE = 128 * KIB


@dataclass(frozen=True, slots=True)
class Age:
    """A segment of `size` bytes, and the times of its first and its last record.

    It is `bare` if it tells of segments, and of nothing else.
    """

    segment: Segment
    size: int
    began: float
    ended: float
    bare: bool


def began(directory: Path, segment: Segment) -> float:
    """Return the time of the first record of *segment*; 0 if it tells none."""
    with (directory / segment.file).open("rb") as file:
        record = parsed(file.readline(LONGEST_LINE), segment.number, 0)
    return 0.0 if record is None else _moment(record, 0.0)


def age_of(directory: Path, segment: Segment) -> Age:
    """Look at *segment*. What tells no time is taken as never old. Raise `OSError`."""
    path = directory / segment.file
    size = path.stat().st_size
    last = _last(path, segment, size)
    ended = math.inf if last is None else _moment(last, math.inf)
    bare = size <= _MOST_BARE and _is_bare(path, segment)
    return Age(segment, size, began(directory, segment), ended, bare)


class Ages:
    """Knows how old the segments in *directory* are, without looking twice at one that is done."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Segment, Age] = {}

    def of(self, found: Mapping[Chain, Sequence[Segment]]) -> list[list[Age]]:
        """Return the ages of *found*, chain by chain; what is gone meanwhile is left out."""
        before, self._known = self._known, {}
        return [[*self._ages(own, before)] for own in found.values()]

    def _ages(self, own: Sequence[Segment], before: Mapping[Segment, Age]) -> Iterable[Age]:
        for segment in own:
            with suppress(FileNotFoundError):
                age = before.get(segment) or age_of(self._directory, segment)
                if segment != own[-1]:
                    self._known[segment] = age
                yield age


def trusted(own: Sequence[Age], now: float) -> float:
    """Return the moment against which age is judged, where *now* is what the clock tells."""
    newest = [one.ended for one in own if one.ended < math.inf]
    if not newest:
        return 0.0
    moment, lasted_to = min(now, newest[-1]), newest[-1]
    for before, after in reversed([*pairwise(own)]):
        if abs(after.began - before.ended) < DAY:
            continue
        if lasted_to - after.began >= DAY:
            break
        moment, lasted_to = min(moment, before.ended), before.ended
    return moment


def outdated(own: Sequence[Age], before: float, now: float, *, written: bool) -> int:
    """Return the number below which the segments of one chain are wholly older than *before*.

    What seems to be written after *now* is as old as what follows it. The last segment stays
    where it is *written*, and where nothing is in it that could go.
    """
    first, ended = own[-1].segment.number + 1, math.inf
    for one in reversed(own):
        is_last = one is own[-1]
        if is_last or one.ended <= now:
            ended = one.ended
        if ended >= before or (is_last and (written or one.bare)):
            first = one.segment.number
    return first


def oldest(found: Iterable[Age], excess: int) -> list[Segment]:
    """Return the oldest of *found* that together have *excess* bytes, or all."""
    chosen: list[Segment] = []
    for one in sorted(found, key=lambda age: (age.ended, age.segment)):
        if excess <= 0:
            break
        chosen.append(one.segment)
        excess -= one.size
    return chosen


def _moment(record: Record, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(record.time).timestamp()
    except (TypeError, ValueError):
        return otherwise


def _last(path: Path, segment: Segment, size: int) -> Record | None:
    """Return the last whole record of *path*."""
    for tail in (_TAIL, 2 * LONGEST_LINE):
        start = max(0, size - tail)
        with path.open("rb") as file:
            file.seek(start)
            found = file.read(size - start).splitlines(keepends=True)
        for line in reversed(found):
            record = parsed(line, segment.number, size)
            if record is not None:
                return record
    return None


def _is_bare(path: Path, segment: Segment) -> bool:
    found = (parsed(line, segment.number, offset) for offset, line in lines(path))
    return all(record is not None and _is_of_segments(record) for record in found)


def _is_of_segments(record: Record) -> bool:
    is_word = is_own(record, SEGMENT) or is_own(record, RETENTION)
    return record.kind is Kind.CHECKPOINT or is_word
