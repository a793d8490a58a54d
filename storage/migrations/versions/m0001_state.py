"""The first schema: facts, identities, tokens, and what servers offer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None

_RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    _facts(op)
    _tokens(op)
    _definitions(op)


def _facts(op: Operations) -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(counters, [{"name": "facts", "value": 0}])
    op.create_table(
        "facts",
        sa.Column("id", _RowNumber, primary_key=True),
        sa.Column("predicate", sa.String(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("added_version", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("added_why", sa.String(), nullable=False),
        sa.Column("removed_version", sa.BigInteger()),
        sa.Column("removed_at", sa.Float()),
        sa.Column("removed_by", sa.String()),
        sa.Column("removed_why", sa.String()),
    )
    living = sa.text("removed_version IS NULL")
    op.create_index(
        "facts_living",
        "facts",
        ["predicate", "args", "origin"],
        unique=True,
        sqlite_where=living,
        postgresql_where=living,
    )


def _tokens(op: Operations) -> None:
    op.create_table(
        "identities",
        sa.Column("type", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("jti", sa.String(), primary_key=True),
        sa.Column("plane", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("revoked_at", sa.Float()),
        sa.Column("revoked_by", sa.String()),
        sa.Column("revoked_why", sa.String()),
    )
    op.create_index("tokens_newest", "tokens", ["issued_at", "jti"])
    op.create_index("tokens_of_subject", "tokens", ["subject", "issued_at", "jti"])
    revoked = sa.text("revoked_at IS NOT NULL")
    op.create_index(
        "tokens_revoked",
        "tokens",
        ["plane", "expires_at"],
        sqlite_where=revoked,
        postgresql_where=revoked,
    )


def _definitions(op: Operations) -> None:
    op.create_table(
        "servers",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("first_seen_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "definitions",
        sa.Column("server", sa.String(), sa.ForeignKey("servers.name"), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("seen_hash", sa.String(), nullable=False),
        sa.Column("approved_hash", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.Float(), nullable=False),
        sa.Column("last_seen_at", sa.Float(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
    )
