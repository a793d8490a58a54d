"""Why a message is refused before anything is asked of it: a closed list, and one exception."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

import orjson

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022


class Answer(NamedTuple):
    """What a refused client is told: a JSON-RPC code, an HTTP status and one sentence."""

    code: int
    status: int
    public: str


class Fault(Enum):
    """Everything that can be wrong with a message. The name is stable and safe as a label."""

    TOO_LARGE = Answer(INVALID_REQUEST, 413, "The message is too large; send a smaller one.")
    NOT_JSON = Answer(PARSE_ERROR, 400, "The body is not JSON in UTF-8; send one JSON object.")
    DUPLICATE_KEY = Answer(
        PARSE_ERROR, 400, "An object in the body names a member twice; name each member once."
    )
    BAD_NUMBER = Answer(
        PARSE_ERROR, 400, "A number in the body is not finite or not 64-bit; send it as a string."
    )
    BAD_TEXT = Answer(
        PARSE_ERROR, 400, "A string in the body holds half a surrogate pair; send whole characters."
    )
    TOO_DEEP = Answer(
        PARSE_ERROR, 400, "The body is nested more than 64 levels deep; send a flatter one."
    )
    BATCH = Answer(
        INVALID_REQUEST, 400, "Batches are not accepted; send each message in a request of its own."
    )
    NOT_A_MESSAGE = Answer(
        INVALID_REQUEST, 400, "The body is not one JSON-RPC 2.0 message; send a request."
    )
    BAD_ID = Answer(
        INVALID_REQUEST,
        400,
        "The id is not a string of 1 to 256 bytes or an integer below 2^53; send such an id.",
    )
    UNASKED_RESPONSE = Answer(
        INVALID_REQUEST, 400, "A response is not accepted here; send a request or a notification."
    )
    LOOKALIKE_KEY = Answer(
        INVALID_PARAMS,
        400,
        "A member's name differs from a protocol name only in case, form or NUL; spell it exactly.",
    )
    BAD_PARAMS = Answer(
        INVALID_PARAMS, 400, "The params are missing or not an object; send an object."
    )
    BAD_SUBJECT = Answer(
        INVALID_PARAMS,
        400,
        "The params lack the member that this method is about; see the method's schema.",
    )
    BAD_ARGUMENTS = Answer(
        INVALID_PARAMS, 400, "The arguments are not an object; send an object or leave them out."
    )
    BAD_ENVELOPE = Answer(
        INVALID_PARAMS,
        400,
        "params._meta must carry the protocol version and the client capabilities; add both.",
    )
    NEEDS_ID = Answer(INVALID_REQUEST, 400, "This method is a request; send it with an id.")
    TAKES_NO_ID = Answer(
        INVALID_REQUEST, 400, "This method is a notification; send it without an id."
    )
    UNKNOWN_METHOD = Answer(
        METHOD_NOT_FOUND, 404, "The method is not known here; see the method table of the version."
    )
    MEDIA_TYPE = Answer(
        INVALID_REQUEST, 415, "Send exactly one Content-Type, application/json in UTF-8."
    )
    CONTENT_ENCODING = Answer(
        INVALID_REQUEST, 415, "A compressed body is not accepted; send it as it is."
    )
    NOT_ACCEPTABLE = Answer(
        INVALID_REQUEST,
        406,
        "Accept must allow the answer: application/json and text/event-stream for a POST, "
        "text/event-stream for a GET.",
    )
    DUPLICATE_HEADER = Answer(
        HEADER_MISMATCH, 400, "A header that routes the message came twice; send it once."
    )
    BAD_HEADER = Answer(
        HEADER_MISMATCH, 400, "An MCP header is malformed; send visible ASCII or the base64 form."
    )
    HEADER_MISMATCH = Answer(
        HEADER_MISMATCH,
        400,
        "An MCP header is missing or disagrees with the body; send both alike.",
    )
    UNSUPPORTED_VERSION = Answer(
        UNSUPPORTED_VERSION,
        400,
        "The protocol version is not supported; use one of data.supported.",
    )
    MISSING_CAPABILITY = Answer(
        MISSING_CAPABILITY,
        400,
        "The method is for clients that declare a capability; see data.requiredCapabilities.",
    )
    NO_VERSION = Answer(
        INVALID_REQUEST,
        400,
        "No protocol version was negotiated; send initialize first, or MCP-Protocol-Version.",
    )


class WireError(Exception):
    """A message that is not acceptable, refused before any question was asked.

    `fault` is the reason, `id` the request's id where a valid one was read, `data` what the client
    is told beside the sentence, `detail` what only an operator may see. `status` is the HTTP
    status: that of the fault, except that a legacy client hears of an unknown method with 200.
    """

    def __init__(
        self,
        fault: Fault,
        *,
        id: str | int | None = None,  # noqa: A002 - the protocol's own word
        data: dict[str, Any] | None = None,
        status: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(fault.name.lower())
        self.fault = fault
        self.id = id
        self.data = data
        self.status = fault.value.status if status is None else status
        self.detail = detail

    @property
    def code(self) -> int:
        return self.fault.value.code

    @property
    def public(self) -> str:
        return self.fault.value.public

    def encode(self) -> bytes:
        """Return the body of the answer: a JSON-RPC error with the id, or null if none was read."""
        error: dict[str, Any] = {"code": self.code, "message": self.public}
        if self.data is not None:
            error["data"] = self.data
        return orjson.dumps({"jsonrpc": "2.0", "id": self.id, "error": error})
