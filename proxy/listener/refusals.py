"""Why a request never reaches the gateway's own code: a closed list, and what the peer is told."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
NOT_FOUND: Final = 40401
OVERLOADED: Final = 50303


class Refusal(StrEnum):
    """What happened on a connection that was not a request served. Stable, and safe as a label."""

    HOST = "host"
    ORIGIN = "origin"
    TARGET = "target"
    METHOD = "method"
    MALFORMED = "malformed"
    UPGRADE = "upgrade"
    TOO_LARGE_HEADERS = "too_large_headers"
    TOO_LARGE_BODY = "too_large_body"
    LATE_HEADERS = "late_headers"
    LATE_BODY = "late_body"
    OVERLOADED = "overloaded"
    STALLED = "stalled"
    DISCONNECTED = "disconnected"


class Told(NamedTuple):
    """What the peer reads: an HTTP status, a JSON-RPC code and one sentence."""

    status: int
    code: int
    public: str

    @property
    def body(self) -> bytes:
        error = {"code": self.code, "message": self.public}
        return orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})


Form = Callable[[str, Told], bytes]
"""Puts a refusal, by its name, into a body."""


def as_message(_name: str, told: Told) -> bytes:
    """Return *told* as a JSON-RPC error that answers nothing in particular."""
    return told.body


TOLD: Final = {
    Refusal.HOST: Told(
        421, INVALID_REQUEST, "This host is not served here; use the gateway's own URL."
    ),
    Refusal.ORIGIN: Told(
        403, INVALID_REQUEST, "Pages of this origin may not call; ask your administrator."
    ),
    Refusal.TARGET: Told(404, NOT_FOUND, "There is nothing at this URL; check its spelling."),
    Refusal.METHOD: Told(405, INVALID_REQUEST, "Use GET, POST or DELETE."),
    Refusal.MALFORMED: Told(
        400, INVALID_REQUEST, "The request is not well-formed HTTP/1.1; send it again, correctly."
    ),
    Refusal.UPGRADE: Told(
        400, INVALID_REQUEST, "The protocol cannot be changed here; speak plain HTTP/1.1."
    ),
    Refusal.TOO_LARGE_HEADERS: Told(
        431, INVALID_REQUEST, "The headers are too large; send fewer or shorter ones."
    ),
    Refusal.TOO_LARGE_BODY: Told(
        413, INVALID_REQUEST, "The message is too large; send a smaller one."
    ),
    Refusal.LATE_BODY: Told(
        408, INVALID_REQUEST, "The body did not arrive in time; send it again, faster."
    ),
    Refusal.OVERLOADED: Told(
        503, OVERLOADED, "The gateway has too many connections; try again later."
    ),
}
"""A refusal that is not here is silent: nobody is listening, or nobody should be answered."""

FAILURE: Final = "failed"
FAILED: Final = Told(500, INTERNAL_ERROR, "The gateway failed; ask your administrator.")


class BodyError(Exception):
    """The body of a request cannot be had. `code`, `status` and `public` may be shown."""

    code: Refusal

    @property
    def status(self) -> int:
        return TOLD[self.code].status

    @property
    def public(self) -> str:
        return TOLD[self.code].public


class TooLargeError(BodyError):
    """There is more of it than the limit."""

    code = Refusal.TOO_LARGE_BODY


class LateError(BodyError):
    """It did not arrive in time."""

    code = Refusal.LATE_BODY


class MalformedError(BodyError):
    """Its framing is broken."""

    code = Refusal.MALFORMED
