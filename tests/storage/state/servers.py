"""The simplest things to keep and read again: names of servers."""

from __future__ import annotations

from sqlmodel import select

from storage.engine import Database
from storage.tables import ServerRow


async def names(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.exec(select(ServerRow.name))).all())


async def add(database: Database, name: str) -> None:
    async with database.changing() as session:
        session.add(ServerRow(name=name, first_seen_at=1.0))
