"""Strict JSON-RPC: bytes to one frozen message, and back.

Two programs may read the same bytes differently: duplicate keys, NaN, huge numbers, lone
surrogates, byte order marks (RFC 8259 leaves each of them open). What this module accepts has one
meaning, and `encode` writes that meaning anew, so what is sent cannot differ from what was judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import orjson

from proxy.wire.lookalikes import ERROR, PARAMS, RESULT, lookalike
from proxy.wire.refusals import Fault, WireError

MAX_BODY: Final = 1024 * 1024
"""Bytes of one message."""

MAX_DEPTH: Final = 64
"""Objects and arrays inside each other, the message itself counted."""

MAX_ID_BYTES: Final = 256
MAX_ID_NUMBER: Final = 2**53 - 1
MAX_METHOD: Final = 128

Id = str | int
Params = dict[str, Any]

_ASKING: Final = frozenset({"jsonrpc", "id", "method", "params"})
_ANSWERING: Final = frozenset({"jsonrpc", "id", "result", "error"})
_MAX_DIGITS: Final = 20  # of a 64-bit integer with its sign

_UNCLEAR: Final = object()
_EXACT: Final = orjson.OPT_STRICT_INTEGER
"""Refuses integers that some programs round, so that they are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call that expects an answer."""

    id: Id
    method: str
    params: Params | None = None

    def encode(self) -> bytes:
        """Serialise what was judged, so what is sent cannot differ from it."""
        message = {"jsonrpc": "2.0", "id": self.id, "method": self.method}
        if self.params is not None:
            return orjson.dumps(message | {"params": self.params})
        return orjson.dumps(message)

    def with_params(self, params: Params) -> Request:
        return Request(self.id, self.method, params)

    def with_id(self, id: Id) -> Request:  # noqa: A002 - the protocol's own word
        return Request(id, self.method, self.params)


@dataclass(frozen=True, slots=True)
class Notification:
    """One message that expects no answer."""

    method: str
    params: Params | None = None

    @property
    def id(self) -> None:
        return None

    def with_params(self, params: Params) -> Notification:
        return Notification(self.method, params)

    def encode(self) -> bytes:
        """Serialise what was judged, so what is sent cannot differ from it."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": self.method}
        if self.params is not None:
            message["params"] = self.params
        return orjson.dumps(message)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: `result` or `error`, never both.

    `id` is `None` only for an error of a server that read no id.
    """

    id: Id | None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    def encode(self) -> bytes:
        """Serialise what was judged, so what is sent cannot differ from it."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": self.id}
        if self.error is not None:
            message["error"] = self.error
        else:
            message["result"] = self.result
        return orjson.dumps(message)


Message = Request | Notification | Response


def decode(body: bytes, *, limit: int = MAX_BODY, responses: bool = False) -> Message:
    """Return the one message of a client in *body*, of at most *limit* bytes.

    Responses are for legacy sessions alone, where a server may ask the client something: they are
    refused unless *responses*. Raises `WireError`, with the id where a valid one was read.
    """
    members = object_of(body, limit)
    if "method" in members:
        return _question(members)
    if "result" in members or "error" in members:
        return _reply(members, lenient=False, wanted=responses)
    raise WireError(Fault.NOT_A_MESSAGE, id=_readable_id(members), detail="no method")


def decode_upstream(body: bytes, *, limit: int = MAX_BODY) -> Message:
    """Return the one message of a server in *body*: as strict, except with errors.

    JSON-RPC 2.0 section 5 has the id of an error null where the server could not read it, and
    servers leave it out. Members of an error that the section does not name are dropped. Raises
    `WireError`.
    """
    members = object_of(body, limit)
    if "method" in members:
        return _question(members)
    return _reply(members, lenient=True, wanted=True)


def object_of(body: bytes, limit: int) -> dict[str, Any]:
    """Return the one JSON object in *body*, which has one meaning. Raises `WireError`."""
    if len(body) > limit:
        raise WireError(Fault.TOO_LARGE, detail=f"{len(body)} bytes")
    value = _value(body)
    if type(value) is list:
        raise WireError(Fault.BATCH)
    if type(value) is not dict:
        raise WireError(Fault.NOT_A_MESSAGE, detail=type(value).__name__)
    return value


def _value(body: bytes) -> object:
    value = _canonical(body)
    return _strict(body) if value is _UNCLEAR else _checked_depth(body, value)


def _canonical(body: bytes) -> object:
    """Return what *body* means, if writing that anew gives the same bytes; else `_UNCLEAR`.

    Then nothing can be in it that has two meanings, because one of them would have been lost. It is
    what most programs write, and takes a fraction of the time of looking at every key and number.
    """
    try:
        value: object = orjson.loads(body)
        return value if orjson.dumps(value, option=_EXACT) == body else _UNCLEAR
    except (ValueError, TypeError):
        return _UNCLEAR


