"""Putting what a backup holds in the place of what a database holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import BinaryIO, Final

from sqlalchemy import Table, cast, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.backup.alone import check_file_unused, check_server_unused
from storage.backup.errors import BackupDamagedError, BackupKeyError, StateNotEmptyError
from storage.backup.form import SEALED, Backup, Key, Row, in_portions
from storage.backup.reading import check_backup, read_backup
from storage.backup.schema import brought_up
from storage.backup.tables import PORTION, tables
from storage.engine import Database, open_database
from storage.tables import CounterRow
from storage.versions import CHANNEL, RESTORES, WHATS

WAIT_SECONDS: Final = 60.0
"""For each statement: one may end all rows of a table."""

_COUNTERS: Final = CounterRow.__tablename__


async def restore_backup(
    url: str, file: BinaryIO, key: Key, *, replace: bool, told: Callable[[int, int], None]
) -> Backup:
    """Put what *file* holds into the database at *url*, all of it or nothing, and return it.

    *file* is read twice, once before anything is opened. With *replace* what the database held is
    lost. *told* is called now and then with the rows that are there, and with all that will be.

    Raise as `check_backup` and `open_database` do, and `BackupKeyError` if *key* opens none of what
    is sealed, `StateNotEmptyError`, `StateInUseError`.
    """
    backup = check_backup(file, key)
    if not backup.proven and any(backup.rows.get(name) for name in SEALED):
        raise BackupKeyError(f"{backup.header.master_key[:64]!r}, and not {key.id!r}")
    header, read = read_backup(file, key)
    if header != backup.header:
        raise BackupDamagedError("changed while it was read")
    total = sum(backup.rows.values())
    with brought_up(read, header.schema) as rows, _contradictions():
        async with _alone(url) as database:
            await _restore(database, rows, lambda done: told(done, total), replace=replace)
    return backup


@contextmanager
def _contradictions() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise BackupDamagedError(f"rows that contradict: {type(error).__name__}") from None


@asynccontextmanager
async def _alone(url: str) -> AsyncIterator[Database]:
    """Open the database at *url*, which nobody else has open."""
    check_file_unused(url)
    database = await open_database(url, wait=WAIT_SECONDS)
    try:
        await check_server_unused(database)
        yield database
    finally:
        await database.close()


async def _restore(
    database: Database,
    rows: Iterable[Row],
    told: Callable[[int], None],
    *,
    replace: bool,
) -> None:
    async with database.changing() as session:
        connection = await session.connection()
        if not replace:
            await _check_empty(connection)
        before = await _counters(connection)
        for table in reversed(tables().values()):
            await connection.execute(delete(table))
        await _insert(connection, rows, told)
        await _count(connection, before)
        await _number_on(connection)


async def _check_empty(connection: AsyncConnection) -> None:
    for name, table in tables().items():
        # A new database has counters, each at nothing.
        if name != _COUNTERS and await _is_any(connection, table):
            raise StateNotEmptyError(name)


async def _is_any(connection: AsyncConnection, table: Table) -> bool:
    return bool((await connection.execute(select(exists().select_from(table)))).scalar())


async def _counters(connection: AsyncConnection) -> dict[str, int]:
    found = await connection.execute(select(tables()[_COUNTERS]))
    return {row.name: row.value for row in found}


async def _insert(
    connection: AsyncConnection, rows: Iterable[Row], told: Callable[[int], None]
) -> None:
    done = 0
    for table, portion in in_portions(rows, PORTION):
        await connection.execute(insert(table), portion)
        done += len(portion)
        told(done)


async def _count(connection: AsyncConnection, before: Mapping[str, int]) -> None:
    """Raise every counter above what it was on either side, so that all who look see news.

    That of the facts stays as it was: records tell by it on what they were decided.
    """
    restored = await _counters(connection)
    if not restored.keys() >= {*WHATS}:
        raise BackupDamagedError("a version is missing")
    counters = tables()[_COUNTERS]
    for name in {*before, *restored, RESTORES} - {"facts"}:
        value = max(before.get(name, 0), restored.get(name, 0)) + 1
        if name in restored:
            raised = update(counters).where(counters.c.name == name).values(value=value)
            await connection.execute(raised)
        else:
            await connection.execute(insert(counters).values(name=name, value=value))


async def _number_on(connection: AsyncConnection) -> None:
    """Let a server give new rows the numbers after the restored ones, and tell of the change."""
    if connection.dialect.name != "postgresql":
        return
    for name, table in tables().items():
        column = table.autoincrement_column
        if column is not None:
            sequence = func.pg_get_serial_sequence(name, column.name)
            # Never lower: this is not undone if the rest is.
            given = func.pg_sequence_last_value(cast(sequence, REGCLASS))
            last = func.greatest(1, given, func.max(column))
            await connection.execute(select(func.setval(sequence, last)))
    await connection.execute(select(func.pg_notify(CHANNEL, RESTORES)))
