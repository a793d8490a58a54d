"""The third schema: a version for every kind of state, and facts by the versions that changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    counters = sa.table("counters", sa.column("name", sa.String), sa.column("value", sa.BigInteger))
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("tokens", "definitions")])
    op.create_index("facts_added", "facts", ["added_version"])
    ended = sa.text("removed_version IS NOT NULL")
    op.create_index(
        "facts_removed",
        "facts",
        ["removed_version"],
        sqlite_where=ended,
        postgresql_where=ended,
    )
