"""Finding whether other processes have a database open."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import text

from storage.backup.errors import StateInUseError
from storage.engine import Database

_FILE: Final = "sqlite:///"
_PATIENCE: Final = 1.0
"""Seconds for a process that was just stopped to let go."""
_PAUSE: Final = 0.05
# Every process that has the state open keeps a connection, by which it hears of changes.
_OTHERS: Final = text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND application_name = current_setting('application_name')
""")


def check_file_unused(url: str) -> None:
    """Raise `StateInUseError` if *url* is that of a file that anyone has open as a database."""
    path = Path(url.removeprefix(_FILE)).absolute()
    if not url.startswith(_FILE) or not path.exists():
        return
    # While a file is in WAL mode, whoever has it open holds a lock, and only one who is alone can
    # end that mode. Opening the database begins it again.
    ending = f"{path.as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(ending, uri=True, timeout=_PATIENCE)) as connection:
            ((mode,),) = connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            return  # whatever it is, to open the database will tell
        mode = "wal"
    if mode == "wal":
        raise StateInUseError(str(path))


async def check_server_unused(database: Database) -> None:
    """Raise `StateInUseError` if others are connected to *database* under the same name."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + _PATIENCE
    while others := await _others(database):
        if loop.time() > ends:
            raise StateInUseError(f"{others} connections")
        await asyncio.sleep(_PAUSE)


async def _others(database: Database) -> int:
    async with database.reading() as session:
        connection = await session.connection()
        if connection.dialect.name != "postgresql":
            return 0
        return int((await connection.execute(_OTHERS)).scalar_one())
