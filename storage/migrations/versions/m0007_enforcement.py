"""The seventh schema: denials that were not enforced, to be searched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0007"
down_revision = "0006"


def upgrade(op: Operations) -> None:
    # Until now every denial was enforced.
    op.add_column(
        "decisions",
        sa.Column("enforced", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.create_index(
        "decisions_observed",
        "decisions",
        ["recorded_at", "id"],
        sqlite_where=sa.text("enforced = 0"),
        postgresql_where=sa.text("NOT enforced"),
    )
