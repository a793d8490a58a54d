"""Writing a backup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.backup.form import Backup, Header, Key, end_line, header_line, row_line
from storage.backup.packing import Packed
from storage.backup.tables import portions, tables
from storage.engine import Database


@dataclass(frozen=True, slots=True)
class Made:
    """When a backup is made, in seconds since the epoch, and by which release."""

    at: float
    by: str


async def write_backup(
    database: Database, file: BinaryIO, made: Made, key: Key, told: Callable[[int, int], None]
) -> Backup:
    """Write the state of one moment to *file*; gateways may go on changing it.

    *told* is called now and then with the rows that are written, and with all there are. Raise
    `DatabaseUnavailableError`, and whatever *file* raises.
    """
    async with database.reading() as session:
        connection = await session.connection()
        total = sum([await _count(connection, name) for name in tables()])
        kind = connection.dialect.name
        header = Header(await _schema(connection), made.at, made.by, key.id, kind)
        digest, packed = sha256(), Packed(file)

        def write(line: bytes) -> None:
            digest.update(line)
            packed.write(line)

        write(header_line(header))
        rows = dict.fromkeys(tables(), 0)
        for name, table in tables().items():
            async for portion in portions(connection, table):
                for row in portion:
                    write(row_line(name, dict(row)))
                rows[name] += len(portion)
                told(sum(rows.values()), total)
    packed.write(end_line(rows, digest.hexdigest(), key))
    packed.end()
    return Backup(header, rows, proven=True)


async def _count(connection: AsyncConnection, name: str) -> int:
    counted = select(func.count()).select_from(tables()[name])
    return int((await connection.execute(counted)).scalar_one())


async def _schema(connection: AsyncConnection) -> str:
    taken = await connection.execute(text("SELECT version_num FROM alembic_version"))
    return str(taken.scalar_one())
