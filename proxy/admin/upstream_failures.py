"""What an administrator is told of an upstream that did not answer as it should."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, Final

from proxy.admin.errors import ApiError, Members
from proxy.upstream.conversation import RefusedRequestError
from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.offers import OffersError

_TEXT: Final = MappingProxyType({"type": "string"})

_NEAR: Final = ("localhost", "127.", "[::1]")
_IN_A_CONTAINER: Final = (
    " Inside a container, localhost is the container itself: name the host as it is called there, "
    "such as host.docker.internal."
)

_HINTS: Final = {
    Kind.ADDRESS: "Its name has no address, or one that this server's network does not allow.",
    Kind.ANSWER: "It refused the gateway; see whether the bearer token and the headers are right.",
    Kind.BUSY: "It has too many calls at once; try again.",
    Kind.CLOSED: "The gateway is about to stop; try again.",
    Kind.CONNECT: "See whether it runs, and whether host and port are right.",
    Kind.CUT: "It hung up before its answer was whole; look at its log.",
    Kind.ENCODING: "It compresses answers though nobody asked for that.",
    Kind.MALFORMED: "This is no MCP endpoint of a known version; see whether the path is right.",
    Kind.REDIRECT: "It redirects elsewhere; register the URL that it redirects to.",
    Kind.STREAM: "It began an answer and did not end it; look at its log.",
    Kind.TOO_LARGE: "It sends more than the gateway reads.",
    Kind.UPGRADE: "It wants another protocol than HTTP/1.1.",
}
_BUSY: Final = "It answers that it cannot serve just now; look at its log."
_LATE: Final = (
    "It took longer than limits.call_seconds; look at its log, or raise that in the settings."
)
_REFUSED: Final = "It refused the question what it offers; look at its log."
_UNLISTED: Final = "It does not list its tools as the protocol wants; look at its log."


class ProvingError(ApiError):
    """`reason` is a word that is stable, `hint` a sentence that says where to look."""

    members: ClassVar[Members] = MappingProxyType({"reason": _TEXT, "hint": _TEXT})


class UnreachableError(ProvingError):
    status = 502
    code = "upstream-unreachable"
    public = "The server could not be reached, so nothing was changed."


class UnusableError(ProvingError):
    status = 502
    code = "upstream-unusable"
    public = "The server did not answer as an MCP server does, so nothing was changed."


class TooSlowError(ProvingError):
    status = 504
    code = "upstream-timed-out"
    public = "The server did not answer in time, so nothing was changed."


PROVING: Final = (UnreachableError, UnusableError, TooSlowError)

_ERRORS: Final = {
    Code.UNREACHABLE: UnreachableError,
    Code.TIMED_OUT: TooSlowError,
    Code.HOSTILE: UnusableError,
}


def proving_error(
    error: UpstreamError | RefusedRequestError | OffersError, url: str
) -> ProvingError:
    """Return what to tell of *error*, which came of asking the upstream at *url*."""
    if not isinstance(error, UpstreamError):
        hint = _REFUSED if isinstance(error, RefusedRequestError) else _UNLISTED
        return UnusableError(reason=error.code, hint=hint)
    return _ERRORS[error.code](reason=str(error.kind), hint=_hint(error, url))


def _hint(error: UpstreamError, url: str) -> str:
    if error.kind is Kind.CONNECT:
        is_near = url.partition("://")[2].startswith(_NEAR)
        return _HINTS[error.kind] + (_IN_A_CONTAINER if is_near else "")
    if error.code is Code.TIMED_OUT:
        return _LATE
    if error.code is Code.UNREACHABLE and error.kind is Kind.ANSWER:
        return _BUSY
    return _HINTS[error.kind]
