"""What an evaluation reads of the facts, so that its answer can outlive changes of others.

An answer is the same wherever all that was looked up gives the same rows, what was not found
included, and wherever the clock stands alike to every number among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from immutables import Map

from policies.facts import FactSet
from policies.polar.tables import EMPTY, Places, Table
from policies.polar.values import Row

WHOLE: Final[Places] = ()
"""The places of a look at every row of a table."""

_Kept = TypeVar("_Kept")


class Lookup(NamedTuple):
    """The rows of `table` whose arguments at `places` are `key`."""

    table: str
    places: Places
    key: Row


@dataclass(slots=True)
class Reads:
    """Lookups, and the numbers among the rows found."""

    lookups: set[Lookup] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)

    def add(self, other: Reads) -> None:
        self.lookups |= other.lookups
        self.numbers |= other.numbers

    def count(self, row: Iterable[object]) -> None:
        """Take note of the numbers in *row*."""
        self.numbers.update(value for value in row if type(value) is int)

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(one.table for one in self.lookups)


class Trace:
    """Takes note of what is read of the facts it watches."""

    def __init__(self) -> None:
        self.reads = Reads()

    def watching(self, facts: FactSet, names: Iterable[str]) -> FactSet:
        """Return *facts* such that what is read of the tables *names* is noted here."""
        tables = {name: facts.get(name, EMPTY) for name in {*facts, *names}}
        watched: dict[str, Table] = {
            name: _Watched(name, table, self) for name, table in tables.items()
        }
        return FactSet(Map(watched), facts.version)

    def during(self, work: Callable[[], _Kept]) -> tuple[_Kept, Reads]:
        """Return what *work* returns, and what it read."""
        before, self.reads = self.reads, Reads()
        try:
            return work(), self.reads
        finally:
            before.add(self.reads)
            self.reads = before

    def again(self, reads: Reads) -> None:
        """Take note of what was read when what is used now was first worked out."""
        self.reads.add(reads)


class _Rows(Mapping[Row, tuple[str, ...]]):
    """Rows of a table; each that is asked for is noted, whether or not it is there."""

    __slots__ = ("_name", "_rows", "_trace")

    def __init__(self, name: str, rows: Map[Row, tuple[str, ...]], trace: Trace) -> None:
        self._name = name
        self._rows = rows
        self._trace = trace

    def __contains__(self, row: object) -> bool:
        places = tuple(range(len(row)))  # type: ignore[arg-type]
        self._trace.reads.lookups.add(Lookup(self._name, places, row))  # type: ignore[arg-type]
        return row in self._rows

    def __getitem__(self, row: Row) -> tuple[str, ...]:
        self._trace.reads.lookups.add(Lookup(self._name, tuple(range(len(row))), row))
        return self._rows[row]

    def __iter__(self) -> Iterator[Row]:
        self._trace.reads.lookups.add(Lookup(self._name, WHOLE, ()))
        for row in self._rows:
            self._trace.reads.count(row)
            yield row

    def __len__(self) -> int:
        self._trace.reads.lookups.add(Lookup(self._name, WHOLE, ()))
        return len(self._rows)


class _Watched(Table):
    """A table that tells what is read of it."""

    __slots__ = ("_name", "_table", "_trace")

    def __init__(self, name: str, table: Table, trace: Trace) -> None:
        self._name = name
        self._table = table
        self._trace = trace
        self.rows = _Rows(name, table.rows, trace)  # type: ignore[assignment]

    def find(self, places: Places, key: Row) -> Iterable[Row]:
        reads = self._trace.reads
        reads.lookups.add(Lookup(self._name, places, key if places else ()))
        found = self._table.find(places, key)
        for row in found:
            reads.count(row)
        return found

    def changed(self, origin: str, *, add: Iterable[Row] = (), remove: Iterable[Row] = ()) -> Table:
        table = self._table.changed(origin, add=add, remove=remove)
        return _Watched(self._name, table, self._trace)
