"""The tables of the state.

Moments named `..._at` are seconds since the epoch: those of a token are whole, as in its claims,
and those that the gateway's own clock told are not.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Index, Integer, MetaData, Text, text, true
from sqlmodel import Field, SQLModel

METADATA = MetaData()

# SQLite numbers rows by itself only where the type is INTEGER, which there has 64 bits anyway.
_RowNumber = BigInteger().with_variant(Integer(), "sqlite")


class State(SQLModel):
    """What the tables share."""

    metadata: ClassVar[MetaData] = METADATA


class CounterRow(State, table=True):
    """A number that is read and raised under the lock of its row."""

    __tablename__ = "counters"

    name: str = Field(primary_key=True)
    value: int = Field(sa_type=BigInteger)


class FactRow(State, table=True):
    """One life of a fact: from the version that added it up to the one that removed it."""

    __tablename__ = "facts"
    __table_args__ = (
        Index(
            "facts_living", "predicate", "args", "origin", unique=True,
            sqlite_where=text("removed_version IS NULL"),
            postgresql_where=text("removed_version IS NULL"),
        ),
        Index("facts_added", "added_version"),
        Index(
            "facts_removed", "removed_version",
            sqlite_where=text("removed_version IS NOT NULL"),
            postgresql_where=text("removed_version IS NOT NULL"),
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, primary_key=True, sa_type=_RowNumber)
    predicate: str
    args: str = Field(sa_type=Text)
    origin: str
    added_version: int = Field(sa_type=BigInteger)
    added_at: float
    added_by: str
    added_why: str
    removed_version: int | None = Field(default=None, sa_type=BigInteger)
    removed_at: float | None = None
    removed_by: str | None = None
    removed_why: str | None = None


class IdentityRow(State, table=True):
    """A client or a user."""

    __tablename__ = "identities"

    type: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    description: str
    created_at: float
    created_by: str


class TokenRow(State, table=True):
    """A token that was issued, by its id; its text is kept nowhere."""

    __tablename__ = "tokens"
    __table_args__ = (
        Index("tokens_newest", "issued_at", "jti"),
        Index("tokens_of_subject", "subject", "issued_at", "jti"),
        Index(
            "tokens_revoked", "plane", "expires_at",
            sqlite_where=text("revoked_at IS NOT NULL"),
            postgresql_where=text("revoked_at IS NOT NULL"),
        ),
    )  # fmt: skip

    jti: str = Field(primary_key=True)
    plane: str
    subject: str
    client_id: str
    audience: str
    issued_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    issued_by: str
    key_id: str
    revoked_at: float | None = None
    revoked_by: str | None = None
    revoked_why: str | None = None


class ServerRow(State, table=True):
    """A server whose offer was taken at least once."""

    __tablename__ = "servers"

    name: str = Field(primary_key=True)
    first_seen_at: float


class RegistrationRow(State, table=True):
    """A server that an administrator registered; what is secret of it is kept as a secret."""

    __tablename__ = "registrations"

    name: str = Field(primary_key=True)
    settings: str = Field(sa_type=Text)
    registered_at: float
    registered_by: str
    changed_at: float
    changed_by: str


class SecretRow(State, table=True):
    """A sealed text, by its name."""

    __tablename__ = "secrets"

    name: str = Field(primary_key=True)
    content: str = Field(sa_type=Text)
    changed_at: float


class DefinitionRow(State, table=True):
    """One thing that a server offers or once offered, as last seen."""

    __tablename__ = "definitions"

    server: str = Field(primary_key=True, foreign_key="servers.name")
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    seen_hash: str
    approved_hash: str | None = None
    state: str
    body: str = Field(sa_type=Text)
    first_seen_at: float
    last_seen_at: float
    changed_at: float


class DecisionRow(State, table=True):
    """A record of what was decided, copied from the journal; `body` is the whole of it."""

    __tablename__ = "decisions"
    __table_args__ = (
        Index("decisions_newest", "recorded_at", "id"),
        Index("decisions_of_principal", "principal_type", "principal_id", "recorded_at", "id"),
        Index("decisions_of_server", "server", "recorded_at", "id"),
        Index("decisions_on_resource", "resource_type", "resource_id", "recorded_at", "id"),
        Index(
            "decisions_observed", "recorded_at", "id",
            sqlite_where=text("enforced = 0"),
            postgresql_where=text("NOT enforced"),
        ),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    recorded_at: float
    node: str
    worker: int
    seq: int = Field(sa_type=BigInteger)
    principal_type: str
    principal_id: str
    issuer: str
    client: str
    token_id: str
    acts_for: str
    server: str
    method: str
    action: str
    resource_type: str
    resource_id: str
    verdict: str
    reason: str
    enforced: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    policy: str
    fact_version: int | None = Field(default=None, sa_type=BigInteger)
    body: str = Field(sa_type=Text)


class DecisionRuleRow(State, table=True):
    """A rule that decided a copied decision, and when: what a search for a rule goes through."""

    __tablename__ = "decision_rules"

    rule: str = Field(primary_key=True)
    recorded_at: float = Field(primary_key=True)
    decision: str = Field(primary_key=True)


class OutcomeRow(State, table=True):
    """A record of what became of a decision, copied from the journal."""

    __tablename__ = "outcomes"

    decision: str = Field(primary_key=True)
    id: str
    recorded_at: float
    status: str
    is_error: bool | None = None
    bytes: int | None = Field(default=None, sa_type=BigInteger)
    ms: float | None = None
    body: str = Field(sa_type=Text)


class ChangeRow(State, table=True):
    """A record of a change, copied from the journal; `body` is the whole of it."""

    __tablename__ = "changes"
    __table_args__ = (Index("changes_newest", "recorded_at", "id"),)

    id: str = Field(primary_key=True)
    recorded_at: float
    node: str
    worker: int
    seq: int = Field(sa_type=BigInteger)
    who_type: str
    who_id: str
    what: str
    why: str = Field(sa_type=Text)
    body: str = Field(sa_type=Text)


class CheckpointRow(State, table=True):
    """A signed checkpoint, copied from the journal: `body` is its line.

    `feed` is the id that the chain has among `CursorRow`.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (Index("checkpoints_newest", "feed", "seq"),)

    id: str = Field(primary_key=True)
    feed: str
    recorded_at: float
    node: str
    worker: int
    seq: int = Field(sa_type=BigInteger)
    body: str = Field(sa_type=Text)


