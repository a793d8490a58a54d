"""The ledger of facts: what lives, and everything that ever lived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, insert, update
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from policies.model import Answer, Entity, Fact
from storage.engine import Database
from storage.errors import (
    DatabaseUnavailableError,
    FactRefusedError,
    FactsChangedError,
    FactVersionError,
)
from storage.tables import FactRow
from storage.versions import raised, restores_of, version_of
from storage.words import is_name, is_text

_MOST_AT_ONCE = 500
"""Values in one statement, well under what any database takes."""
_Item = TypeVar("_Item")
_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Change:
    """Facts of one *origin* to add and to remove, and who wants that and why.

    With *at* it is made on that version of the facts, or not at all.
    """

    add: tuple[Fact, ...]
    remove: tuple[Fact, ...]
    origin: str
    by: str
    why: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change came to: the version since then, and what was not so before."""

    version: int
    added: tuple[Fact, ...]
    removed: tuple[Fact, ...]


class Difference(NamedTuple):
    """What brings the facts of an older version to those of `version`, each with its origin."""

    version: int
    added: list[tuple[Fact, str]]
    removed: list[tuple[Fact, str]]


class _Row(NamedTuple):
    """A fact as it is stored, with its origin."""

    predicate: str
    args: str
    origin: str


class _Key(NamedTuple):
    """A fact as it is stored, in which `true` is not `1`."""

    predicate: str
    args: str


class _Moment(NamedTuple):
    """When a life of a fact begins or ends, by whom and why."""

    version: int
    at: float
    by: str
    why: str

    def stamp(self, verb: str) -> dict[str, object]:
        """Return the columns whose names begin with *verb*."""
        return {f"{verb}_{name}": value for name, value in self._asdict().items()}


