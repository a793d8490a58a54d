"""The sixth schema: copies of the record, to be searched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"

_TEXTS = (
    "principal_type", "principal_id", "issuer", "client", "token_id", "acts_for", "server",
    "method", "action", "resource_type", "resource_id", "verdict", "reason", "policy",
)  # fmt: skip
_WHEN = ("recorded_at", "id")


def upgrade(op: Operations) -> None:
    _decisions(op)
    op.create_table(
        "outcomes",
        sa.Column("decision", sa.String(), primary_key=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.Float(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("is_error", sa.Boolean()),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("ms", sa.Float()),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_table(
        "changes",
        *_place(),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("who_type", "who_id", "what")),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("changes_newest", "changes", [*_WHEN])
    op.create_table(
        "checkpoints",
        *_place(),
        sa.Column("feed", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("checkpoints_newest", "checkpoints", ["feed", "seq"])
    op.create_table(
        "cursors",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("worker", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.Float(), nullable=False),
    )


def _decisions(op: Operations) -> None:
    op.create_table(
        "decisions",
        *_place(),
        *(sa.Column(name, sa.String(), nullable=False) for name in _TEXTS),
        sa.Column("fact_version", sa.BigInteger()),
        sa.Column("body", sa.Text(), nullable=False),
    )
    for name, columns in (
        ("decisions_newest", ()),
        ("decisions_of_principal", ("principal_type", "principal_id")),
        ("decisions_of_server", ("server",)),
        ("decisions_on_resource", ("resource_type", "resource_id")),
    ):
        op.create_index(name, "decisions", [*columns, *_WHEN])
    op.create_table(
        "decision_rules",
        sa.Column("rule", sa.String(), primary_key=True),
        sa.Column("recorded_at", sa.Float(), primary_key=True),
        sa.Column("decision", sa.String(), primary_key=True),
    )


def _place() -> list[sa.Column[object]]:
    """Return the columns of where a record stands: each table has its own."""
    return [
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("recorded_at", sa.Float(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("worker", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
    ]
