"""What each server offers, as last seen, and what of it was approved."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.engine import Database
from storage.errors import DefinitionChangedError, DefinitionUnknownError
from storage.tables import DefinitionRow, ServerRow
from storage.versions import raised
from storage.words import check_name, check_text, is_name

Kind = Literal["tool", "prompt", "resource", "template"]
State = Literal["new", "approved", "changed", "gone"]
Trust = Literal["first", "all", "none"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that a server offers now. `name` is a URI where it is not a tool or a prompt.

    `hash` is of the whole definition, whose JSON `body` is.
    """

    kind: Kind
    name: str
    hash: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Definition:
    """One thing that a server offers, or once offered, as last seen.

    `new` was never approved, `changed` differs from what was approved or seen before, `gone` is
    not offered any more.
    """

    server: str
    kind: Kind
    name: str
    hash: str
    state: State
    body: Mapping[str, Any]


class DefinitionLedger:
    """The definitions in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def offered(self, server: str) -> list[Definition]:
        """Return what *server* offers, and what is gone, by kind and name."""
        if not is_name(server):
            return []
        async with self._database.reading() as session:
            return _definitions(await _rows(session, server))

    async def take(self, server: str, seen: Sequence[Seen], *, trust: Trust) -> list[Definition]:
        """Keep *seen* as all that *server* offers now, and return what `offered` would.

        With trust `all` everything is approved; with `first` what the server offers when it is
        taken for the first time, even if that is nothing. Raise `ValueError` if two things have
        the same kind and name, and `TextRefusedError` for a name that cannot be kept.
        """
        check_name(server)
        for one in seen:
            check_name(server, one.kind, one.name)
            check_text(one.hash)
        offers = {(one.kind, one.name): one for one in seen}
        if len(offers) != len(seen):
            raise ValueError("Two definitions have the same kind and name.")
        async with self._database.changing() as session:
            now = self._clock()
            is_first = await _register(session, server, now)
            approves = trust == "all" or (trust == "first" and is_first)
            rows = {(row.kind, row.name): row for row in await _rows(session, server)}
            before = _standing(rows)
            for key, row in rows.items():
                if key not in offers:
                    _enter(row, "gone", now)
            for key, one in offers.items():
                if key not in rows:
                    rows[key] = _introduced(server, one, now)
                    session.add(rows[key])
                _meet(rows[key], one, now, approves=approves)
            if _standing(rows) != before:
                await raised(session, "definitions")
            return _definitions([rows[key] for key in sorted(rows)])

    async def approve(self, server: str, kind: Kind, name: str, hash: str) -> Definition:  # noqa: A002  as in `Definition`
        """Approve what was seen with *hash*, and return it.

        Raise `DefinitionChangedError` if it is seen with another hash by now, or is gone, and
        `DefinitionUnknownError` if it was never seen.
        """
        if not is_name(server, kind, name):
            raise DefinitionUnknownError("a name that nothing can have")
        async with self._database.changing() as session:
            row = await session.get(DefinitionRow, (server, kind, name), with_for_update=True)
            if row is None:
                raise DefinitionUnknownError(f"{server} {kind} {name}")
            if row.seen_hash != hash or row.state == "gone":
                raise DefinitionChangedError(f"{server} {kind} {name}")
            row.approved_hash = hash
            if row.state != "approved":
                _enter(row, "approved", self._clock())
                await raised(session, "definitions")
            return _definition(row)


async def _register(session: AsyncSession, server: str, now: float) -> bool:
    """Tell whether *server* is new, and note that it no longer is."""
    if await session.get(ServerRow, server, with_for_update=True) is not None:
        return False
    session.add(ServerRow(name=server, first_seen_at=now))
    await session.flush()  # definitions refer to it
    return True


async def _rows(session: AsyncSession, server: str) -> list[DefinitionRow]:
    rows = await session.exec(select(DefinitionRow).where(DefinitionRow.server == server))
    # Not in the order of the database, which is that of some language.
    return sorted(rows, key=lambda row: (row.kind, row.name))


def _standing(rows: Mapping[tuple[str, str], DefinitionRow]) -> dict[tuple[str, str], object]:
    """Return what others go by: the state of each, and what it is."""
    return {key: (row.state, row.seen_hash) for key, row in rows.items()}


def _introduced(server: str, one: Seen, now: float) -> DefinitionRow:
    return DefinitionRow(
        server=server,
        kind=one.kind,
        name=one.name,
        seen_hash=one.hash,
        state="new",
        body=_written(one.body),
        first_seen_at=now,
        last_seen_at=now,
        changed_at=now,
    )


def _meet(row: DefinitionRow, one: Seen, now: float, *, approves: bool) -> None:
    """Note that *one* is what is offered now under the name of *row*."""
    if approves:
        row.approved_hash = one.hash
    is_same = one.hash == row.seen_hash
    if one.hash == row.approved_hash:
        _enter(row, "approved", now)
    elif row.state != "new" or not is_same:
        # Coming back without an approval is a change as well: nothing becomes new by going away.
        _enter(row, "changed", now)
    if not is_same:
        row.seen_hash, row.body, row.changed_at = one.hash, _written(one.body), now
    row.last_seen_at = now


def _enter(row: DefinitionRow, state: State, now: float) -> None:
    if row.state != state:
        row.state, row.changed_at = state, now


def _written(body: Mapping[str, Any]) -> str:
    return json.dumps(dict(body), separators=(",", ":"), allow_nan=False)


def _definitions(rows: Sequence[DefinitionRow]) -> list[Definition]:
    return [_definition(row) for row in rows]


def _definition(row: DefinitionRow) -> Definition:
    return Definition(
        server=row.server,
        kind=cast("Kind", row.kind),
        name=row.name,
        hash=row.seen_hash,
        state=cast("State", row.state),
        body=json.loads(row.body),
    )
