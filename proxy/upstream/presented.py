"""What the gateway presents to an upstream: a bearer token, and headers of the operator's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from proxy.identity.sealing import Secret

MOST_HEADERS: Final = 32
MOST_VALUE: Final = 8 * 1024
"""Characters of a header's value, or of a bearer token."""

_MOST_NAME: Final = 128
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")

# Framing, routing, and what the gateway itself says of a message.
_OURS: Final = frozenset(
    {
        "accept", "accept-encoding", "connection", "content-encoding", "content-length",
        "content-type", "cookie", "expect", "forwarded", "host", "keep-alive", "last-event-id",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "traceparent",
        "tracestate", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_OUR_PREFIX: Final = "mcp-"


@dataclass(frozen=True, slots=True)
class Presented:
    """Nothing of it shows in a `repr`."""

    bearer: Secret | None = field(default=None, repr=False)
    headers: Mapping[str, Secret] = field(default_factory=dict, repr=False)

    @property
    def lines(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers of every request; an `Authorization` among them beats the token."""
        lines = tuple((name.encode(), value.reveal()) for name, value in self.headers.items())
        if self.bearer is None or any(name.lower() == b"authorization" for name, _ in lines):
            return lines
        return ((b"Authorization", b"Bearer " + self.bearer.reveal()), *lines)


def header_problem(name: str) -> str | None:
    """Return a sentence that says why no operator sets the header *name*, or None if he may."""
    if len(name) > _MOST_NAME or _NAME.fullmatch(name) is None:
        return f"A header's name is 1 to {_MOST_NAME} letters, digits, hyphens and the like."
    if name.lower() in _OURS or name.lower().startswith(_OUR_PREFIX):
        return "The gateway sets this header itself; leave it out."
    return None


def value_problem(value: str) -> str | None:
    """Return a sentence that says why no header has this *value*, or None if it may."""
    if len(value) > MOST_VALUE or _VALUE.fullmatch(value) is None:
        return f"A header's value is 1 to {MOST_VALUE} visible ASCII characters, in one line."
    return None


def token_problem(token: str) -> str | None:
    """Return a sentence that says why *token* is no bearer token, or None if it may be one."""
    if len(token) > MOST_VALUE or _TOKEN.fullmatch(token) is None:
        return "A token is visible ASCII in one line, without the word Bearer."
    return None


def names_problem(names: Iterable[str]) -> str | None:
    """Return a sentence that says why headers cannot have these *names* together, or None."""
    folded = [name.lower() for name in names]
    if len(folded) > MOST_HEADERS:
        return f"At most {MOST_HEADERS} headers are sent."
    if len(set(folded)) != len(folded):
        return "Two headers differ in the case of their names alone; leave one out."
    return None