class FactLedger:
    """The facts of *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._restores: int | None = None

    async def living(self) -> tuple[int, list[tuple[Fact, str]]]:
        """Return the version and the facts of that version, each with its origin."""
        async with self._database.reading() as session:
            self._restores = await restores_of(session)
            version = await version_of(session, "facts")
            return version, _facts(await _rows(session, col(FactRow.removed_version).is_(None)))

    async def as_of(self, version: int) -> list[tuple[Fact, str]]:
        """Return the facts that lived in *version*, each with its origin.

        Raise `FactVersionError` if there was no such version.
        """
        removed = col(FactRow.removed_version)
        async with self._database.reading() as session:
            await _check_was(session, version)
            rows = await _rows(
                session,
                col(FactRow.added_version) <= version,
                or_(removed.is_(None), removed > version),
            )
        return _facts(rows)

    async def since(self, version: int) -> Difference:
        """Return what changed from *version* to the newest, without what changed back.

        Raise `FactVersionError` if there was no such version, or a backup was restored since
        `living` told the facts: then they came about in another way.
        """
        added, removed = col(FactRow.added_version), col(FactRow.removed_version)
        async with self._database.reading() as session:
            if await self._is_restored(session):
                raise FactVersionError(f"{version} of before the restoration")
            newest = await _check_was(session, version)
            began = await _rows(session, added > version, removed.is_(None))
            ended = await _rows(session, added <= version, removed > version)
        same = {*began} & {*ended}
        return Difference(
            newest,
            _facts([row for row in began if row not in same]),
            _facts([row for row in ended if row not in same]),
        )

    async def change(self, change: Change) -> Applied:
        """Apply *change* whole, as a new version if it changes anything.

        Raise `FactRefusedError` for a fact with a value that cannot be kept, for one that is both
        added and removed, and for words about the change that cannot be kept; `FactsChangedError`
        if the version is another than the change wants; `DatabaseUnavailableError` as `Database`
        does, and if a backup was restored since `living` told the facts.
        """
        if not is_text(change.by, change.why):
            raise FactRefusedError("words that no database can keep")
        add, remove = _keyed(change.add, change.origin), _keyed(change.remove, change.origin)
        if add.keys() & remove.keys():
            raise FactRefusedError("a fact is both added and removed")
        async with self._database.changing() as session:
            if await self._is_restored(session):
                raise DatabaseUnavailableError("a backup was restored and not read yet")
            version = await version_of(session, "facts")
            if change.at not in {None, version}:
                raise FactsChangedError(f"{change.at}, and now {version}")
            living = await _living(session, change.origin, [*add, *remove])
            added = [key for key in add if key not in living]
            removed = [key for key in remove if key in living]
            if added or removed:
                version = await raised(session, "facts")
                moment = _Moment(version, self._clock(), change.by, change.why)
                await _begin(session, added, change.origin, moment)
                await _end(session, [living[key] for key in removed], moment)
        return Applied(
            version, tuple(add[key] for key in added), tuple(remove[key] for key in removed)
        )

    async def _is_restored(self, session: AsyncSession) -> bool:
        return self._restores not in {None, await restores_of(session)}


async def _check_was(session: AsyncSession, version: int) -> int:
    """Return the newest version, or raise `FactVersionError` if *version* never was."""
    newest = await version_of(session, "facts")
    if not 0 <= version <= newest:
        raise FactVersionError(f"{version} of {newest}")
    return newest


async def _begin(session: AsyncSession, keys: Iterable[_Key], origin: str, moment: _Moment) -> None:
    stamp = {"origin": origin} | moment.stamp("added")
    for some in _portions([key._asdict() | stamp for key in keys]):
        await session.exec(insert(FactRow), params=some)


async def _end(session: AsyncSession, rows: Sequence[int], moment: _Moment) -> None:
    for some in _portions(rows):
        ended = update(FactRow).where(col(FactRow.id).in_(some))
        await session.exec(ended.values(moment.stamp("removed")))


async def _rows(session: AsyncSession, *lived: ColumnElement[bool]) -> list[_Row]:
    """Return the facts that *lived*, in the order they were added."""
    wanted = select(FactRow.id, FactRow.predicate, FactRow.args, FactRow.origin).where(*lived)
    # Asked for an order, SQLite would go through all rows in it, and past the index.
    rows = sorted(await session.exec(wanted), key=lambda row: row[0] or 0)
    return [_Row(*row[1:]) for row in rows]


def _facts(rows: Iterable[_Row]) -> list[tuple[Fact, str]]:
    return [(Fact(row.predicate, _read(row.args)), row.origin) for row in rows]


async def _living(session: AsyncSession, origin: str, keys: list[_Key]) -> dict[_Key, int]:
    """Return the rows of those *keys* that live."""
    found: dict[_Key, int] = {}
    for predicate, group in groupby(sorted(keys), key=lambda key: key.predicate):
        for some in _portions([key.args for key in group]):
            rows = await session.exec(
                select(FactRow.args, FactRow.id).where(
                    FactRow.predicate == predicate,
                    col(FactRow.args).in_(some),
                    FactRow.origin == origin,
                    col(FactRow.removed_version).is_(None),
                )
            )
            found |= {_Key(predicate, args): number for args, number in rows if number is not None}
    return found


def _portions(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _MOST_AT_ONCE):
        yield items[start : start + _MOST_AT_ONCE]


def _keyed(facts: Iterable[Fact], origin: str) -> dict[_Key, Fact]:
    keyed = {_Key(fact.predicate, _written(fact.args)): fact for fact in facts}
    if not all(is_name(*key, origin) for key in keyed):
        raise FactRefusedError("a fact too long, or with a name that no database can keep")
    return keyed


def _written(args: tuple[Answer, ...]) -> str:
    """Return *args* as the one JSON text that means them, in ASCII."""
    return json.dumps([_json(value) for value in args], separators=(",", ":"))


def _json(value: Answer) -> object:
    if isinstance(value, Entity):
        return {"type": value.type, "id": value.id}
    if isinstance(value, bool | str) or (isinstance(value, int) and _LEAST <= value <= _MOST):
        return value
    raise FactRefusedError(f"a {type(value).__name__} is not kept in facts")


def _read(text: str) -> tuple[Answer, ...]:
    return tuple(
        Entity(value["type"], value["id"]) if isinstance(value, dict) else value
        for value in json.loads(text)
    )
