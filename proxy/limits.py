"""How much one principal may do at once: calls per second, and streams that are open."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from policies.model import Entity

REMEMBERED: Final = 10_000
"""Principals whose pace is kept; whoever was quiet longest is forgotten first, and starts anew."""


class Admission(Enum):
    """What became of a call. `REFUSED_AGAIN` follows a refusal of the same second."""

    ADMITTED = auto()
    REFUSED = auto()
    REFUSED_AGAIN = auto()


@dataclass(slots=True)
class _Pace:
    """Calls that may still be made, as of a monotonic second; and the last refused second."""

    left: float
    since: float
    refused_in: int = -1


class Admissions:
    """Admits the calls and streams of each principal. *clock* tells monotonic seconds.

    A principal may save up one second's calls and make them at once.
    """

    def __init__(self, *, calls_per_second: int, streams: int, clock: Callable[[], float]) -> None:
        self._rate = calls_per_second
        self._most_streams = streams
        self._clock = clock
        self._paces: OrderedDict[Entity, _Pace] = OrderedDict()
        self._streams: Counter[Entity] = Counter()

    def call(self, actor: Entity) -> Admission:
        """Admit or refuse one call of *actor*."""
        now = self._clock()
        pace = self._paces.get(actor)
        if pace is None:
            pace = self._remember(actor, now)
        else:
            self._paces.move_to_end(actor)
        pace.left = min(float(self._rate), pace.left + (now - pace.since) * self._rate)
        pace.since = now
        if pace.left >= 1:
            pace.left -= 1
            return Admission.ADMITTED
        second = int(now)
        is_again = pace.refused_in == second
        pace.refused_in = second
        return Admission.REFUSED_AGAIN if is_again else Admission.REFUSED

    def may_stream(self, actor: Entity) -> bool:
        """Tell whether *actor* has a stream left, which the answer to a request may need."""
        return self._streams[actor] < self._most_streams

    def open_stream(self, actor: Entity) -> bool:
        """Count one more open stream of *actor*, unless that would be too many."""
        if not self.may_stream(actor):
            return False
        self._streams[actor] += 1
        return True

    def close_stream(self, actor: Entity) -> None:
        """Count one stream less."""
        self._streams[actor] -= 1
        if self._streams[actor] <= 0:
            del self._streams[actor]

    def _remember(self, actor: Entity, now: float) -> _Pace:
        pace = self._paces[actor] = _Pace(float(self._rate), now)
        if len(self._paces) > REMEMBERED:
            self._paces.popitem(last=False)
        return pace
