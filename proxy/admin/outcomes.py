"""What comes of a call that was made for a caller of the control plane, and how it can fail."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from policies.model import Decision, Reason, Verdict
from proxy.admin.errors import (
    UNPROCESSABLE,
    ApiError,
    InvalidError,
    NotAllowedError,
    NotRecordedError,
    TooFastError,
    UndecidedError,
)
from proxy.calling import Decided, Outcome
from proxy.errors import DENIED, RESOURCE_NOT_FOUND
from proxy.question import CONNECT
from proxy.relay import VISIT_FIRST
from proxy.upstream.failures import Kind, timed_out
from proxy.wire.refusals import INVALID_PARAMS, MISSING_CAPABILITY

_TOO_MANY: Final = 429
_TOO_LATE: Final = 504
_RPC_TOO_LATE: Final = timed_out(Kind.ANSWER, "").rpc_code
_SAID: Final = MappingProxyType({"rpc_code": {"type": "integer"}, "message": {"type": "string"}})

_UNREAD: Final = frozenset({Reason.MALFORMED, Reason.UNKNOWN_METHOD})
# With these an upstream, or the gateway in its place, says that a client would have to do more.
_WANTS_CLIENT: Final = frozenset({DENIED, MISSING_CAPABILITY, VISIT_FIRST})
_NOT_THERE: Final = frozenset({RESOURCE_NOT_FOUND, INVALID_PARAMS})
# What is said of the way a result came, and nothing of what it holds.
_OF_THE_WAY: Final = frozenset({"resultType", "cacheScope", "ttlMs"})


class MisnamedError(ApiError):
    status = 400
    code = "misnamed"
    public = (
        "The name does not say on which server; write server__name for a tool or a prompt, and "
        "server|uri for a resource."
    )


class UnknownToolError(ApiError):
    status = 404
    code = "unknown-tool"
    public = "There is no such tool for you; list the tools to find yours."


class UnknownPromptError(ApiError):
    status = 404
    code = "unknown-prompt"
    public = "There is no such prompt for you; list the prompts to find yours."


class UnknownResourceError(ApiError):
    status = 404
    code = "unknown-resource"
    public = "There is no such resource for you; list the resources to find yours."


class ServerRefusesError(ApiError):
    """The server does not take what was sent: `rpc_code` and `message` are its own."""

    status = UNPROCESSABLE
    code = "refused-by-server"
    public = "The server does not take this; correct what its message says, and send it again."
    members = _SAID


class NeedsClientError(ApiError):
    status = UNPROCESSABLE
    code = "needs-client"
    public = (
        "The server asks for more before it goes on, and nobody can answer it here; do this with "
        "an MCP client."
    )


class ServerFailsError(ApiError):
    """The server says itself that it failed: `rpc_code` and `message` are its own."""

    status = 502
    code = "failed-at-server"
    public = "The server answered with an error; its message may say what to do."
    members = _SAID


class NoAnswerError(ApiError):
    status = 502
    code = "no-answer"
    public = (
        "The server could not be reached, or gave no answer that can be passed on; what was asked "
        "may have been done. Try again later, or have an administrator look at the server."
    )


class LateAnswerError(ApiError):
    status = _TOO_LATE
    code = "late-answer"
    public = "The server did not answer in time; what was asked may have been done all the same."


FAILURES: Final = (
    MisnamedError,
    NotAllowedError,
    ServerRefusesError,
    NeedsClientError,
    ServerFailsError,
    NoAnswerError,
    LateAnswerError,
    UndecidedError,
)
"""How a call can fail, beside for what it calls being unknown."""


def result_of(outcome: Outcome, unknown: type[ApiError]) -> dict[str, Any]:
    """Return the result of a call, as the server gave it. Raises `ApiError`.

    *unknown* is for what is not there, or hidden from the caller, which look alike.
    """
    if not outcome.is_allowed:
        raise _not_made(outcome, unknown)
    result = outcome.result
    if result is None:
        raise _failed(outcome, unknown)
    if result.get("resultType", "complete") != "complete":
        raise NeedsClientError
    return {name: value for name, value in result.items() if name not in _OF_THE_WAY}


def _not_made(outcome: Outcome, unknown: type[ApiError]) -> ApiError:
    """Return why nothing was called. What the record says counts, and no code of an answer."""
    decided = outcome.decided
    if decided is None:
        return _too_fast() if outcome.status == _TOO_MANY else NotRecordedError()
    decision = decided.judgement.decision
    if decision.verdict is Verdict.UNDECIDED:
        return UndecidedError(decision_id=decided.id)
    if decision.reason is Reason.RATE_LIMITED:
        return _too_fast()
    if decision.reason in _UNREAD:
        problem = str(outcome.error.get("message", ""))
        return InvalidError(problems=[{"field": "arguments", "problem": problem}])
    return _denied(decided, decision, unknown)


def _denied(decided: Decided, decision: Decision, unknown: type[ApiError]) -> ApiError:
    action = decided.judgement.question.action
    if decision.reason is Reason.NOT_VISIBLE or action == CONNECT:
        return unknown()
    return NotAllowedError(action=action, reason=decision.reason.value, decision_id=decided.id)


def _failed(outcome: Outcome, unknown: type[ApiError]) -> ApiError:
    """Return what became of a call that was allowed, and so may have been made."""
    error = outcome.error
    code = error.get("code")
    if outcome.status == _TOO_LATE or code == _RPC_TOO_LATE:
        return LateAnswerError()
    if code in _WANTS_CLIENT:
        return NeedsClientError()
    if code in _NOT_THERE and unknown is UnknownResourceError:
        return unknown()
    if not isinstance(code, int) or code > 0:  # those that the gateway gives itself
        return NoAnswerError()
    kind = ServerRefusesError if code == INVALID_PARAMS else ServerFailsError
    return kind(rpc_code=code, message=str(error.get("message", "")))


def _too_fast() -> ApiError:
    return TooFastError(((b"Retry-After", b"1"),))
