"""The ledger of identities: which clients, users and teams there are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import func
from sqlmodel import col, select

from storage.engine import Database
from storage.errors import StateError
from storage.opaque import OpaqueToken, end_all, give
from storage.tables import IdentityRow

IdentityType = Literal["Client", "User", "Team"]


class IdentityKnownError(StateError):
    """There is an identity of this type and name."""

    code = "identity-known"
    public = "This name is taken. Choose another, or change the one that has it."


@dataclass(frozen=True, slots=True)
class Identity:
    """A client, a user or a team. `created_at` is in seconds since the epoch."""

    type: IdentityType
    name: str
    description: str
    created_at: float
    created_by: str


class IdentityLedger:
    """The identities in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def create(
        self,
        type_: IdentityType,
        name: str,
        description: str,
        by: str,
        token: OpaqueToken | None = None,
    ) -> Identity:
        """Keep a new identity, with an opaque *token* of its own if given, and return it.

        Raise `IdentityKnownError` if there is one, and `OpaqueTokenTakenError`.
        """
        async with self._database.changing() as session:
            if await session.get(IdentityRow, (type_, name)) is not None:
                raise IdentityKnownError(f"{type_} {name}")
            row = IdentityRow(
                type=type_,
                name=name,
                description=description,
                created_at=self._clock(),
                created_by=by,
            )
            session.add(row)
            if token is not None:
                await session.flush()
                await give(session, token, self._clock())
            return _identity(row)

    async def find(self, type_: IdentityType, name: str) -> Identity | None:
        async with self._database.reading() as session:
            row = await session.get(IdentityRow, (type_, name))
            return None if row is None else _identity(row)

    async def unknown(self, type_: IdentityType, names: Collection[str]) -> list[str]:
        """Return those of *names*, in their order, that no identity of *type_* has."""
        known = select(IdentityRow.name).where(
            IdentityRow.type == type_, col(IdentityRow.name).in_(names)
        )
        async with self._database.reading() as session:
            found = set(await session.exec(known))
        return [name for name in names if name not in found]

    async def listed(
        self,
        type_: IdentityType,
        *,
        contains: str = "",
        limit: int | None = None,
        after: str | None = None,
    ) -> list[Identity]:
        """Return up to *limit* identities of *type_*, ordered by name, or all.

        They are those with *contains* in their names, whatever the case of its letters. The next
        page begins *after* the last name of this one.
        """
        page = select(IdentityRow).where(IdentityRow.type == type_).order_by(col(IdentityRow.name))
        if contains:
            name = func.lower(col(IdentityRow.name))
            page = page.where(name.contains(contains.lower(), autoescape=True))
        if after is not None:
            page = page.where(col(IdentityRow.name) > after)
        async with self._database.reading() as session:
            return [_identity(row) for row in await session.exec(page.limit(limit))]

    async def describe(self, type_: IdentityType, name: str, description: str) -> None:
        """Let an identity, if there is one, have another *description*."""
        async with self._database.changing() as session:
            row = await session.get(IdentityRow, (type_, name), with_for_update=True)
            if row is not None:
                row.description = description

    async def forget(self, type_: IdentityType, name: str) -> None:
        async with self._database.changing() as session:
            row = await session.get(IdentityRow, (type_, name), with_for_update=True)
            if row is not None:
                await end_all(session, type_, name)
                await session.delete(row)


def _identity(row: IdentityRow) -> Identity:
    return Identity(
        cast("IdentityType", row.type),
        row.name,
        row.description,
        row.created_at,
        row.created_by,
    )
