"""The eighth schema: a policy that is tried beside the one in force, and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0008"
down_revision = "0007"


def upgrade(op: Operations) -> None:
    op.create_table(
        "shadows",
        sa.Column("run", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("begun_by", sa.String(), nullable=False),
    )
    op.create_table(
        "shadow_counts",
        sa.Column("run", sa.String(), sa.ForeignKey("shadows.run"), primary_key=True),
        sa.Column("process", sa.String(), primary_key=True),
        sa.Column("counted_at", sa.Float(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
    )
    counters = sa.table("counters", sa.column("name", sa.String), sa.column("value", sa.BigInteger))
    op.bulk_insert(counters, [{"name": "shadow", "value": 0}])
