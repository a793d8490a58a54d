"""The versions of the state, one for each kind of it, by which other processes see a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

from sqlalchemy import func
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import CounterRow

What = Literal["secrets", "servers", "facts", "tokens", "credentials", "definitions", "shadow"]
"""What has a version: secrets, which servers there are, the facts, which tokens are revoked, by
what clients are known, what servers offer, and which policy is tried. Who reads several reads them
in this order."""

WHATS: Final[Sequence[What]] = get_args(What)
CHANNEL: Final = "northgate"
RESTORES: Final = "restores"
"""The counter of how often a backup was restored; it begins with the first."""


async def version_of(session: AsyncSession, what: What) -> int:
    return (await session.exec(select(CounterRow.value).where(CounterRow.name == what))).one()


async def restores_of(session: AsyncSession) -> int:
    """Return how often a backup was restored: what was read before the last says nothing now."""
    found = select(CounterRow.value).where(CounterRow.name == RESTORES)
    return (await session.exec(found)).one_or_none() or 0


async def raised(session: AsyncSession, what: What) -> int:
    """Raise the version of *what* in the transaction of *session*, and return it.

    Once that is committed, whoever listens is told.
    """
    wanted = select(CounterRow).where(CounterRow.name == what).with_for_update()
    counter = (await session.exec(wanted)).one()
    counter.value += 1
    if session.get_bind().dialect.name == "postgresql":
        told = func.pg_notify(CHANNEL, f"{what}:{counter.value}")
        await session.exec(select(told))
    return counter.value
