"""Answers that last from one version of the facts to another, and from moment to moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from policies.tracing import Lookup, Reads, Trace

_REMEMBERED: Final = 300_000
_FAR: Final = 2**64

Spans = Callable[[int, Iterable[Lookup]], tuple[int, int]]
"""From which version on, and before which, given lookups find what they find in a version."""


class Span(NamedTuple):
    """The whole numbers between two others."""

    after: int
    before: int

    @classmethod
    def around(cls, now: int, numbers: Iterable[int]) -> Span:
        """Return the moments that compare with each of *numbers* as *now* does."""
        after, before = -_FAR, _FAR
        for number in numbers:
            if number == now:
                return cls(now - 1, now + 1)
            if number < now:
                after = max(after, number)
            else:
                before = min(before, number)
        return cls(after, before)

    def holds(self, now: int) -> bool:
        return self.after < now < self.before


_Answer = TypeVar("_Answer")

_Kept = tuple[_Answer, int, int, int, int]
"""An answer, its first version and the one at which it ends, and the span of its moments."""


class Lasting(Generic[_Answer]):
    """Answers by what was asked, each for as long as nothing changes that was read for it.

    *trace* watches what is read. *spans* knows every change.
    """

    def __init__(self, trace: Trace, spans: Spans) -> None:
        self.trace = trace
        self._spans = spans
        self._known: dict[object, _Kept[_Answer] | None] = {}
        self._same: dict[_Answer, _Answer] = {}

    def find(
        self, key: bytes, version: int, now: int, moment: Callable[[], object]
    ) -> _Answer | None:
        """Return the answer to *key*, None if it is not known for *version* and *now*."""
        found = self._known.get(key, self)
        if found is None:  # it depends on the hour
            found = self._known.get((key, moment()), self)
        if found is self or found is None:
            return None
        answer, first, end, after, before = found  # type: ignore[misc]
        return answer if first <= version < end and after < now < before else None

    def keep(
        self, key: bytes, version: int, now: int, moment: object, reads: Reads, answer: _Answer
    ) -> _Answer:
        """Remember and return *answer*, for which *reads* were read.

        It is that of one *moment* alone, if it is given.
        """
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
            self._same.clear()
        answer = self._same.setdefault(answer, answer)
        kept = answer, *self._spans(version, reads.lookups), *Span.around(now, reads.numbers)
        if moment is None:
            self._known[key] = kept
        else:
            self._known[key] = None
            self._known[key, moment] = kept
        return answer
