"""The servers that administrators registered, each with what is secret of it, sealed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.engine import Database
from storage.errors import StateError
from storage.secrets import put
from storage.tables import DefinitionRow, RegistrationRow, SecretRow, ServerRow, TaskRow
from storage.versions import raised
from storage.words import check_name, check_text, is_name


class RegistrationKnownError(StateError):
    """A server of this name is registered."""

    code = "registration-known"
    public = "A server with this name is registered. Change it, or choose another name."


class RegistrationChangedError(StateError):
    """The server is not registered as it was, or not any more."""

    code = "registration-changed"
    public = "The server was changed meanwhile. Look at it again, and then change it."


@dataclass(frozen=True, slots=True)
class Registration:
    """One registered server.

    `settings` is JSON without anything secret, `sealed` what only the gateway can open, None where
    nothing is secret. Moments are in seconds since the epoch.
    """

    name: str
    settings: str
    sealed: str | None = field(repr=False)
    registered_at: float
    registered_by: str
    changed_at: float
    changed_by: str


class RegistrationLedger:
    """The registered servers in *database*. *clock* tells the seconds since the epoch.

    Whatever is changed raises the version of the servers.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> Sequence[Registration]:
        """Return every registered server, by name."""
        async with self._database.reading() as session:
            rows = (await session.exec(select(RegistrationRow))).all()
            names = [secret_name(row.name) for row in rows]
            found = await session.exec(select(SecretRow).where(col(SecretRow.name).in_(names)))
            sealed = {row.name: row.content for row in found}
        read = [_read(row, sealed.get(secret_name(row.name))) for row in rows]
        return sorted(read, key=lambda one: one.name)

    async def find(self, name: str) -> Registration | None:
        """Return the server called *name*, or None if none is registered so."""
        if not is_name(name):
            return None
        async with self._database.reading() as session:
            return await _found(session, name)

    async def add(self, name: str, settings: str, sealed: str | None, by: str) -> Registration:
        """Keep a new server, of which nothing is known from before.

        Raise `RegistrationKnownError` if the name is taken, and `TextRefusedError` for what cannot
        be kept.
        """
        check_name(name)
        check_text(settings, sealed or "", by)
        async with self._database.changing() as session:
            # Which of two that add at once is first is the counter's to say: it is locked.
            await raised(session, "servers")
            if await session.get(RegistrationRow, name) is not None:
                raise RegistrationKnownError(name)
            await _forget(session, name)
            now = self._clock()
            row = RegistrationRow(
                name=name,
                settings=settings,
                registered_at=now,
                registered_by=by,
                changed_at=now,
                changed_by=by,
            )
            session.add(row)
            await put(session, secret_name(name), sealed, now)
            return _read(row, sealed)

    async def replace(
        self, before: Registration, settings: str, sealed: str | None, by: str
    ) -> Registration:
        """Keep *settings* and *sealed* of a server, if it is still as *before*, and return it.

        Raise `RegistrationChangedError` if it is not, and `TextRefusedError`.
        """
        check_text(settings, sealed or "", by)
        async with self._database.changing() as session:
            await raised(session, "servers")
            row = await session.get(RegistrationRow, before.name)
            if row is None or await _found(session, before.name) != before:
                raise RegistrationChangedError(before.name)
            row.settings, row.changed_at, row.changed_by = settings, self._clock(), by
            await put(session, secret_name(before.name), sealed, row.changed_at)
            return _read(row, sealed)

    async def remove(self, name: str) -> bool:
        """Forget a server and all that was known of it. Tell whether it was registered."""
        if not is_name(name):
            return False
        async with self._database.changing() as session:
            await raised(session, "servers")
            row = await session.get(RegistrationRow, name)
            if row is None:
                return False
            await session.delete(row)
            await put(session, secret_name(name), None, self._clock())
            await _forget(session, name)
            return True

    async def forget_offer(self, name: str) -> None:
        """Forget what *name* offered, unless it is registered: who did not know may have asked."""
        async with self._database.changing() as session:
            await session.exec(select(ServerRow).where(ServerRow.name == name).with_for_update())
            if await session.get(RegistrationRow, name) is None:
                await _forget(session, name)


def secret_name(name: str) -> str:
    """Return the name under which what is secret of the server *name* is kept."""
    return f"upstream:{name}"


async def _found(session: AsyncSession, name: str) -> Registration | None:
    row = await session.get(RegistrationRow, name)
    if row is None:
        return None
    secret = await session.get(SecretRow, secret_name(name))
    return _read(row, None if secret is None else secret.content)


async def _forget(session: AsyncSession, name: str) -> None:
    """Forget what the server *name* offered, and whose its tasks are."""
    await session.exec(delete(DefinitionRow).where(col(DefinitionRow.server) == name))
    await session.exec(delete(ServerRow).where(col(ServerRow.name) == name))
    await session.exec(delete(TaskRow).where(col(TaskRow.server) == name))


def _read(row: RegistrationRow, sealed: str | None) -> Registration:
    return Registration(
        name=row.name,
        settings=row.settings,
        sealed=sealed,
        registered_at=row.registered_at,
        registered_by=row.registered_by,
        changed_at=row.changed_at,
        changed_by=row.changed_by,
    )
