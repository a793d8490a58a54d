"""The tables of a state, in the order in which rows may refer to rows before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import RowMapping, Select, Table, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

import storage.credentials  # noqa: F401  it describes its own tables
from storage.tables import METADATA

PORTION: Final = 500
"""Rows that are held at once."""

LEFT_OUT: Final = frozenset(
    {"decisions", "decision_rules", "outcomes", "changes", "checkpoints", "cursors"}
)
"""Copies of the journal, and how far they go: far larger than all else, and no part of what the
gateway decides by. The journal is what is kept of it; a database that has none of it gets it anew.
"""


def tables() -> dict[str, Table]:
    """Return the tables of this release that a backup holds, by their names."""
    return {one.name: one for one in METADATA.sorted_tables if one.name not in LEFT_OUT}


async def portions(
    connection: AsyncConnection, table: Table
) -> AsyncIterator[Sequence[RowMapping]]:
    """Yield the rows of *table*, some at a time, in the order of its key.

    Each portion is a statement of its own, so that none takes long.
    """
    key = list(table.primary_key.columns)
    last: Sequence[Any] | None = None
    while True:
        page = _page(table, last)
        rows = (await connection.execute(page)).mappings().all()
        if rows:
            yield rows
        if len(rows) < PORTION:
            return
        last = [rows[-1][column] for column in key]


def _page(table: Table, last: Sequence[Any] | None) -> Select[Any]:
    key = list(table.primary_key.columns)
    page = select(table).order_by(*key).limit(PORTION)
    if last is None:
        return page
    passed = [literal(value, column.type) for value, column in zip(last, key, strict=True)]
    return page.where(tuple_(*key) > tuple_(*passed))
