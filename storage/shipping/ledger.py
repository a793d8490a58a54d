"""The database's side of the copying: rows and cursor in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Final

from sqlalchemy import Dialect, Table, Text, TextClause, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.backup.schema import newest
from storage.engine import Database
from storage.errors import StateError
from storage.journal.frame import Position
from storage.shipping.portions import Cursor, Feed, Portion
from storage.tables import METADATA, CursorRow

_TAKEN: Final = text("SELECT version_num FROM alembic_version")


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
        async with self._database.reading() as session:
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
        async with self._database.changing() as session:
            await _check_schema(session, schema)
            dialect = session.get_bind().dialect
            connection = await session.connection()
            for name, rows in portion.rows.items():
                await connection.execute(_statement(name, dialect.name), {"rows": rows})
            await self._move(session, feed, portion.cursor)

    async def _move(self, session: AsyncSession, feed: Feed, cursor: Cursor) -> None:
        row = await session.get(CursorRow, feed.id)
        if row is None:
            row = CursorRow(
                id=feed.id,
                node=feed.chain.node,
                worker=feed.chain.worker,
                segment=0,
                size=0,
                digest="",
                seq=0,
                moved_at=0,
            )
            session.add(row)
        position = cursor.position
        row.segment, row.size, row.digest = position.segment, position.offset, position.digest
        row.seq, row.moved_at = cursor.seq, self._clock()


async def _check_schema(session: AsyncSession, schema: str) -> None:
    taken = (await (await session.connection()).execute(_TAKEN)).scalar_one()
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
    types = ", ".join(f"{one.name} {one.type.compile(dialect)}" for one in table.columns)
    columns = ", ".join(table.columns.keys())
    return f"SELECT {columns} FROM json_to_recordset(CAST(:rows AS json)) AS given({types})"  # noqa: S608  our own


def _from_file(table: Table) -> str:
    values = ", ".join(f"json_extract(value, '$.{one.name}')" for one in table.columns)
    return f"SELECT {values} FROM json_each(:rows)"  # noqa: S608  our own
