"""What can go wrong on the way to an upstream and back: one exception, three codes."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Final


class Code(StrEnum):
    """Who failed. Stable, and safe as a label."""

    UNREACHABLE = "upstream_unreachable"
    TIMED_OUT = "upstream_timed_out"
    HOSTILE = "upstream_hostile"


class Kind(StrEnum):
    """How it failed, more closely. Stable, and safe as a label."""

    ADDRESS = "address"
    BUSY = "busy"
    CLOSED = "closed"
    CONNECT = "connect"
    CUT = "cut"

    ANSWER = "answer"
    STREAM = "stream"

    ENCODING = "encoding"
    MALFORMED = "malformed"
    REDIRECT = "redirect"
    TOO_LARGE = "too_large"
    UPGRADE = "upgrade"


_PUBLIC: Final = {
    Code.UNREACHABLE: "The server behind the gateway could not be reached; try again later.",
    Code.TIMED_OUT: "The server behind the gateway did not answer in time; try again later.",
    Code.HOSTILE: "The server behind the gateway sent an answer that cannot be passed on; "
    "ask your administrator to look at it.",
}
_TIMED_OUT: Final = 50401
_FAILED: Final = 50201


class UpstreamError(Exception):
    """An upstream gave no answer that can be used.

    `code`, `kind`, `status`, `rpc_code` and `public` may be shown; `detail` is for logs alone.
    `sent` is true if any of the request may have reached the upstream, and so what it asked for
    may have been done: the outcome is unknown, not failed. `unanswered` is true if the connection
    ended before one byte of an answer.
    """

    def __init__(
        self, code: Code, kind: Kind, detail: str, *, sent: bool, unanswered: bool = False
    ) -> None:
        super().__init__(f"{code} ({kind}): {detail}")
        self.code = code
        self.kind = kind
        self.detail = detail
        self.sent = sent
        self.unanswered = unanswered

    @property
    def status(self) -> HTTPStatus:
        is_late = self.code is Code.TIMED_OUT
        return HTTPStatus.GATEWAY_TIMEOUT if is_late else HTTPStatus.BAD_GATEWAY

    @property
    def rpc_code(self) -> int:
        return _TIMED_OUT if self.code is Code.TIMED_OUT else _FAILED

    @property
    def public(self) -> str:
        return _PUBLIC[self.code]


def hostile(kind: Kind, detail: str) -> UpstreamError:
    return UpstreamError(Code.HOSTILE, kind, detail, sent=True)


def timed_out(kind: Kind, detail: str) -> UpstreamError:
    return UpstreamError(Code.TIMED_OUT, kind, detail, sent=kind is not Kind.CONNECT)


def not_reached(kind: Kind, detail: str) -> UpstreamError:
    """Nothing was sent."""
    return UpstreamError(Code.UNREACHABLE, kind, detail, sent=False)


def cut(detail: str, *, unanswered: bool) -> UpstreamError:
    """Say that the connection ended after the request was sent, before its answer was whole."""
    return UpstreamError(Code.UNREACHABLE, Kind.CUT, detail, sent=True, unanswered=unanswered)
