"""The facts a policy is asked about: an immutable set that is cheap to change by one fact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from immutables import Map

from policies.model import Fact
from policies.polar.tables import EMPTY, Origins, Table
from policies.polar.values import Row, fact, held_row, key_of, name_of


class FactSet(Mapping[str, Table]):
    """Facts with their origins, by predicate (`name/arity`) as an engine links them.

    Immutable: a change gives a new set that shares everything it did not touch. `version` counts
    changes, so that a decision can name the facts it rests on.
    """

    __slots__ = ("_tables", "version")

    def __init__(self, tables: Map[str, Table] | None = None, version: int = 0) -> None:
        self._tables: Map[str, Table] = Map() if tables is None else tables
        self.version = version

    @classmethod
    def of(cls, origin: str, facts: Iterable[Fact]) -> FactSet:
        """Return the set of *facts*, all from *origin*."""
        return cls().changed(origin, add=facts)

    def changed(
        self, origin: str, *, add: Iterable[Fact] = (), remove: Iterable[Fact] = ()
    ) -> FactSet:
        """Return this set after *origin* withdrew the facts *remove* and stated those of *add*.

        A fact that another origin states too stays until that one withdraws it.
        """
        gone, new = _by_predicate(remove), _by_predicate(add)
        tables = self._tables
        for key in {**gone, **new}:
            table = tables.get(key, EMPTY)
            tables = tables.set(
                key, table.changed(origin, add=new.get(key, ()), remove=gone.get(key, ()))
            )
        return FactSet(tables, self.version + 1)

    def numbered(self, version: int) -> FactSet:
        """Return this set as the one that a ledger calls *version*."""
        return FactSet(self._tables, version)

    def origins(self, fact: Fact) -> Origins:
        """Return where *fact* comes from; nothing if it is not in the set."""
        table = self._tables.get(key_of(fact.predicate, len(fact.args)), EMPTY)
        return table.rows.get(held_row(fact.args), ())

    def facts(self) -> Iterator[tuple[Fact, Origins]]:
        """Yield every fact with its origins, in no particular order."""
        for key, table in self._tables.items():
            for row, origins in table.rows.items():
                yield fact(name_of(key), row), origins

    def __getitem__(self, key: str) -> Table:
        return self._tables[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def _by_predicate(facts: Iterable[Fact]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for one in facts:
        found.setdefault(key_of(one.predicate, len(one.args)), []).append(held_row(one.args))
    return found
