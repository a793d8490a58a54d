"""The history of facts: who stated each, when and why, at any moment that ever was."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, func
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from policies.model import Entity, Fact
from storage.engine import Database
from storage.errors import FactVersionError
from storage.tables import CounterRow, FactRow

_PORTION: Final = 500


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a fact: since when, by whom and why. `added_at` is in seconds since the epoch."""

    id: int
    fact: Fact
    origin: str
    added_version: int
    added_at: float
    added_by: str
    added_why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts are looked for: of `predicates`, with all of `values` among their arguments.

    `admits` has the last word on each.
    """

    predicates: Collection[str]
    values: tuple[str | Entity, ...] = ()
    admits: Callable[[Fact], bool] = lambda _: True


class FactHistory:
    """The facts of *database* with their lives."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version_at(self, moment: float) -> int:
        """Return the version of the facts in force at *moment*, in seconds since the epoch.

        A clock that was set back does not hide a change that was made.
        """
        added, removed = FactRow.added_version, col(FactRow.removed_version)
        async with self._database.reading() as session:
            began = await session.exec(
                select(func.max(added)).where(col(FactRow.added_at) <= moment)
            )
            ended = await session.exec(
                select(func.max(removed)).where(col(FactRow.removed_at) <= moment)
            )
            return max(began.one() or 0, ended.one() or 0)

    async def lives(
        self, wanted: Wanted, *, version: int | None = None, limit: int, after: int = 0
    ) -> list[Life]:
        """Return up to *limit* lives that were going on in *version*, or are now, the oldest first.

        The next page begins *after* the id of the last life of this one. Raise `FactVersionError`
        if there was no such version.
        """
        found: list[Life] = []
        async with self._database.reading() as session:
            going_on = await _going_on(session, version)
            while len(found) < limit:
                rows = await _portion(session, wanted, going_on, after)
                found += [one for one in map(_life, rows) if _is(one.fact, wanted)]
                if len(rows) < _PORTION:
                    break
                after = _number(rows[-1])
        return found[:limit]

    async def find(self, number: int) -> Life | None:
        """Return the life with this id if it goes on; None if it has ended or never was."""
        living = select(FactRow).where(FactRow.id == number, col(FactRow.removed_version).is_(None))
        async with self._database.reading() as session:
            row = (await session.exec(living)).first()
            return None if row is None else _life(row)


async def _going_on(session: AsyncSession, version: int | None) -> list[ColumnElement[bool]]:
    removed = col(FactRow.removed_version)
    if version is None:
        return [removed.is_(None)]
    counter = select(CounterRow.value).where(CounterRow.name == "facts")
    newest = (await session.exec(counter)).one()
    if not 0 <= version <= newest:
        raise FactVersionError(f"{version} of {newest}")
    return [col(FactRow.added_version) <= version, or_(removed.is_(None), removed > version)]


async def _portion(
    session: AsyncSession, wanted: Wanted, going_on: Sequence[ColumnElement[bool]], after: int
) -> Sequence[FactRow]:
    number, args = col(FactRow.id), col(FactRow.args)
    rows = select(FactRow).where(
        col(FactRow.predicate).in_(wanted.predicates),
        number > after,
        *going_on,
        # Not every database tells case apart here, so what comes back is looked at again.
        *(args.contains(piece, autoescape=True) for piece in _pieces(wanted.values)),
    )
    return (await session.exec(rows.order_by(number).limit(_PORTION))).all()


def _is(fact: Fact, wanted: Wanted) -> bool:
    return all(value in fact.args for value in wanted.values) and wanted.admits(fact)


def _pieces(values: tuple[str | Entity, ...]) -> Iterator[str]:
    """Yield each of *values* as it stands in the stored arguments of a fact."""
    for value in values:
        plain = {"type": value.type, "id": value.id} if isinstance(value, Entity) else value
        yield json.dumps(plain, separators=(",", ":"))


def _life(row: FactRow) -> Life:
    args = tuple(
        Entity(value["type"], value["id"]) if isinstance(value, dict) else value
        for value in json.loads(row.args)
    )
    return Life(
        _number(row),
        Fact(row.predicate, args),
        row.origin,
        row.added_version,
        row.added_at,
        row.added_by,
        row.added_why,
    )


def _number(row: FactRow) -> int:
    return row.id or 0
