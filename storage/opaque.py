"""The ledger of opaque tokens: texts that mean nothing by themselves, each known by its mark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.credentials import MOST_OF_A_KIND, CredentialRow, TooManyCredentialsError
from storage.engine import Database
from storage.errors import StateError
from storage.tables import IdentityRow
from storage.versions import raised
from storage.words import check_name, check_text

OwnerType = Literal["Client", "User"]

_KIND: Final = "token"
_AT_ONCE: Final = 500


class OpaqueTokenTakenError(StateError):
    """Somebody has this token already."""

    code = "access-token-taken"
    public = "This access token is in use. Choose another."


class OwnerUnknownError(StateError):
    """There is no identity for the token to be of."""

    code = "owner-unknown"
    public = "Whoever should get the token is not there any more. List the identities."


@dataclass(frozen=True, slots=True)
class OpaqueToken:
    """A token of a client or user, without its text: `mark` is a keyed hash of that.

    Moments are in seconds since the epoch; one that never expires has no `expires_at`.
    """

    id: str
    owner_type: OwnerType
    owner: str
    mark: str = field(repr=False)
    created_at: float
    created_by: str
    expires_at: int | None = None

    def is_good(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


class OpaqueLedger:
    """The opaque tokens in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> list[OpaqueToken]:
        """Return every token that is good, the oldest first."""
        async with self._database.reading() as session:
            rows = await _rows(session, _is_good(self._clock()))
            return [_token(row) for row in rows]

    async def replace(
        self, type_: OwnerType, name: str, new: OpaqueToken | None, until: float
    ) -> None:
        """Let *new* be a token of its owner, and all others of his end at *until* if not before.

        A token of his with the same mark is replaced too. Raise `OwnerUnknownError`,
        `OpaqueTokenTakenError` if somebody else has it, `TooManyCredentialsError` for an owner
        who has as many as he may, and `TextRefusedError` for what cannot be kept.
        """
        async with self._database.changing() as session:
            owner = await session.get(IdentityRow, (type_, name), with_for_update=True)
            if owner is None:
                raise OwnerUnknownError(f"{type_} {name}")
            await raised(session, "credentials")
            for row in await _rows(session, _is_of(type_, name)):
                is_same = new is not None and row.content == new.mark
                if is_same or until <= self._clock():
                    await session.delete(row)
                elif row.expires_at is None or row.expires_at > until:
                    row.expires_at = until
            await session.flush()
            if new is not None:
                await _kept(session, new, self._clock())

    async def end(self, *ids: str) -> None:
        """Drop tokens, those that are there."""
        async with self._database.changing() as session:
            await raised(session, "credentials")
            for start in range(0, len(ids), _AT_ONCE):
                await _drop(session, col(CredentialRow.id).in_(ids[start : start + _AT_ONCE]))


async def give(session: AsyncSession, token: OpaqueToken, now: float) -> None:
    """Keep *token* in the transaction of *session*, in which its owner is known or made.

    Raise as `OpaqueLedger.replace` does.
    """
    await raised(session, "credentials")
    await _kept(session, token, now)


async def end_all(session: AsyncSession, type_: str, name: str) -> None:
    """Drop all tokens of an identity in the transaction of *session*."""
    if await _rows(session, _is_of(type_, name)):
        # First, as everywhere here: who changes tokens waits for that lock, and for no row of them.
        await raised(session, "credentials")
        await _drop(session, _is_of(type_, name))


async def _kept(session: AsyncSession, token: OpaqueToken, now: float) -> None:
    """Keep *token*; whoever raised the version of the credentials has the lock that this needs."""
    check_name(token.owner, token.id)
    check_text(token.mark, token.created_by)
    await _drop(session, col(CredentialRow.expires_at) <= now)
    if await _rows(session, col(CredentialRow.content) == token.mark):
        raise OpaqueTokenTakenError
    if len(await _rows(session, _is_of(token.owner_type, token.owner))) >= MOST_OF_A_KIND:
        raise TooManyCredentialsError(token.owner)
    session.add(
        CredentialRow(
            id=token.id,
            owner_type=token.owner_type,
            owner=token.owner,
            kind=_KIND,
            content=token.mark,
            created_at=token.created_at,
            created_by=token.created_by,
            expires_at=token.expires_at,
        )
    )


async def _drop(session: AsyncSession, which: ColumnElement[bool]) -> None:
    await session.exec(delete(CredentialRow).where(col(CredentialRow.kind) == _KIND, which))


async def _rows(session: AsyncSession, which: ColumnElement[bool]) -> list[CredentialRow]:
    tokens = (
        select(CredentialRow)
        .where(CredentialRow.kind == _KIND, which)
        .order_by(col(CredentialRow.created_at), col(CredentialRow.id))
    )
    return list(await session.exec(tokens))


def _is_good(now: float) -> ColumnElement[bool]:
    expires_at = col(CredentialRow.expires_at)
    return or_(expires_at.is_(None), expires_at > now)


def _is_of(type_: str, name: str) -> ColumnElement[bool]:
    return and_(col(CredentialRow.owner_type) == type_, col(CredentialRow.owner) == name)


def _token(row: CredentialRow) -> OpaqueToken:
    return OpaqueToken(
        id=row.id,
        owner_type=cast("OwnerType", row.owner_type),
        owner=row.owner,
        mark=row.content,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=None if row.expires_at is None else int(row.expires_at),
    )
