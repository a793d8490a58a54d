"""The ledger of credentials: by what clients prove who they are when they ask for a token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, get_args

from sqlalchemy import ColumnElement, ForeignKeyConstraint, Index
from sqlmodel import Field, col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.engine import Database
from storage.errors import StateError
from storage.tables import IdentityRow, State
from storage.words import check_name, check_text, is_name

CredentialKind = Literal["secret", "key"]

MOST_OF_A_KIND: Final = 10
"""Credentials of one kind that a client may have at once."""

_TYPE: Final = "Client"
_KINDS: Final = get_args(CredentialKind)


class CredentialKnownError(StateError):
    """The client has this credential already."""

    code = "credential-known"
    public = "The client has this key already. List the keys of the client to find it."


class TooManyCredentialsError(StateError):
    """The client has as many credentials of a kind as it may."""

    code = "too-many-credentials"
    public = (
        f"A client has {MOST_OF_A_KIND} of these at most. Remove one that is not used any more."
    )


class CredentialRow(State, table=True):
    """A secret or an opaque token, by its keyed hash, or a public key.

    It ends with the identity whose it is.
    """

    __tablename__ = "credentials"
    __table_args__ = (
        ForeignKeyConstraint(
            ["owner_type", "owner"], ["identities.type", "identities.name"], ondelete="CASCADE"
        ),
        Index("credentials_of_owner", "owner_type", "owner"),
        Index("credentials_by_content", "kind", "content"),
    )

    id: str = Field(primary_key=True)
    owner_type: str
    owner: str
    kind: str
    content: str
    created_at: float
    created_by: str
    expires_at: float | None = None


class SpentAssertionRow(State, table=True):
    """An assertion that a client has used, by a hash of its id, until it is no good anyway."""

    __tablename__ = "spent_assertions"
    __table_args__ = (Index("spent_assertions_ended", "expires_at"),)

    client: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    expires_at: float


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential of *client*.

    `content` is the keyed hash of a secret, or a public JSON web key as text. Moments are in
    seconds since the epoch; one that never expires has no `expires_at`.
    """

    id: str
    client: str
    kind: CredentialKind
    content: str
    created_at: float
    created_by: str
    expires_at: float | None

    def is_good(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


class CredentialLedger:
    """The credentials in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def add(self, credential: Credential) -> None:
        """Keep *credential*, and its client as an identity if it is a new one.

        Those of the client that have expired are dropped. Raise `CredentialKnownError` if the
        client has the same already, `TooManyCredentialsError` if it has as many as it may, and
        `TextRefusedError` for what cannot be kept.
        """
        check_name(credential.client, credential.id)
        check_text(credential.content, credential.created_by)
        async with self._database.changing() as session:
            now = self._clock()
            if await session.get(IdentityRow, (_TYPE, credential.client)) is None:
                session.add(
                    IdentityRow(
                        type=_TYPE,
                        name=credential.client,
                        description="",
                        created_at=now,
                        created_by=credential.created_by,
                    )
                )
                await session.flush()
            await _drop_ended(session, credential.client, now)
            alike = [
                one
                for one in await _rows(session, credential.client)
                if one.kind == credential.kind
            ]
            if any(one.content == credential.content for one in alike):
                raise CredentialKnownError(credential.client)
            if len(alike) >= MOST_OF_A_KIND:
                raise TooManyCredentialsError(credential.client)
            session.add(_row(credential))

    async def of(self, client: str) -> list[Credential]:
        """Return the credentials of *client*, the oldest first; none for an unknown one."""
        if not is_name(client):
            return []
        async with self._database.reading() as session:
            return [_credential(row) for row in await _rows(session, client)]

    async def remove(self, client: str, credential_id: str) -> None:
        """Drop a credential of *client*, if it is there."""
        if not is_name(client, credential_id):
            return
        async with self._database.changing() as session:
            row = await session.get(CredentialRow, credential_id)
            if row is not None and row.owner == client and row.kind in _KINDS:
                await session.delete(row)

    async def spend(self, client: str, assertion_id: str, expires_at: float) -> bool:
        """Use up an assertion of *client*; return False if it was used before.

        It is remembered until *expires_at*, in seconds since the epoch.
        """
        check_name(client)
        digest = sha256(assertion_id.encode()).hexdigest()
        async with self._database.changing() as session:
            row = await session.get(SpentAssertionRow, (client, digest))
            if row is not None:
                return False
            ended = col(SpentAssertionRow.expires_at) <= self._clock()
            await session.exec(delete(SpentAssertionRow).where(ended))
            session.add(SpentAssertionRow(client=client, digest=digest, expires_at=expires_at))
            return True


async def _rows(session: AsyncSession, client: str) -> list[CredentialRow]:
    mine = (
        select(CredentialRow)
        .where(*_are_of(client))
        .order_by(col(CredentialRow.created_at), col(CredentialRow.id))
    )
    return list(await session.exec(mine))


async def _drop_ended(session: AsyncSession, client: str, now: float) -> None:
    ended = delete(CredentialRow).where(*_are_of(client), col(CredentialRow.expires_at) <= now)
    await session.exec(ended)


def _are_of(client: str) -> tuple[ColumnElement[bool], ...]:
    return (
        col(CredentialRow.owner_type) == _TYPE,
        col(CredentialRow.owner) == client,
        col(CredentialRow.kind).in_(_KINDS),
    )


def _row(one: Credential) -> CredentialRow:
    return CredentialRow(
        id=one.id,
        owner_type=_TYPE,
        owner=one.client,
        kind=one.kind,
        content=one.content,
        created_at=one.created_at,
        created_by=one.created_by,
        expires_at=one.expires_at,
    )


def _credential(row: CredentialRow) -> Credential:
    return Credential(
        id=row.id,
        client=row.owner,
        kind="secret" if row.kind == "secret" else "key",
        content=row.content,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
    )
