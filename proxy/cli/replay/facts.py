"""The facts of each version that decisions rest on, made from one to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Final

from policies.facts import FactSet
from policies.tracing import Lookup
from proxy.cli.replay.changes import Changes
from storage.timeline import Stated, Step, Timeline

_KEPT: Final = 32
_BEFORE: Final = 200
"""Versions before the first that is asked for, since workers record out of step."""


class FactsOver:
    """The facts of *read*, a timeline from a version on. *heard* is told all that are stated."""

    def __init__(
        self, read: Callable[[int], Timeline], heard: Callable[[Iterable[Stated]], None]
    ) -> None:
        self._read = read
        self._heard = heard
        self._timeline: Timeline | None = None
        self._versions: list[int] = []
        self._changes: Changes | None = None
        self._known: OrderedDict[int, FactSet] = OrderedDict()

    def at(self, version: int) -> FactSet:
        """Return the facts of *version*. Raise what the reading raises, if there was none."""
        found = self._known.get(version)
        if found is None:
            found = self._known[version] = self._made(version)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    @property
    def tables(self) -> Collection[str]:
        """The predicates (`name/arity`) of whose facts any changes."""
        return self._changes.tables if self._changes else ()

    def span(self, version: int, lookups: Iterable[Lookup]) -> tuple[int, int]:
        """Return from which version on, and before which, *lookups* find what they do then."""
        return self._changes.span(version, lookups) if self._changes else (version, version + 1)

    def _made(self, version: int) -> FactSet:
        timeline = self._timeline
        if timeline is None or not timeline.first <= version <= timeline.last:
            timeline = self._begin(version)
        before = [known for known in self._known if timeline.first <= known <= version]
        start = max(before, default=timeline.first)
        facts = self._known[start] if before else _changed(FactSet(), Step(list(timeline.living)))
        reached, wanted = bisect_right(self._versions, start), bisect_right(self._versions, version)
        for one in self._versions[reached:wanted]:
            facts = _changed(facts, timeline.steps[one])
        return facts.numbered(version)

    def _begin(self, version: int) -> Timeline:
        self._known.clear()
        timeline = self._timeline = self._read(max(0, version - _BEFORE))
        self._versions = list(timeline.steps)
        self._changes = Changes(timeline)
        self._heard(timeline.living)
        for step in timeline.steps.values():
            self._heard(step.added)
        return timeline


def _changed(facts: FactSet, step: Step) -> FactSet:
    for origin in dict.fromkeys(origin for _, origin in (*step.added, *step.removed)):
        add = [fact for fact, of in step.added if of == origin]
        remove = [fact for fact, of in step.removed if of == origin]
        facts = facts.changed(origin, add=add, remove=remove)
    return facts
