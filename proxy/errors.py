"""What a caller is told when the gateway does not do what was asked: one table of answers.

Codes of our own lie outside -32768 to -32000, which JSON-RPC and MCP keep for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.identity.handles import Kind
from proxy.wire.refusals import INVALID_PARAMS, INVALID_REQUEST, Fault

RESOURCE_NOT_FOUND: Final = -32002
UNAUTHORIZED: Final = 40101
NOT_FOUND: Final = 40401
DENIED: Final = 40301
TOO_FAST: Final = 42901
UNDECIDED: Final = 50301
UNRECORDED: Final = 50302


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer that is not a result: an HTTP status and a JSON-RPC error."""

    status: int
    code: int
    message: str
    data: Mapping[str, Any] | None = None
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    def encode(self, id_: str | int | None) -> bytes:
        """Return the body, with the id of the request if one was read."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return orjson.dumps({"jsonrpc": "2.0", "id": id_, "error": error})


UNKNOWN_SERVER: Final = Refusal(404, NOT_FOUND, "There is no such server for you here.")

CANNOT_DECIDE: Final = Refusal(
    503, UNDECIDED, "The call could not be judged, so it was not made; try again shortly."
)

CANNOT_RECORD: Final = Refusal(
    503, UNRECORDED, "The call could not be recorded, so it was not made; try again shortly."
)

TOKEN_OVER: Final = Refusal(
    401, UNAUTHORIZED, "The token is not good any more; get a new one, and ask again."
)

NO_STREAM: Final = Refusal(
    405,
    INVALID_REQUEST,
    "There is no stream here; send a POST.",
    headers=((b"Allow", b"POST, DELETE"),),
)

POST_ONLY: Final = Refusal(
    405,
    INVALID_REQUEST,
    "In this version of the protocol everything is a POST.",
    headers=((b"Allow", b"POST"),),
)

_CALLED: Final = {
    Kind.CURSOR: "cursor",
    Kind.STATE: "request state",
    Kind.TASK: "task",
    Kind.EVENT: "event",
}

SESSION_OVER: Final = Refusal(404, NOT_FOUND, "The session is over; send initialize again.")

CALLED_TOO_FAST: Final = Refusal(
    429, TOO_FAST, "Too many calls at once; wait a second.", headers=((b"Retry-After", b"1"),)
)


def unknown_item(kind: str, name: str) -> Refusal:
    """Return the answer for a tool or prompt that is unknown, or hidden from the caller.

    It is the sentence that servers themselves use, so that the two cannot be told apart.
    """
    return Refusal(200, INVALID_PARAMS, f"Unknown {kind}: {name}")


def unknown_document(uri: str, *, modern: bool) -> Refusal:
    """Return the answer for a resource that is unknown, or hidden from the caller."""
    code = INVALID_PARAMS if modern else RESOURCE_NOT_FOUND
    return Refusal(200, code, "Resource not found", {"uri": uri})


def unknown_handle(kind: Kind) -> Refusal:
    """Return the answer for something that is not known under what the caller says.

    It may be somebody else's: that is not told.
    """
    if kind is Kind.SESSION:
        return SESSION_OVER
    if kind is Kind.ASKED:
        return Refusal(400, INVALID_REQUEST, Fault.UNASKED_RESPONSE.value.public)
    # Whoever opens a stream has asked nothing that could be answered with 200.
    status = 400 if kind is Kind.EVENT else 200
    return Refusal(status, INVALID_PARAMS, f"Unknown {_CALLED[kind]}; begin again without it.")


def denied(reason: str, decision_id: str, support_contact: str | None) -> Refusal:
    """Return the answer for a call that is visible to the caller and was not allowed."""
    data = {"reason": reason, "decision_id": decision_id}
    if support_contact is not None:
        data["support_contact"] = support_contact
    return Refusal(200, DENIED, "The policy does not allow this call.", data)
