"""All facts of one predicate: immutable, indexed on demand, cheap to change by one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from immutables import Map, MapMutation

from policies.polar.values import Row

Origins = tuple[str, ...]
"""Where a fact comes from; a fact stays until its last origin is gone."""

Places = tuple[int, ...]

Draft = MapMutation[Row, Origins]


class Table:
    """Rows of one predicate, each with its origins.

    A change gives a new table that shares all but the changed parts. An index is built the first
    time somebody asks by its places, and kept up to date by later changes; two threads that ask
    at once build it twice, to the same effect.
    """

    __slots__ = ("_indexes", "rows")

    def __init__(self, rows: Map[Row, Origins] | None = None) -> None:
        self.rows: Map[Row, Origins] = Map() if rows is None else rows
        self._indexes: dict[Places, Map[Row, tuple[Row, ...]]] = {}

    def find(self, places: Places, key: Row) -> Iterable[Row]:
        """Return the rows whose arguments at *places* are *key*; without places, all."""
        if not places or not self.rows:
            return self.rows
        index = self._indexes.get(places)
        if index is None:
            index = self._indexes[places] = _indexed(Map(), places, self.rows, ())
        return index.get(key, ())

    def changed(
        self,
        origin: str,
        *,
        add: Iterable[Row] = (),
        remove: Iterable[Row] = (),
    ) -> Table:
        """Return this table after *origin* withdrew *remove* and stated *add*."""
        draft = self.rows.mutate()
        gone = [row for row in remove if _withdraw(draft, row, origin)]
        new = [row for row in add if _state(draft, row, origin)]
        table = Table(draft.finish())
        for places, index in tuple(self._indexes.items()):
            table._indexes[places] = _indexed(index, places, new, gone)
        return table


def _withdraw(draft: Draft, row: Row, origin: str) -> bool:
    """Take *origin* from *row*; return whether the row is gone."""
    origins = draft.get(row)
    if origins is None or origin not in origins:
        return False
    left = tuple(other for other in origins if other != origin)
    if left:
        draft[row] = left
        return False
    del draft[row]
    return True


def _state(draft: Draft, row: Row, origin: str) -> bool:
    """Give *row* one more origin; return whether the row is new."""
    origins = draft.get(row, ())
    if origin not in origins:
        draft[row] = (*origins, origin)
    return not origins


def _indexed(
    index: Map[Row, tuple[Row, ...]], places: Places, new: Iterable[Row], gone: Iterable[Row]
) -> Map[Row, tuple[Row, ...]]:
    """Return *index* by *places* without the rows *gone* and with those *new*."""
    buckets: dict[Row, list[Row]] = {}
    for row in gone:
        buckets.setdefault(key := keyed(row, places), list(index.get(key, ()))).remove(row)
    for row in new:
        key = keyed(row, places)
        if key not in buckets:
            buckets[key] = list(index.get(key, ()))
        buckets[key].append(row)
    draft = index.mutate()
    for key, rows in buckets.items():
        if rows:
            draft[key] = tuple(rows)
        else:
            draft.pop(key, None)
    return draft.finish()


def keyed(row: Row, places: Places) -> Row:
    """Return the arguments of *row* at *places*."""
    return tuple([row[place] for place in places])


EMPTY = Table()


def grouped(facts: Iterable[tuple[str, Row]]) -> Mapping[str, list[Row]]:
    """Return the rows of *facts* by predicate."""
    found: dict[str, list[Row]] = {}
    for predicate, row in facts:
        found.setdefault(predicate, []).append(row)
    return found
