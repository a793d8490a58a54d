"""AccessTerms tokens that clients and users bring along: given, replaced and taken away."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field

from policies.model import Entity
from proxy.admin.errors import ApiError, InvalidError
from proxy.admin.routes import Input
from proxy.identity.marking import Marks
from proxy.identity.opaque import LONGEST, SHORTEST, OpaqueTokens, is_opaque
from storage.credentials import MOST_OF_A_KIND, TooManyCredentialsError
from storage.opaque import OpaqueLedger, OpaqueToken, OpaqueTokenTakenError, OwnerType

TOKEN: Final = "access_token"  # noqa: S105  a name
"""The field of an access token; those of its terms begin with it."""

_LEAST_SECONDS: Final = 60
_MOST_SECONDS: Final = 366 * 86_400


class AccessTokenTakenError(ApiError):
    status = 409
    code = "access-token-taken"
    public = "This access token is in use; choose another."


class TooManyAccessTokensError(ApiError):
    status = 409
    code = "too-many-access-tokens"
    public = (
        f"Nobody has more than {MOST_OF_A_KIND} access tokens at once; "
        "let those before end with an overlap of 0 seconds."
    )


ACCESS_FAILS: Final = (AccessTokenTakenError, TooManyAccessTokensError)
"""How it fails to give an access token to somebody who is there."""


def _checked(text: str) -> str:
    if not is_opaque(text):
        raise ValueError(
            f"This is an invalid access token: write {SHORTEST} to {LONGEST} letters, digits and "
            "-._~+/ without spaces, and not exactly two dots, which only signed tokens have."
        )
    return text


class NewAccessTerms(Input):
    """An access token to give, and how long it is good; else it is good until it is taken away."""

    access_token: Annotated[str, AfterValidator(_checked)] | None = Field(None, repr=False)
    access_token_ttl_seconds: int | None = Field(None, ge=_LEAST_SECONDS, le=_MOST_SECONDS)


class AccessTerms(NewAccessTerms):
    """The access token to have from now on, null for none; left out, nothing changes.

    What was good before stays so until the overlap is over.
    """

    access_token_overlap_seconds: int = Field(0, ge=0, le=_MOST_SECONDS)


def is_token_alone(terms: AccessTerms) -> bool:
    """Tell whether *terms* name an access token and nothing else that could be changed.

    Scripts for other gateways replace a token so, and must not take all the rest away.
    """
    named = {name for name in terms.model_fields_set if not name.startswith(TOKEN)}
    return TOKEN in terms.model_fields_set and named <= {"why"}


@dataclass(frozen=True, slots=True)
class Replacement:
    """`new` takes the place of what `owner` has, which ends at `until`, in Unix seconds."""

    owner: Entity
    new: OpaqueToken | None
    until: int


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """The access tokens of identities: `ledger` keeps them, and by `known` they are good.

    `clock` tells the seconds since the epoch. `gateway_wide` tells whether a token that is not for
    one server alone is accepted from clients.
    """

    ledger: OpaqueLedger
    known: OpaqueTokens
    marks: Marks
    clock: Callable[[], float]
    gateway_wide: bool

    def told(self, owner: Entity) -> dict[str, Any]:
        """Return what records and answers tell of the token of *owner*; of a team's, nothing."""
        return {} if owner.type == "Team" else _told(self.known.of(owner))

    def wanted(self, owner: Entity, terms: Input, by: str) -> Replacement | None:
        """Return what *terms* change; None if that is nothing.

        Raises `InvalidError`, `AccessTokenTakenError` and `TooManyAccessTokensError`.
        """
        if not isinstance(terms, NewAccessTerms):
            return None
        problems = self._problems(owner, terms)
        if problems:
            raise InvalidError(problems=problems)
        if TOKEN not in terms.model_fields_set:
            return None
        now = int(self.clock())
        until = now + (terms.access_token_overlap_seconds if isinstance(terms, AccessTerms) else 0)
        new = None if terms.access_token is None else self._new(owner, terms, by)
        wanted = Replacement(owner, new, until)
        left = self._left(wanted)
        if len(left) > MOST_OF_A_KIND:
            raise TooManyAccessTokensError
        return None if _ends(left) == _ends(self.known.of(owner)) else wanted

    def after(self, wanted: Replacement) -> dict[str, Any]:
        """Return what `told` will be once *wanted* is so."""
        return _told(self._left(wanted))

    async def carry_out(self, wanted: Replacement) -> None:
        """Make *wanted* so; it is in effect here when this returns.

        Raises as `wanted` does, `OwnerUnknownError` and `StateError`.
        """
        type_ = cast("OwnerType", wanted.owner.type)
        try:
            await self.ledger.replace(type_, wanted.owner.id, wanted.new, wanted.until)
        except OpaqueTokenTakenError:
            raise AccessTokenTakenError from None
        except TooManyCredentialsError:
            raise TooManyAccessTokensError from None
        await self.known.catch_up()

    async def end(self, ids: Sequence[str]) -> None:
        """Take tokens away; that is in effect here when this returns. Raises `StateError`."""
        await self.ledger.end(*ids)
        await self.known.catch_up()

    def _problems(self, owner: Entity, terms: NewAccessTerms) -> list[dict[str, str]]:
        named = {name for name in terms.model_fields_set if name.startswith(TOKEN)}
        if named and TOKEN not in named:
            return [{"field": one, "problem": "Name the access token too."} for one in named]
        if "access_token_ttl_seconds" in named and terms.access_token is None:
            problem = "There is no access token that it could be of."
            return [{"field": "access_token_ttl_seconds", "problem": problem}]
        if owner.type == "Client" and terms.access_token is not None and not self.gateway_wide:
            problem = (
                "Nothing would accept it, for tokens.gateway_wide is off; "
                "issue a token for one server."
            )
            return [{"field": TOKEN, "problem": problem}]
        return []

    def _new(self, owner: Entity, terms: NewAccessTerms, by: str) -> OpaqueToken:
        now, life = self.clock(), terms.access_token_ttl_seconds
        mark = self.marks.mark(terms.access_token or "")
        same = self.known.holding(mark)
        if same is not None and not same.is_good(now):
            same = None
        if same is not None and (same.owner_type, same.owner) != owner:
            raise AccessTokenTakenError
        return OpaqueToken(
            id=secrets.token_hex(16) if same is None else same.id,
            owner_type=cast("OwnerType", owner.type),
            owner=owner.id,
            mark=mark,
            created_at=now,
            created_by=by,
            expires_at=None if life is None else int(now) + life,
        )

    def _left(self, wanted: Replacement) -> list[OpaqueToken]:
        """Return what its owner has once *wanted* is so, the one he got last at the end."""
        now, new = self.clock(), wanted.new
        before = [one for one in self.known.of(wanted.owner) if new is None or one.id != new.id]
        ending = [_ending(one, wanted.until) for one in before]
        return [*(one for one in ending if one.is_good(now)), *([] if new is None else [new])]


def _ending(token: OpaqueToken, until: int) -> OpaqueToken:
    at = until if token.expires_at is None else min(token.expires_at, until)
    return replace(token, expires_at=at)


def _told(tokens: Sequence[OpaqueToken]) -> dict[str, Any]:
    last = tokens[-1] if tokens else None
    return {
        "has_access_token": last is not None,
        "access_token_id": last and last.id,
        "access_token_expires_at": last and last.expires_at,
    }


def _ends(tokens: Sequence[OpaqueToken]) -> list[tuple[str, int | None]]:
    return [(one.id, one.expires_at) for one in tokens]
