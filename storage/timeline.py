"""Facts over a stretch of versions, read once: what lived at its beginning, and each change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlmodel import col, or_, select

from policies.model import Entity, Fact
from storage.engine import Database
from storage.errors import FactVersionError
from storage.tables import FactRow
from storage.versions import version_of

Stated = tuple[Fact, str]
"""A fact with its origin."""


@dataclass(slots=True)
class Step:
    """What one version brought, and what it ended."""

    added: list[Stated] = field(default_factory=list)
    removed: list[Stated] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The facts of version `first`, and what each later one up to `last` changed."""

    first: int
    last: int
    living: tuple[Stated, ...]
    steps: Mapping[int, Step]


async def read_timeline(database: Database, first: int, last: int | None = None) -> Timeline:
    """Return the facts from version *first* to *last*, by default the newest there is.

    Raise `FactVersionError` if there was no such version.
    """
    added, removed = col(FactRow.added_version), col(FactRow.removed_version)
    async with database.reading() as session:
        newest = await version_of(session, "facts")
        end = newest if last is None else last
        if not 0 <= first <= end <= newest:
            raise FactVersionError(f"{first} to {end} of {newest}")
        lived = or_(removed.is_(None), removed > first)
        rows = (await session.exec(select(FactRow).where(added <= end, lived))).all()
    living: list[Stated] = []
    steps: dict[int, Step] = {}
    for row in sorted(rows, key=lambda row: row.id or 0):
        stated = (Fact(row.predicate, _read(row.args)), row.origin)
        if row.added_version <= first:
            living.append(stated)
        else:
            steps.setdefault(row.added_version, Step()).added.append(stated)
        if row.removed_version is not None and row.removed_version <= end:
            steps.setdefault(row.removed_version, Step()).removed.append(stated)
    return Timeline(first, end, tuple(living), dict(sorted(steps.items())))


def _read(args: str) -> tuple[str | int | bool | Entity, ...]:
    return tuple(
        Entity(value["type"], value["id"]) if isinstance(value, dict) else value
        for value in json.loads(args)
    )
