"""Why a candidate is not tried, or does not become the policy in force."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from proxy.admin.errors import ApiError

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_PROBLEM: Final = {
    "file": _TEXT,
    "line": _NUMBER,
    "column": _NUMBER,
    "end_line": _NUMBER,
    "end_column": _NUMBER,
    "severity": _TEXT,
    "code": _TEXT,
    "message": _TEXT,
    "hint": _TEXT,
}


class CandidateRefusedError(ApiError):
    """`problems` are as `northgate policy check` tells them."""

    status = 422
    code = "candidate-refused"
    public = "The candidate is no policy that could be in force; correct its problems."
    members = MappingProxyType(
        {
            "problems": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": _PROBLEM,
                    "required": list(_PROBLEM),
                    "additionalProperties": False,
                },
            }
        }
    )


class NoShadowError(ApiError):
    status = 404
    code = "no-shadow"
    public = "No candidate is tried now; start one: northgate policy shadow start DIR."


class TrialRunningError(ApiError):
    status = 409
    code = "shadow-running"
    public = "A candidate is tried already; stop it first: northgate policy shadow stop."


class OtherCandidateError(ApiError):
    """`version` is that of the candidate that is tried."""

    status = 409
    code = "other-candidate"
    public = "Another candidate is tried now; look at it first: northgate policy shadow status."
    members = MappingProxyType({"version": _TEXT})


class TooFewComparedError(ApiError):
    """`compared` is how many were."""

    status = 409
    code = "too-few-compared"
    public = "Fewer decisions were compared than that; wait for more, or ask for fewer."
    members = MappingProxyType({"compared": _NUMBER})


class PolicyEditedError(ApiError):
    status = 409
    code = "policy-edited"
    public = (
        "The policy directory holds another policy than the one in force, so nothing was changed; "
        "correct what was edited there, or take it back."
    )


class PolicyUnwritableError(ApiError):
    """`detail` says what is in the way."""

    status = 409
    code = "policy-not-writable"
    public = (
        "The policy directory cannot be written, so nothing was changed; let the gateway write "
        "it, or deploy the candidate's files yourself."
    )
    members = MappingProxyType({"detail": _TEXT})


class NotInForceError(ApiError):
    status = 503
    code = "not-in-force"
    public = (
        "The candidate did not come into force in time, so the policy before was put back; look "
        "at the operator's log for the cause, and try again."
    )
