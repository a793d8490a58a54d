"""The compact form of a signed token, read strictly (RFC 7515 section 7.1)."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from proxy.identity.refusal import Reason, RefusedError

LONGEST_TOKEN = 8192
"""Bytes that a token may have; ours have about 500."""

_PARTS = 3
_MOST_BRACKETS = 64
_FIELDS = frozenset({"alg", "kid", "typ"})
_KEY_FIELDS = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256"})
_ACCESS_TOKEN = frozenset({"at+jwt", "application/at+jwt"})
_IDENTITY_ASSERTION = frozenset({"oauth-id-jag+jwt", "application/oauth-id-jag+jwt"})


@dataclass(frozen=True, slots=True)
class Header:
    """What a token says about its own signature. `algorithm` is a claim to check, not a choice."""

    algorithm: str
    key_id: str


def read_header(token: str) -> Header:
    """Return the header of *token*, ASCII in compact form and an access token (RFC 9068, 2.1).

    Nothing is verified yet. Raises `RefusedError` for anything but three canonical base64url parts
    whose first is an object of exactly `alg`, `kid` and `typ`.
    """
    parts = token.split(".")
    if len(parts) != _PARTS or not all(parts):
        raise RefusedError(Reason.NOT_COMPACT)
    try:
        first, *_ = (canonical_bytes(part) for part in parts)
    except ValueError:
        raise RefusedError(Reason.NOT_COMPACT) from None
    try:
        fields = strict_object(first)
    except ValueError:
        raise RefusedError(Reason.HEADER_MALFORMED) from None
    return _header(fields)


def _header(fields: dict[str, Any]) -> Header:
    if _KEY_FIELDS & fields.keys():
        raise RefusedError(Reason.HEADER_BRINGS_KEY)
    if "crit" in fields:
        raise RefusedError(Reason.HEADER_CRITICAL)
    if fields.keys() - _FIELDS:
        raise RefusedError(Reason.HEADER_UNKNOWN_FIELD)
    if fields.keys() != _FIELDS or not all(isinstance(value, str) for value in fields.values()):
        raise RefusedError(Reason.HEADER_MALFORMED)
    # The type is a media type, so case means nothing in it (RFC 7515 section 4.1.9).
    kind = fields["typ"].lower()
    if kind in _IDENTITY_ASSERTION:
        raise RefusedError(Reason.IDENTITY_ASSERTION)
    if kind not in _ACCESS_TOKEN:
        raise RefusedError(Reason.TYPE_OTHER)
    return Header(algorithm=fields["alg"], key_id=fields["kid"])


def strict_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object in *text*.

    Raises `ValueError`, without the text in it, for anything that two parsers could read in two
    ways: repeated keys, NaN, another encoding than UTF-8, a byte order mark, extreme nesting.
    """
    # There are no more levels than brackets, and how many a parser bears is not for it to say.
    if text.count(b"{") + text.count(b"[") > _MOST_BRACKETS:
        raise ValueError("nested too deeply")
    try:
        found = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("not strict JSON") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  as all wrong content
    return found


def canonical_bytes(text: str) -> bytes:
    """Return what *text* encodes in base64url without padding; raises `ValueError` if it cannot.

    Only the one canonical spelling is read, so a token cannot be written in two ways.
    """
    try:
        found = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise ValueError("not base64url") from None
    if canonical_text(found) != text:
        raise ValueError("not canonical base64url")
    return found


def canonical_text(content: bytes) -> str:
    """Return *content* in base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError("repeated key")
        found[key] = value
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