class CursorRow(State, table=True):
    """How far a chain of the journal was copied: `size` bytes of `segment`, up to `seq`.

    `digest` is the hash of the last line that was. Nodes may have the same name by mistake, so
    `id` tells their chains apart.
    """

    __tablename__ = "cursors"

    id: str = Field(primary_key=True)
    node: str
    worker: int
    segment: int
    size: int = Field(sa_type=BigInteger)
    digest: str
    seq: int = Field(sa_type=BigInteger)
    moved_at: float


class TaskRow(State, table=True):
    """A task that a server runs, by the server's own id for it, and who began it."""

    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_ended", "expires_at"),)

    server: str = Field(primary_key=True)
    task_id: str = Field(primary_key=True)
    owner: str
    origin: str = Field(sa_type=Text)
    expires_at: float


class ShadowRow(State, table=True):
    """The policy that is tried beside the one in force: one row, or none."""

    __tablename__ = "shadows"

    run: str = Field(primary_key=True)
    version: str
    sources: str = Field(sa_type=Text)
    begun_at: float
    begun_by: str


class ShadowCountRow(State, table=True):
    """What one process found while a policy was tried."""

    __tablename__ = "shadow_counts"

    run: str = Field(primary_key=True, foreign_key="shadows.run")
    process: str = Field(primary_key=True)
    counted_at: float
    counts: str = Field(sa_type=Text)
