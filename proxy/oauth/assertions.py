"""Assertions by which clients prove that they have a key (RFC 7523 section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from proxy.identity.claims import LEEWAY_SECONDS
from proxy.identity.compact import LONGEST_TOKEN, canonical_bytes, strict_object
from proxy.identity.keys import TrustedKey
from proxy.identity.refusal import RefusedError
from proxy.identity.verify import signed_object

LONGEST_LIFE_SECONDS: Final = 300

_FIELDS: Final = frozenset({"alg", "kid", "typ"})
_KINDS: Final = frozenset({"jwt", "client-authentication+jwt"})
_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_PARTS: Final = 3


class BadAssertionError(Exception):
    """An assertion that proves nothing. Nobody is told why."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """What somebody says, and signed with whatever key: nothing of it is proved yet."""

    text: str
    algorithm: str
    key_id: str | None
    subject: str


@dataclass(frozen=True, slots=True)
class Proof:
    """An assertion that holds: by which key, its id, and until when it could be used again."""

    key: TrustedKey
    assertion_id: str
    ends_at: int


def read_assertion(text: str) -> Assertion:
    """Return what *text*, in compact form, says. Raises `BadAssertionError`."""
    parts = text.split(".")
    if len(text) > LONGEST_TOKEN or len(parts) != _PARTS or not all(parts):
        raise BadAssertionError
    try:
        header, claims = (strict_object(canonical_bytes(part)) for part in parts[:2])
    except ValueError:
        raise BadAssertionError from None
    key_id = header.get("kid")
    kind = header.get("typ", "JWT")
    # Keys, addresses of keys and extensions that must be understood are none of these fields.
    if header.keys() - _FIELDS or not isinstance(kind, str) or kind.lower() not in _KINDS:
        raise BadAssertionError
    algorithm, subject = header.get("alg"), claims.get("sub")
    if not isinstance(algorithm, str) or not isinstance(subject, str):
        raise BadAssertionError
    if key_id is not None and not isinstance(key_id, str):
        raise BadAssertionError
    return Assertion(text, algorithm, key_id, subject)


def proved(
    assertion: Assertion, keys: Iterable[TrustedKey], audiences: frozenset[str], now: float
) -> Proof:
    """Return what *assertion* proves, if one of *keys*, its subject's own, signed it.

    Raises `BadAssertionError` unless it was made for one of *audiences*, for the five minutes
    around *now*, in seconds since the epoch.
    """
    for key in keys:
        if assertion.key_id not in {None, key.key_id}:
            continue
        # Our record chose the algorithm when the key was registered; the header has to agree.
        if assertion.algorithm != key.algorithm.value:
            continue
        try:
            claims = signed_object(assertion.text, key)
        except RefusedError:
            continue
        return _proof(claims, key, audiences, now)
    raise BadAssertionError


def _proof(claims: dict[str, Any], key: TrustedKey, audiences: frozenset[str], now: float) -> Proof:
    is_own = claims.get("iss") == claims.get("sub")
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not is_own or not isinstance(audience, str) or audience not in audiences:
        raise BadAssertionError
    ends_at, issued_at, begins_at = (claims.get(name) for name in ("exp", "iat", "nbf"))
    # `type` and not `isinstance`: a Boolean is an integer to Python.
    if type(ends_at) is not int or not now - LEEWAY_SECONDS < ends_at:
        raise BadAssertionError
    if ends_at > now + LONGEST_LIFE_SECONDS + LEEWAY_SECONDS:
        raise BadAssertionError
    for begins in (issued_at, begins_at):
        if begins is not None and (type(begins) is not int or begins > now + LEEWAY_SECONDS):
            raise BadAssertionError
    assertion_id = claims.get("jti")
    if not isinstance(assertion_id, str) or _ID.fullmatch(assertion_id) is None:
        raise BadAssertionError
    return Proof(key, assertion_id, ends_at + LEEWAY_SECONDS)
