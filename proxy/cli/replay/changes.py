"""When what is looked up in the facts changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Final

from policies.polar.tables import Places, keyed
from policies.polar.values import Row, held_row, key_of
from policies.tracing import Lookup
from storage.timeline import Timeline

_Versions = dict[Row, list[int]]

_NEVER: Final[list[int]] = []


class Changes:
    """The changes of a timeline, by what of the facts they touch."""

    def __init__(self, timeline: Timeline) -> None:
        self._first = timeline.first
        self._last = timeline.last
        self._rows: dict[str, list[tuple[int, Row]]] = {}
        self._by_key: dict[tuple[str, Places], _Versions] = {}
        for version, step in timeline.steps.items():
            for fact, _ in (*step.added, *step.removed):
                table = key_of(fact.predicate, len(fact.args))
                self._rows.setdefault(table, []).append((version, held_row(fact.args)))

    @property
    def tables(self) -> Collection[str]:
        return self._rows.keys()

    def span(self, version: int, lookups: Iterable[Lookup]) -> tuple[int, int]:
        """Return from which version on, and before which, *lookups* find what they do in *version*.

        A change that is none, such as one origin more of a fact, counts as one.
        """
        if not self._first <= version <= self._last:
            return version, version + 1
        first, end = self._first, self._last + 1
        for table, places, key in lookups:
            if table not in self._rows:
                continue
            versions = self._of(table, places).get(key, _NEVER)
            if versions:
                reached = bisect_right(versions, version)
                if reached:
                    first = max(first, versions[reached - 1])
                if reached < len(versions):
                    end = min(end, versions[reached])
        return first, end

    def _of(self, table: str, places: Places) -> _Versions:
        """Return at which versions rows of *table* change, by their arguments at *places*."""
        found = self._by_key.get((table, places))
        if found is None:
            found = self._by_key[table, places] = {}
            for version, row in self._rows[table]:
                found.setdefault(keyed(row, places), []).append(version)
        return found
