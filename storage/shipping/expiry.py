"""Removing copies of records that are too old, a few at a time: nobody waits long for his turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Select, delete, func
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.engine import Database
from storage.shipping.rows import indexed
from storage.tables import ChangeRow, CheckpointRow, DecisionRow, DecisionRuleRow, OutcomeRow

MOST_COUNTED: Final = 100_000
_MOST_REMOVED: Final = 500


class Copies(NamedTuple):
    """Numbers of rows."""

    decisions: int
    outcomes: int
    changes: int
    checkpoints: int


class Expiry:
    """Removes the copies in *database* of records made before a moment, in seconds since the epoch.

    Every method raises `DatabaseUnavailableError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, before: float) -> Copies:
        """Return how many copies are from *before*, of each kind up to `MOST_COUNTED`."""
        async with self._database.reading() as session:
            return Copies(
                *[await _counted(session, rows) for rows in _outdated(before, MOST_COUNTED)]
            )

    async def remove(self, found: Copies, before: float) -> None:
        """Remove up to as many as *found* of the copies from *before*, the oldest first."""
        await self._remove(found.decisions, before, _remove_decisions)
        await self._remove(found.outcomes, before, _remove_outcomes)
        await self._remove(found.changes, before, _remove_changes)
        await self._remove(found.checkpoints, before, _remove_checkpoints)

    async def oldest(self) -> float | None:
        """Return when the oldest decision was made; None if there is none."""
        async with self._database.reading() as session:
            return (await session.exec(select(func.min(DecisionRow.recorded_at)))).one()

    async def _remove(self, count: int, before: float, batch: _Batch) -> None:
        while count > 0:
            async with self._database.changing() as session:
                removed = await batch(session, before, min(count, _MOST_REMOVED))
            if not removed:
                return
            count -= removed


_Batch = Callable[[AsyncSession, float, int], Coroutine[Any, Any, int]]


_Rows = tuple[Select[Any], Select[Any], Select[Any], Select[Any]]


def _outdated(before: float, most: int) -> _Rows:
    """Return what selects ids of decisions, of decisions with an outcome, changes, checkpoints."""
    decisions = (
        select(DecisionRow.id)
        .where(col(DecisionRow.recorded_at) < before)
        .order_by(col(DecisionRow.recorded_at), col(DecisionRow.id))
    )
    # Ids begin with their time (RFC 9562, section 5.7), so this needs no index of its own.
    outcomes = (
        select(OutcomeRow.decision)
        .where(col(OutcomeRow.decision) < _first_id(before))
        .order_by(col(OutcomeRow.decision))
    )
    changes = (
        select(ChangeRow.id)
        .where(col(ChangeRow.recorded_at) < before)
        .order_by(col(ChangeRow.recorded_at), col(ChangeRow.id))
    )
    # The newest of each chain proves what is left of it.
    other = aliased(CheckpointRow)
    newest = select(func.max(other.seq)).where(col(other.feed) == col(CheckpointRow.feed))
    checkpoints = (
        select(CheckpointRow.id)
        .where(col(CheckpointRow.id) < _first_id(before))
        .where(col(CheckpointRow.seq) < newest.scalar_subquery())
        .order_by(col(CheckpointRow.id))
    )
    return (
        decisions.limit(most),
        outcomes.limit(most),
        changes.limit(most),
        checkpoints.limit(most),
    )


async def _counted(session: AsyncSession, rows: Select[Any]) -> int:
    connection = await session.connection()
    counted = select(func.count()).select_from(rows.subquery())
    return int((await connection.execute(counted)).scalar_one())


async def _remove_decisions(session: AsyncSession, before: float, most: int) -> int:
    connection = await session.connection()
    ids = (await connection.execute(_outdated(before, most)[0])).scalars().all()
    await _remove_rules(session, ids)
    # Ids never go back while clocks do, so an outcome goes with its decision.
    await connection.execute(delete(OutcomeRow).where(col(OutcomeRow.decision).in_(ids)))
    await connection.execute(delete(DecisionRow).where(col(DecisionRow.id).in_(ids)))
    return len(ids)


async def _remove_rules(session: AsyncSession, ids: Sequence[str]) -> None:
    """Remove what a search for rules would find of the decisions *ids*.

    Their key begins with the rule and the time, so both are taken from the decisions: to look for
    their ids alone would be to look at every row.
    """
    wanted = select(DecisionRow.recorded_at, DecisionRow.body).where(col(DecisionRow.id).in_(ids))
    times, rules = set(), set()
    for recorded_at, body in await session.exec(wanted):
        times.add(recorded_at)
        found = orjson.loads(body).get("rules")
        rules |= {indexed(one) for one in found or () if isinstance(one, str)}
    if times:
        when = col(DecisionRuleRow.recorded_at).between(min(times), max(times))
        which = col(DecisionRuleRow.rule).in_(rules), col(DecisionRuleRow.decision).in_(ids)
        await (await session.connection()).execute(delete(DecisionRuleRow).where(when, *which))


async def _remove_outcomes(session: AsyncSession, before: float, most: int) -> int:
    connection = await session.connection()
    ids = (await connection.execute(_outdated(before, most)[1])).scalars().all()
    await connection.execute(delete(OutcomeRow).where(col(OutcomeRow.decision).in_(ids)))
    return len(ids)


async def _remove_changes(session: AsyncSession, before: float, most: int) -> int:
    connection = await session.connection()
    ids = (await connection.execute(_outdated(before, most)[2])).scalars().all()
    await connection.execute(delete(ChangeRow).where(col(ChangeRow.id).in_(ids)))
    return len(ids)


async def _remove_checkpoints(session: AsyncSession, before: float, most: int) -> int:
    connection = await session.connection()
    ids = (await connection.execute(_outdated(before, most)[3])).scalars().all()
    await connection.execute(delete(CheckpointRow).where(col(CheckpointRow.id).in_(ids)))
    return len(ids)


def _first_id(moment: float) -> str:
    text = f"{max(0, int(moment * 1000)) << 80:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
