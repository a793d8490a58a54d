"""The policy that is tried beside the one in force, and what every process found by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.engine import Database
from storage.errors import StateError
from storage.tables import ShadowCountRow, ShadowRow
from storage.versions import raised
from storage.words import check_text

MOST_PROCESSES: Final = 256
"""Whose counts are kept; of more, those that counted last."""


class ShadowRunningError(StateError):
    """A policy is tried already."""

    code = "shadow-running"
    public = "A candidate runs already. Stop it first: northgate policy shadow stop."


@dataclass(frozen=True, slots=True)
class Shadow:
    """A policy that is tried: `run` tells this trial from any other. `since` is a Unix time."""

    run: str
    version: str
    sources: Mapping[str, str]
    since: float
    by: str


class ShadowLedger:
    """The shadow in *database*, of which there is one at most. *clock* tells Unix seconds."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def current(self) -> Shadow | None:
        async with self._database.reading() as session:
            row = (await session.exec(select(ShadowRow))).one_or_none()
        return None if row is None else _read(row)

    async def begin(self, version: str, sources: Mapping[str, str], by: str) -> Shadow:
        """Try the policy of *sources*. Raise `ShadowRunningError`, and `TextRefusedError`."""
        text = json.dumps(dict(sources))
        check_text(version, by, *sources, *sources.values())
        async with self._database.changing() as session:
            # Which of two that begin at once is first is the counter's to say: it is locked.
            await raised(session, "shadow")
            if (await session.exec(select(ShadowRow))).one_or_none() is not None:
                raise ShadowRunningError(version)
            row = ShadowRow(
                run=uuid4().hex, version=version, sources=text, begun_at=self._clock(), begun_by=by
            )
            session.add(row)
            return _read(row)

    async def end(self, run: str) -> bool:
        """Try it no longer, and forget what was counted. Tell whether it was still tried."""
        async with self._database.changing() as session:
            row = await _locked(session, run)
            if row is None:
                return False
            await raised(session, "shadow")
            await session.exec(delete(ShadowCountRow).where(col(ShadowCountRow.run) == run))
            await session.delete(row)
            return True

    async def count(self, run: str, process: str, counts: str) -> None:
        """Keep *counts* of *process* in place of those before, while *run* is tried."""
        async with self._database.changing() as session:
            if await _locked(session, run) is None:
                return
            now = self._clock()
            await session.merge(
                ShadowCountRow(run=run, process=process, counted_at=now, counts=counts)
            )
            await session.flush()
            processes = select(ShadowCountRow.process).where(ShadowCountRow.run == run)
            newest = processes.order_by(col(ShadowCountRow.counted_at).desc())
            gone = (await session.exec(newest.offset(MOST_PROCESSES))).all()
            if gone:
                of_run = delete(ShadowCountRow).where(col(ShadowCountRow.run) == run)
                await session.exec(of_run.where(col(ShadowCountRow.process).in_(gone)))

    async def counts(self, run: str) -> Mapping[str, str]:
        """Return what each process counted of *run*."""
        async with self._database.reading() as session:
            wanted = select(ShadowCountRow).where(ShadowCountRow.run == run)
            rows: Sequence[ShadowCountRow] = (await session.exec(wanted)).all()
        return {row.process: row.counts for row in rows}


async def _locked(session: AsyncSession, run: str) -> ShadowRow | None:
    wanted = select(ShadowRow).where(ShadowRow.run == run).with_for_update()
    return (await session.exec(wanted)).one_or_none()


def _read(row: ShadowRow) -> Shadow:
    return Shadow(row.run, row.version, json.loads(row.sources), row.begun_at, row.begun_by)
