"""The database's side of the copying: rows and cursor in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from sqlalchemy import Dialect, Table, Text, TextClause, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from storage.backup.schema import newest
from storage.engine import Database
from storage.errors import StateError
from storage.journal.frame import Position
from storage.shipping.portions import Cursor, Feed, Portion
from storage.tables import METADATA, ChangeRow, CheckpointRow, CursorRow

_ASKED_AT_ONCE: Final = 500
_SCHEMA: Final = "SELECT version_num FROM alembic_version"
_TAKEN: Final = {
    "sqlite": text(_SCHEMA),
    # No step is taken until the copies that were begun before it are there, or not.
    "postgresql": text(f"{_SCHEMA} FOR SHARE"),
}
_FEED: Final = "CAST(:feed AS VARCHAR)"
_MOVED: Final = text(
    """INSERT INTO cursors (id, node, worker, segment, size, digest, seq, moved_at)
    VALUES (:id, :node, :worker, :segment, :size, :digest, :seq, :moved_at)
    ON CONFLICT (id) DO UPDATE SET segment = excluded.segment, size = excluded.size,
    digest = excluded.digest, seq = excluded.seq, moved_at = excluded.moved_at"""
)


class OtherSchemaError(StateError):
    """The database has the schema of another release."""

    code = "schema-other"
    public = (
        "The database belongs to another release, so the record is not copied to it. "
        "Bring all gateways to the same release."
    )


class ShippingLedger:
    """Takes copies of the record into *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def cursor(self, feed: Feed) -> Cursor | None:
        """Return how far *feed* was copied; None if nothing of it was.

        Raise `DatabaseUnavailableError`.
        """
        async with self._database.copying() as session:
            row = await session.get(CursorRow, feed.id)
            if row is None:
                return None
            return Cursor(Position(row.segment, row.size, row.digest), row.seq)

    async def take(self, feed: Feed, portion: Portion) -> None:
        """Keep what of *portion* is not there yet, and note how far *feed* was copied.

        Raise `DatabaseUnavailableError`, after which it may be there or not, and
        `OtherSchemaError`, after which it is not: either way, it may be tried again.
        """
        schema = await asyncio.to_thread(newest)
        async with self._database.copying() as session:
            connection = await session.connection()
            dialect = connection.dialect.name
            await _check_schema(connection, schema)
            for name, rows in portion.rows.items():
                own = {"feed": feed.id} if "feed" in METADATA.tables[name].columns else {}
                await connection.execute(_statement(name, dialect), {"rows": rows, **own})
            await connection.execute(_MOVED, self._moved(feed, portion.cursor))

    def _moved(self, feed: Feed, cursor: Cursor) -> dict[str, object]:
        position = cursor.position
        return {
            "id": feed.id,
            "node": feed.chain.node,
            "worker": feed.chain.worker,
            "segment": position.segment,
            "size": position.offset,
            "digest": position.digest,
            "seq": cursor.seq,
            "moved_at": self._clock(),
        }

    async def held(self, ids: Sequence[str]) -> set[str]:
        """Return those of *ids* that are of changes which were copied.

        Raise `DatabaseUnavailableError`.
        """
        found: set[str] = set()
        async with self._database.copying() as session:
            for begin in range(0, len(ids), _ASKED_AT_ONCE):
                some = ids[begin : begin + _ASKED_AT_ONCE]
                there = select(ChangeRow.id).where(col(ChangeRow.id).in_(some))
                found.update(await session.exec(there))
        return found

    async def checkpoints(self, feeds: Sequence[Feed]) -> dict[Feed, bytes]:
        """Return the line of the last checkpoint of each of *feeds* that has one here.

        Raise `DatabaseUnavailableError`.
        """
        found = {}
        async with self._database.reading() as session:
            for feed in feeds:
                own = select(CheckpointRow.body).where(CheckpointRow.feed == feed.id)
                newest = own.order_by(col(CheckpointRow.seq).desc()).limit(1)
                line = (await session.exec(newest)).first()
                if line is not None:
                    found[feed] = f"{line}\n".encode()
        return found


async def _check_schema(connection: AsyncConnection, schema: str) -> None:
    taken = (await connection.execute(_TAKEN[connection.dialect.name])).scalar_one()
    if taken != schema:
        raise OtherSchemaError(f"step {taken}, and this release needs {schema}")


@cache
def _statement(name: str, dialect: str) -> TextClause:
    """Return what adds rows to the table *name*, except those that are there.

    All of them come as one text, which the database takes apart: to bind each value would keep
    the event loop from its calls for longer than anybody may.
    """
    table = METADATA.tables[name]
    columns = ", ".join(table.columns.keys())
    rows = _from_server(table) if dialect == "postgresql" else _from_file(table)
    # SQLite would take what follows the rows for a join, were there no condition.
    statement = f"INSERT INTO {name} ({columns}) {rows} WHERE true ON CONFLICT DO NOTHING"
    return text(statement).bindparams(bindparam("rows", type_=Text()))


def _from_server(table: Table) -> str:
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    given = [one for one in table.columns if one.name != "feed"]
    types = ", ".join(f"{one.name} {one.type.compile(dialect)}" for one in given)
    columns = ", ".join(_FEED if one.name == "feed" else one.name for one in table.columns)
    return f"SELECT {columns} FROM json_to_recordset(CAST(:rows AS json)) AS given({types})"  # noqa: S608  our own


def _from_file(table: Table) -> str:
    values = ", ".join(
        _FEED if one.name == "feed" else f"json_extract(value, '$.{one.name}')"
        for one in table.columns
    )
    return f"SELECT {values} FROM json_each(:rows)"  # noqa: S608  our own
