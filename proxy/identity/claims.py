"""What an access token must say, checked by us: its library takes too much (RFC 9068)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from proxy.identity.principal import ActorType, Principal, is_name
from proxy.identity.refusal import Reason, RefusedError

LEEWAY_SECONDS = 30
"""How far two clocks may be apart."""

LONGEST_LIFE_SECONDS = 86_400
"""How long a token may live, unless the settings say otherwise."""

SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
"""The `scope` of RFC 6749 section 3.3."""

_TOKEN_ID = re.compile(r"[\x21-\x7e]{1,128}")
_LARGEST = 2**53
_ID_TOKEN = frozenset({"nonce", "at_hash", "c_hash", "s_hash"})


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the claims are held against. The life is in seconds."""

    issuer: str
    longest_life: int = LONGEST_LIFE_SECONDS
    leeway: int = LEEWAY_SECONDS


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims that hold: the identity, and what revocation needs to know of the token."""

    principal: Principal
    issued_at: int
    identities: tuple[str, ...]


def read_claims(
    claims: dict[str, Any], expected: Expectations, now: float, key_id: str = ""
) -> Claims:
    """Return the identity that *claims* state at *now*, in seconds since the epoch.

    *key_id* names the key that signed them.

    Raises `RefusedError` for whatever is absent, of another type, out of time or of another
    issuer, and for tokens of other kinds. The audience is read, not judged.
    """
    _refuse_other_kinds(claims)
    issuer = claims.get("iss")
    if issuer is None:
        raise RefusedError(Reason.ISSUER_ABSENT)
    if issuer != expected.issuer:
        raise RefusedError(Reason.ISSUER_OTHER)
    issued_at, expires_at = _times(claims, expected, now)
    type_, name, acts_for = _actor(claims)
    principal = Principal(
        type=type_,
        id=name,
        issuer=expected.issuer,
        subject=claims["sub"],
        client_id=claims["client_id"],
        token_id=_token_id(claims),
        expires_at=expires_at,
        audience=_audience(claims),
        scope=_scope(claims),
        acts_for=acts_for,
        key_id=key_id,
    )
    actor = type_.prefix + name
    identities = (actor,) if acts_for is None else (actor, claims["sub"])
    return Claims(principal, issued_at, identities)


def _refuse_other_kinds(claims: dict[str, Any]) -> None:
    if _ID_TOKEN & claims.keys():
        raise RefusedError(Reason.ID_TOKEN)
    # A bound token is worthless without its proof, which no request brings us (RFC 7800).
    if "cnf" in claims:
        raise RefusedError(Reason.PROOF_ABSENT)
    # Who states his own identity authenticates to a token endpoint (RFC 7523 section 3).
    if "iss" in claims and claims["iss"] == claims.get("sub"):
        raise RefusedError(Reason.CLIENT_ASSERTION)


def _times(claims: dict[str, Any], expected: Expectations, now: float) -> tuple[int, int]:
    issued_at = _moment(claims, "iat", Reason.ISSUED_ABSENT, Reason.ISSUED_MALFORMED)
    expires_at = _moment(claims, "exp", Reason.EXPIRY_ABSENT, Reason.EXPIRY_MALFORMED)
    if expires_at <= issued_at:
        raise RefusedError(Reason.LIFE_NOT_POSITIVE)
    if expires_at - issued_at > expected.longest_life:
        raise RefusedError(Reason.LIFE_TOO_LONG)
    if issued_at > now + expected.leeway:
        raise RefusedError(Reason.ISSUED_LATER)
    if expires_at + expected.leeway <= now:
        raise RefusedError(Reason.EXPIRED)
    if "nbf" in claims:
        malformed = Reason.NOT_BEFORE_MALFORMED
        if _moment(claims, "nbf", malformed, malformed) > now + expected.leeway:
            raise RefusedError(Reason.NOT_YET_VALID)
    return issued_at, expires_at


def _moment(claims: dict[str, Any], name: str, absent: Reason, malformed: Reason) -> int:
    if name not in claims:
        raise RefusedError(absent)
    found = claims[name]
    # `type` and not `isinstance`: a Boolean is an integer to Python.
    if type(found) is not int or not 0 < found < _LARGEST:
        raise RefusedError(malformed)
    return found


def _actor(claims: dict[str, Any]) -> tuple[ActorType, str, str | None]:
    """Return the actor's type and name, and the name of the user it acts for."""
    type_, name = _identity(claims)
    client_id = claims.get("client_id")
    if client_id is None:
        raise RefusedError(Reason.CLIENT_ABSENT)
    if not is_name(client_id):
        raise RefusedError(Reason.CLIENT_MALFORMED)
    if type_ is ActorType.CLIENT and client_id != name:
        raise RefusedError(Reason.CLIENT_OTHER)
    if "act" not in claims:
        return type_, name, None
    client = ActorType.CLIENT
    if type_ is client or claims["act"] != {"sub": client.prefix + client_id}:
        raise RefusedError(Reason.DELEGATION_MALFORMED)
    return client, client_id, name


def _identity(claims: dict[str, Any]) -> tuple[ActorType, str]:
    subject = claims.get("sub")
    if subject is None:
        raise RefusedError(Reason.SUBJECT_ABSENT)
    for type_ in ActorType:
        if isinstance(subject, str) and subject.startswith(type_.prefix):
            name = subject.removeprefix(type_.prefix)
            if is_name(name):
                return type_, name
    raise RefusedError(Reason.SUBJECT_MALFORMED)


def _token_id(claims: dict[str, Any]) -> str:
    found = claims.get("jti")
    if found is None:
        raise RefusedError(Reason.TOKEN_ID_ABSENT)
    if not isinstance(found, str) or _TOKEN_ID.fullmatch(found) is None:
        raise RefusedError(Reason.TOKEN_ID_MALFORMED)
    return found


def _audience(claims: dict[str, Any]) -> str:
    found = claims.get("aud")
    if found is None:
        raise RefusedError(Reason.AUDIENCE_ABSENT)
    if not isinstance(found, str) or not found:
        raise RefusedError(Reason.AUDIENCE_MALFORMED)
    return found


def _scope(claims: dict[str, Any]) -> frozenset[str]:
    if "scope" not in claims:
        return frozenset()
    found = claims["scope"]
    if not isinstance(found, str) or SCOPE.fullmatch(found) is None:
        raise RefusedError(Reason.SCOPE_MALFORMED)
    return frozenset(found.split(" "))
