"""What all processes of a gateway must know and nobody else: sealed before it comes here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.engine import Database
from storage.tables import SecretRow
from storage.versions import raised
from storage.words import check_name, check_text


class SecretLedger:
    """Sealed texts by their names, in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> Mapping[str, str]:
        """Return every sealed text by its name, as they are at one moment."""
        async with self._database.reading() as session:
            rows = await session.exec(select(SecretRow))
            return MappingProxyType({row.name: row.content for row in rows})

    async def read(self, name: str) -> str | None:
        """Return what is kept as *name*; None if nothing is."""
        check_name(name)
        async with self._database.reading() as session:
            row = await session.get(SecretRow, name)
            return None if row is None else row.content

    async def replace(self, name: str, before: str | None, after: str | None) -> bool:
        """Keep *after* as *name* if *before* is what is kept, and tell whether it was.

        None stands for nothing. Raise `TextRefusedError` for what cannot be kept.
        """
        return await self.replace_all([(name, before, after)])

    async def replace_all(self, changes: Iterable[tuple[str, str | None, str | None]]) -> bool:
        """Make all of *changes*, each as `replace` takes one, or none if one does not fit."""
        wanted = list(changes)
        for name, _, after in wanted:
            check_name(name)
            check_text(after or "")
        async with self._database.changing() as session:
            for name, before, _ in wanted:
                row = await session.get(SecretRow, name, with_for_update=True)
                if (None if row is None else row.content) != before:
                    return False
            for name, _, after in wanted:
                await put(session, name, after, self._clock())
        return True


async def put(session: AsyncSession, name: str, content: str | None, now: float) -> None:
    """Keep *content* as *name* in the transaction of *session*; None keeps nothing there."""
    row = await session.get(SecretRow, name, with_for_update=True)
    if (None if row is None else row.content) == content:
        return
    if content is None:
        await session.delete(row)
    elif row is None:
        session.add(SecretRow(name=name, content=content, changed_at=now))
    else:
        row.content, row.changed_at = content, now
    await session.flush()
    await raised(session, "secrets")
