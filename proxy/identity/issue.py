"""Issues access tokens (RFC 9068). Who may have one is for the policy to say."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from proxy.identity.claims import LONGEST_LIFE_SECONDS, SCOPE
from proxy.identity.keys import SigningKey
from proxy.identity.principal import ActorType, is_name
from proxy.identity.sealing import Secret

SHORTEST_LIFE_SECONDS = 10


class IssueError(Exception):
    """A token that must not be issued; the text says what to ask for instead."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a token is wanted for.

    `name` is the client's or user's own; `life` is in seconds; `audience` is the one URL where the
    token is good. `client_id` is the client that holds a user's token; a client holds its own. A
    client that acts for a user has that user's name in `acts_for`.
    """

    type: ActorType
    name: str
    audience: str
    life: int
    client_id: str = ""
    scope: tuple[str, ...] = ()
    acts_for: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and what to record of it; `text` is shown once, to whom it was issued."""

    text: Secret
    token_id: str
    key_id: str
    subject: str
    issued_at: int
    expires_at: int


class Issuer:
    """Issues the tokens of one plane, under its name *issuer* and whatever key is active.

    *clock* tells the seconds since the epoch; *longest_life* is in seconds.
    """

    def __init__(
        self,
        issuer: str,
        signing_key: Callable[[], SigningKey],
        clock: Callable[[], float],
        *,
        longest_life: int = LONGEST_LIFE_SECONDS,
    ) -> None:
        self._issuer = issuer
        self._signing_key = signing_key
        self._clock = clock
        self._longest_life = longest_life

    def issue(self, wanted: TokenRequest) -> IssuedToken:
        """Return a new token.

        Raises `IssueError` for a request that our own verifier would refuse, and what opening the
        active key raises.
        """
        self._require_life(wanted.life)
        _require_url(wanted.audience)
        issued_at = int(self._clock())
        expires_at = issued_at + wanted.life
        claims = _identity_claims(wanted) | {
            "iss": self._issuer,
            "aud": wanted.audience,
            "iat": issued_at,
            "exp": expires_at,
            "jti": secrets.token_hex(16),
        }
        key = self._signing_key()
        text = key.sign(json.dumps(claims, separators=(",", ":")).encode())
        return IssuedToken(
            text=Secret(text.encode()),
            token_id=claims["jti"],
            key_id=key.key_id,
            subject=claims["sub"],
            issued_at=issued_at,
            expires_at=expires_at,
        )

    def _require_life(self, life: int) -> None:
        if not SHORTEST_LIFE_SECONDS <= life <= self._longest_life:
            raise IssueError(
                f"A token lives from {SHORTEST_LIFE_SECONDS} to {self._longest_life} seconds."
            )


def _identity_claims(wanted: TokenRequest) -> dict[str, Any]:
    client_id = wanted.client_id
    if wanted.type is ActorType.CLIENT:
        client_id = client_id or wanted.name
        if client_id != wanted.name:
            raise IssueError("A client holds no token of another client.")
    names = [wanted.name, client_id, *([] if wanted.acts_for is None else [wanted.acts_for])]
    if not all(map(is_name, names)):
        raise IssueError("A name is 1 to 128 visible ASCII characters, without a colon.")
    claims: dict[str, Any] = {"sub": wanted.type.prefix + wanted.name, "client_id": client_id}
    if wanted.scope:
        claims["scope"] = _scope(wanted.scope)
    if wanted.acts_for is not None:
        if wanted.type is not ActorType.CLIENT:
            raise IssueError("Only a client acts for a user.")
        # The token is about the user, and names who holds it (RFC 8693 section 4.1).
        claims["act"] = {"sub": claims["sub"]}
        claims["sub"] = ActorType.USER.prefix + wanted.acts_for
    return claims


def _scope(words: tuple[str, ...]) -> str:
    if not all(" " not in word and SCOPE.fullmatch(word) for word in words):
        raise IssueError("A scope is visible ASCII without quotes and backslashes.")
    return " ".join(words)


def _require_url(text: str) -> None:
    try:
        url = urlsplit(text)
        port_is_fine = url.port is None or url.port > 0
    except ValueError:
        port_is_fine = False
    else:
        port_is_fine = port_is_fine and url.hostname is not None and "@" not in url.netloc
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "\\#?')
    if not (plain and port_is_fine and text.startswith(("http://", "https://"))):
        raise IssueError(
            "An audience is one http or https URL, such as the address of an endpoint."
        )
