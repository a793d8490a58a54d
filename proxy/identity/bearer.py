"""Finds the one credential of a request (RFC 6750 section 2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from proxy.identity.refusal import Reason, RefusedError

_SCHEME = re.compile(r"(?P<scheme>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?: +(?P<rest>.*))?", re.DOTALL)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_CARRIERS = frozenset({"access_token", "authorization"})


def bearer(headers: Iterable[tuple[str, str]], query: str = "") -> str:
    """Return the bearer token of a request.

    *headers* are all header lines in the order received, repeated names included; *query* is what
    follows the question mark, still encoded.

    Raises `RefusedError`: 400 for more than one credential or one outside the header, 401 for none
    that can be used. That a token is returned says nothing about its being valid.
    """
    held: list[str] = []
    cookies: list[str] = []
    for name, value in headers:
        folded = name.lower()
        if folded == "authorization":
            held.append(value)
        elif folded == "cookie":
            cookies.append(value)
    if query and _names(query, "&") & _CARRIERS:
        raise RefusedError(Reason.CREDENTIAL_IN_QUERY)
    if any(_names(cookie, ";") & _CARRIERS for cookie in cookies):
        raise RefusedError(Reason.CREDENTIAL_IN_COOKIE)
    return _one(held)


def _one(held: list[str]) -> str:
    if not held:
        raise RefusedError(Reason.CREDENTIAL_ABSENT)
    # Some proxies join repeated headers with a comma, which no token holds.
    if len(held) > 1 or "," in held[0]:
        raise RefusedError(Reason.CREDENTIAL_REPEATED)
    found = _SCHEME.fullmatch(held[0].strip(" \t"))
    if found is None:
        raise RefusedError(Reason.CREDENTIAL_MALFORMED)
    if found["scheme"].lower() != "bearer":
        raise RefusedError(Reason.SCHEME_OTHER)
    token = found["rest"] or ""
    if _TOKEN.fullmatch(token) is None:
        raise RefusedError(Reason.CREDENTIAL_MALFORMED)
    return token


def _names(text: str, separator: str) -> set[str]:
    pairs = text.split(separator)
    return {unquote_plus(pair.partition("=")[0]).strip().lower() for pair in pairs}