def _strict(body: bytes) -> object:
    try:
        text = body.decode()
        value: object = _JSON.decode(text)
    except RecursionError:
        raise WireError(Fault.TOO_DEEP) from None
    except ValueError as error:
        raise WireError(Fault.NOT_JSON, detail=str(error)) from None
    _checked_depth(body, value)
    # Only an escape can name a surrogate, since UTF-8 has none (RFC 3629 section 3).
    if "\\u" in text and not _is_text(value):
        raise WireError(Fault.BAD_TEXT)
    return value


def _checked_depth(body: bytes, value: object) -> object:
    # There are no more levels than brackets that open one, which is quick to count.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_too_deep(value):
        raise WireError(Fault.TOO_DEEP)
    return value


def _is_too_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _is_text(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise WireError(Fault.DUPLICATE_KEY)
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or not -(2**63) <= (number := int(digits)) < 2**63:
        raise WireError(Fault.BAD_NUMBER)
    return number


def _finite(digits: str) -> float:
    if not isfinite(number := float(digits)):
        raise WireError(Fault.BAD_NUMBER)
    return number


def _constant(name: str) -> float:
    raise WireError(Fault.BAD_NUMBER, detail=name)


_JSON: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_constant
)


def _question(members: dict[str, Any]) -> Request | Notification:
    id_ = _readable_id(members)
    if not _ASKING.issuperset(members) or members.get("jsonrpc") != "2.0":
        raise WireError(Fault.NOT_A_MESSAGE, id=id_, detail="members")
    if id_ is None and "id" in members:
        raise WireError(Fault.BAD_ID)
    method = members["method"]
    if type(method) is not str or not 0 < len(method) <= MAX_METHOD:
        raise WireError(Fault.NOT_A_MESSAGE, id=id_, detail="method")
    params = members.get("params")
    if params is not None or "params" in members:
        if type(params) is not dict:
            raise WireError(Fault.BAD_PARAMS, id=id_)
        if (key := lookalike(params, PARAMS)) is not None:
            raise WireError(Fault.LOOKALIKE_KEY, id=id_, detail=repr(key[:64]))
    return Notification(method, params) if id_ is None else Request(id_, method, params)


def _reply(members: dict[str, Any], *, lenient: bool, wanted: bool) -> Response:
    id_ = _readable_id(members)
    kinds = ("result" in members) + ("error" in members)
    if not _ANSWERING.issuperset(members) or members.get("jsonrpc") != "2.0" or kinds != 1:
        raise WireError(Fault.NOT_A_MESSAGE, id=id_, detail="members")
    if not wanted:
        raise WireError(Fault.UNASKED_RESPONSE, id=id_)
    is_nameless = lenient and "error" in members and members.get("id") is None
    if id_ is None and not is_nameless:
        raise WireError(Fault.BAD_ID)
    if "result" in members:
        return Response(id_, result=_checked(members["result"], id_))
    return Response(id_, error=_checked_error(members["error"], id_, lenient=lenient))


def _checked(result: object, id_: Id | None) -> dict[str, Any]:
    if type(result) is not dict:
        raise WireError(Fault.NOT_A_MESSAGE, id=id_, detail="result")
    if (key := lookalike(result, RESULT)) is not None:
        raise WireError(Fault.LOOKALIKE_KEY, id=id_, detail=repr(key[:64]))
    return result


def _checked_error(error: object, id_: Id | None, *, lenient: bool) -> dict[str, Any]:
    if (
        type(error) is not dict
        or type(error.get("code")) is not int
        or type(error.get("message")) is not str
    ):
        raise WireError(Fault.NOT_A_MESSAGE, id=id_, detail="error")
    if (key := lookalike(error, ERROR)) is not None:
        raise WireError(Fault.LOOKALIKE_KEY, id=id_, detail=repr(key[:64]))
    if error.keys() <= ERROR.names:
        return error
    if not lenient:
        raise WireError(Fault.NOT_A_MESSAGE, id=id_, detail="members of error")
    return {key: value for key, value in error.items() if key in ERROR.names}


def _readable_id(members: Mapping[str, Any]) -> Id | None:
    """Return the id, or `None` if there is none that is valid. True is no integer here."""
    id_ = members.get("id")
    if type(id_) is int:
        return id_ if -MAX_ID_NUMBER <= id_ <= MAX_ID_NUMBER else None
    if type(id_) is str:
        return id_ if 0 < len(id_) <= MAX_ID_BYTES and len(id_.encode()) <= MAX_ID_BYTES else None
    return None
