"""The fourth schema: by what clients prove who they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    op.create_table(
        "credentials",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("owner_type", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Float()),
        sa.ForeignKeyConstraint(
            ["owner_type", "owner"], ["identities.type", "identities.name"], ondelete="CASCADE"
        ),
    )
    op.create_index("credentials_of_owner", "credentials", ["owner_type", "owner"])
    op.create_table(
        "spent_assertions",
        sa.Column("client", sa.String(), primary_key=True),
        sa.Column("digest", sa.String(), primary_key=True),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
    op.create_index("spent_assertions_ended", "spent_assertions", ["expires_at"])
