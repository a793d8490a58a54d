"""The ledger of tokens: what was issued to whom, and what was revoked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, Literal

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, or_, select, update

from storage.engine import Database
from storage.errors import TokenKnownError
from storage.tables import IdentityRow, TokenRow
from storage.versions import raised
from storage.words import check_name, check_text, is_name

Plane = Literal["data", "control"]

KEPT_SECONDS: Final = 86_400
"""How long a revoked token matters past its end: a clock set back must not revive it."""

_AT_ONCE: Final = 500
_TYPES: Final = {"client": "Client", "user": "User"}


@dataclass(frozen=True, slots=True)
class IssuedRecord:
    """A token that was issued, without its text.

    `subject` is as in the token, `client:ci` or `user:alice`; the moments are whole seconds since
    the epoch, as its claims.
    """

    jti: str
    plane: Plane
    subject: str
    client_id: str
    audience: str
    issued_at: int
    expires_at: int
    issued_by: str
    key_id: str


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A token that is no longer good, and when it ends by itself."""

    jti: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token that was issued; what was said when it was revoked, None if it was not."""

    issued: IssuedRecord
    revoked_at: float | None
    revoked_by: str | None
    revoked_why: str | None


class TokenLedger:
    """The tokens in *database*. *clock* tells the seconds since the epoch."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def record(self, issued: IssuedRecord) -> None:
        """Keep *issued*, and its subject as an identity if it is a new one.

        Raise `TokenKnownError` if there is a token with this id, `ValueError` for a subject that
        is no client and no user, and `TextRefusedError` for what cannot be kept.
        """
        kind, name = _identity(issued.subject)
        check_name(issued.subject, issued.jti)
        check_text(issued.client_id, issued.audience, issued.issued_by, issued.key_id)
        async with self._database.changing() as session:
            if await session.get(TokenRow, issued.jti) is not None:
                raise TokenKnownError(issued.jti)
            if await session.get(IdentityRow, (kind, name)) is None:
                session.add(
                    IdentityRow(
                        type=kind,
                        name=name,
                        description="",
                        created_at=self._clock(),
                        created_by=issued.issued_by,
                    )
                )
            session.add(TokenRow(**asdict(issued)))

    async def revoke(self, jti: str, by: str, why: str) -> RevokedToken | None:
        """Revoke a token and return it; None if there is none.

        One that is revoked already stays as it was first revoked. Raise `TextRefusedError` for
        words that cannot be kept.
        """
        check_text(by, why)
        if not is_name(jti):
            return None
        async with self._database.changing() as session:
            row = await session.get(TokenRow, jti, with_for_update=True)
            if row is None:
                return None
            if row.revoked_at is None:
                row.revoked_at, row.revoked_by, row.revoked_why = self._clock(), by, why
                await raised(session, "tokens")
            return RevokedToken(row.jti, row.expires_at)

    async def unrevoked(
        self,
        *,
        subject: str | None = None,
        issued_before: int | None = None,
        plane: Plane | None = None,
    ) -> list[IssuedRecord]:
        """Return the tokens that are not revoked, of those that matter still.

        They are of *subject* and *plane*, and issued before a second, where given.
        """
        if not is_name(subject or ""):
            return []
        found = select(TokenRow).where(
            col(TokenRow.revoked_at).is_(None),
            col(TokenRow.expires_at) > self._clock() - KEPT_SECONDS,
        )
        if subject is not None:
            found = found.where(TokenRow.subject == subject)
        if issued_before is not None:
            found = found.where(col(TokenRow.issued_at) < issued_before)
        if plane is not None:
            found = found.where(TokenRow.plane == plane)
        async with self._database.reading() as session:
            return [_issued(row) for row in await session.exec(found)]

    async def revoke_all(self, jtis: Sequence[str], by: str, why: str) -> None:
        """Revoke all of *jtis* at once, those that are there and not revoked yet.

        Raise `TextRefusedError` for words that cannot be kept.
        """
        check_text(by, why)
        async with self._database.changing() as session:
            await raised(session, "tokens")
            for start in range(0, len(jtis), _AT_ONCE):
                some = jtis[start : start + _AT_ONCE]
                revoking = (
                    update(TokenRow)
                    .where(col(TokenRow.jti).in_(some), col(TokenRow.revoked_at).is_(None))
                    .values(revoked_at=self._clock(), revoked_by=by, revoked_why=why)
                )
                await session.exec(revoking)

    async def revoked(self, plane: Plane, now: float) -> list[RevokedToken]:
        """Return the revoked tokens of *plane* that ended less than a day before *now*, or later.

        *now* is in seconds since the epoch.
        """
        matters = (
            select(TokenRow.jti, TokenRow.expires_at)
            .where(
                TokenRow.plane == plane,
                col(TokenRow.revoked_at).is_not(None),
                col(TokenRow.expires_at) > now - KEPT_SECONDS,
            )
            .order_by(col(TokenRow.expires_at), col(TokenRow.jti))
        )
        async with self._database.reading() as session:
            return [RevokedToken(*row) for row in await session.exec(matters)]

    async def find(self, jti: str) -> TokenRecord | None:
        if not is_name(jti):
            return None
        async with self._database.reading() as session:
            row = await session.get(TokenRow, jti)
            return None if row is None else _record(row)

    async def listed(
        self,
        *,
        plane: Plane | None = None,
        subject: str | None = None,
        limit: int,
        before: str | None = None,
    ) -> list[TokenRecord]:
        """Return up to *limit* tokens, the newest first, of *plane* and *subject* where given.

        The next page begins *before* the id of the last token of this one; there is nothing before
        an unknown id.
        """
        if not is_name(subject or "", before or ""):
            return []
        page = select(TokenRow).order_by(col(TokenRow.issued_at).desc(), col(TokenRow.jti).desc())
        if plane is not None:
            page = page.where(TokenRow.plane == plane)
        if subject is not None:
            page = page.where(TokenRow.subject == subject)
        async with self._database.reading() as session:
            if before is not None:
                last = await session.get(TokenRow, before)
                if last is None:
                    return []
                page = page.where(_is_older(last))
            return [_record(row) for row in await session.exec(page.limit(limit))]


def _identity(subject: str) -> tuple[str, str]:
    prefix, _, name = subject.partition(":")
    if prefix not in _TYPES or not name:
        raise ValueError("A subject is client: or user: and a name.")
    return _TYPES[prefix], name


def _is_older(last: TokenRow) -> ColumnElement[bool]:
    at, jti = col(TokenRow.issued_at), col(TokenRow.jti)
    return or_(at < last.issued_at, and_(at == last.issued_at, jti < last.jti))


def _issued(row: TokenRow) -> IssuedRecord:
    return IssuedRecord(**{field.name: getattr(row, field.name) for field in fields(IssuedRecord)})


def _record(row: TokenRow) -> TokenRecord:
    return TokenRecord(_issued(row), row.revoked_at, row.revoked_by, row.revoked_why)
