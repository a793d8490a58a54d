"""What the headers of a message must say, that they agree with its body, and what we send on.

The body is the authority and the headers are a check on it (2026-07-28, Streamable HTTP, "Server
validation"). Nothing a client wrote in a header is copied: `outgoing` writes every header anew.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from proxy.wire.jsonrpc import Message, Notification, Request, Response
from proxy.wire.methods import (
    LEGACY_VERSIONS,
    MODERN_VERSIONS,
    Judgment,
    Method,
    classify,
)
from proxy.wire.refusals import Fault, WireError

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"

MAX_HEADER: Final = 8 * 1024
"""Characters of one MCP header."""

_VERSION: Final = "mcp-protocol-version"
_METHOD: Final = "mcp-method"
_NAME: Final = "mcp-name"
_SESSION: Final = "mcp-session-id"
_RESUME: Final = "last-event-id"
_PARAM: Final = "mcp-param-"

_ONCE: Final = frozenset({_VERSION, _METHOD, _NAME, _SESSION, _RESUME})

_READ: Final = _ONCE | {"content-type", "content-encoding", "accept"}

# What `Mcp-Name` repeats, and only there: the member that the row of the method is about.
_NAMED: Final = frozenset(
    {Judgment.CALL_TOOL, Judgment.GET_PROMPT, Judgment.READ_DOCUMENT, Judgment.TASK}
)

# ASCII, because Python ignores case beyond it: `application/j\u017fon` would match.
_JSON_TYPE: Final = re.compile(
    r"application/json(?:[ \t]*;[ \t]*charset=(?:utf-8|\"utf-8\"))?", re.IGNORECASE | re.ASCII
)
_VISIBLE: Final = re.compile(r"[\x20-\x7e]*")
_HANDLE: Final = re.compile(r"[\x21-\x7e]+")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")
_NO_WEIGHT: Final = re.compile(r"q=0(?:\.0{0,3})?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Routing:
    """The MCP headers of one HTTP request, each at most once, trimmed, and of visible ASCII.

    `name` and `params` are decoded from their base64 form; the names of `params` are in lower case,
    without `Mcp-Param-`.
    """

    version: str | None = None
    method: str | None = None
    name: str | None = None
    session: str | None = None
    last_event: str | None = None
    params: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Judged:
    """What a message is: its version, and its row of the method table (`None` for a response)."""

    version: str
    method: Method | None

    @property
    def is_modern(self) -> bool:
        return self.version in MODERN_VERSIONS


def check_post(headers: Iterable[tuple[str, str]]) -> Routing:
    """Return the routing headers of a POST, before its body is read.

    *headers* are the lines as they came: a mapping hides duplicates. Raises `WireError`: 415 unless
    the body is declared JSON in UTF-8 and uncompressed, 406 unless both kinds of answer are
    accepted, 400 if a routing header is malformed or comes twice.
    """
    return _checked_post(tuple(_ours(headers)))


@lru_cache(maxsize=256)
def _checked_post(lines: tuple[tuple[str, str], ...]) -> Routing:
    # Clients send the same lines again and again; what they mean is in the lines alone.
    types = [value for name, value in lines if name == "content-type"]
    if len(types) != 1 or _JSON_TYPE.fullmatch(types[0]) is None:
        raise WireError(Fault.MEDIA_TYPE)
    encodings = [value for name, value in lines if name == "content-encoding"]
    if encodings and [value.lower() for value in encodings] != ["identity"]:
        raise WireError(Fault.CONTENT_ENCODING)
    if not _accepts(lines, "application/json", "text/event-stream"):
        raise WireError(Fault.NOT_ACCEPTABLE)
    return _routing(lines)


def check_stream(headers: Iterable[tuple[str, str]]) -> Routing:
    """Return the routing headers of a GET, which asks for an event stream. Raises `WireError`."""
    lines = _ours(headers)
    if not _accepts(lines, "text/event-stream"):
        raise WireError(Fault.NOT_ACCEPTABLE)
    return _routing(lines)


def check_delete(headers: Iterable[tuple[str, str]]) -> Routing:
    """Return the routing headers of a DELETE, which has neither body nor answer."""
    return _routing(_ours(headers))


def agree(
    routing: Routing,
    message: Message,
    *,
    negotiated: str | None = None,
    supported: Sequence[str] = MODERN_VERSIONS,
) -> Judged:
    """Return version and method of a client's message whose headers and body say the same.

    The era is that of the version header; a message without one is legacy. In a legacy session the
    version is *negotiated*, which the caller read from the session, and the header need only be a
    legacy one. *supported* is what a client is told if its version is unknown: it must not claim
    more than `server/discover` answers. Raises `WireError`.
    """
    id_ = message.id
    version = routing.version
    if version is not None and version not in LEGACY_VERSIONS and version not in MODERN_VERSIONS:
        data = {"supported": list(supported), "requested": version}
        raise WireError(Fault.UNSUPPORTED_VERSION, id=id_, data=data)
    if version in MODERN_VERSIONS:
        return _agree_modern(routing, message, version)
    return _agree_legacy(routing, message, negotiated or version)


def legacy_version(routing: Routing, *, negotiated: str | None, supported: Sequence[str]) -> str:
    """Return the version of a GET or DELETE, which only legacy versions have.

    As in `agree`, that of the session counts, if there is one. Raises `WireError`.
    """
    version = routing.version
    if version is not None and version not in LEGACY_VERSIONS:
        data = {"supported": list(supported), "requested": version}
        raise WireError(Fault.UNSUPPORTED_VERSION, data=data)
    if negotiated is None and version is None:
        raise WireError(Fault.NO_VERSION)
    return negotiated or version or ""


def _agree_modern(routing: Routing, message: Message, version: str) -> Judged:
    if isinstance(message, Response):
        raise WireError(Fault.UNASKED_RESPONSE, id=message.id)
    row = classify(message, version)
    if isinstance(message, Notification):
        _check_notification(routing, message, version)
        return Judged(version, row)
    meta = _meta(message)
    if not isinstance(meta, dict) or not {VERSION_KEY, CAPABILITIES_KEY} <= meta.keys():
        raise WireError(Fault.BAD_ENVELOPE, id=message.id)
    if meta[VERSION_KEY] != version or routing.method != message.method:
        raise WireError(Fault.HEADER_MISMATCH, id=message.id)
    if row.judgment in _NAMED and routing.name != _named(message, row):
        raise WireError(Fault.HEADER_MISMATCH, id=message.id)
    if type(meta[CAPABILITIES_KEY]) is not dict:
        raise WireError(Fault.BAD_ENVELOPE, id=message.id)
    return Judged(version, row)


def _check_notification(routing: Routing, message: Notification, version: str) -> None:
    # The envelope and the mirrored headers are duties of requests; what is there must still agree.
    meta = _meta(message)
    claimed = meta.get(VERSION_KEY, version) if isinstance(meta, dict) else version
    if claimed != version or routing.method not in (None, message.method):
        raise WireError(Fault.HEADER_MISMATCH)


def _agree_legacy(routing: Routing, message: Message, version: str | None) -> Judged:
    id_ = message.id
    if isinstance(message, Response):
        if version is None:
            raise WireError(Fault.NO_VERSION, id=id_)
        return Judged(version, None)
    meta = _meta(message)
    if isinstance(meta, dict) and VERSION_KEY in meta:
        raise WireError(Fault.HEADER_MISMATCH, id=id_)
    if version is None and message.method == "initialize":
        version = LEGACY_VERSIONS[-1]
    if version is None:
        raise WireError(Fault.NO_VERSION, id=id_)
    row = classify(message, version)
    # Not required before 2026-07-28, but somebody in front of us may have believed them.
    if routing.method not in (None, message.method):
        raise WireError(Fault.HEADER_MISMATCH, id=id_)
    if row.judgment in _NAMED and routing.name not in (None, _named(message, row)):
        raise WireError(Fault.HEADER_MISMATCH, id=id_)
    return Judged(version, row)


def outgoing(
    message: Message, version: str | None, mirrored: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Return the headers of the POST that carries *message* upstream in *version*, all ours.

    *version* is `None` for an `initialize`, which negotiates it. *mirrored* are decoded values for
    `Mcp-Param-*`, from `parameters.expected`. `Mcp-Session-Id` and credentials are the caller's.
    """
    headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
    ]
    if version is not None:
        headers.append(("MCP-Protocol-Version", version))
    if version not in MODERN_VERSIONS or not isinstance(message, Request):
        return headers
    row = classify(message, version)
    headers.append(("Mcp-Method", row.name))
    if row.judgment in _NAMED:
        headers.append(("Mcp-Name", encode_value(_named(message, row))))
    for token, value in (mirrored or {}).items():
        if _TOKEN.fullmatch(token) is None:
            raise ValueError("An Mcp-Param- header needs a name that is an RFC 9110 token.")
        headers.append((f"Mcp-Param-{token}", encode_value(value)))
    return headers


def encode_value(value: str) -> str:
    """Return *value* as header text: itself if that is safe, else its base64 form."""
    is_plain = _VISIBLE.fullmatch(value) is not None and value == value.strip(" ")
    if is_plain and _ENCODED.fullmatch(value) is None:
        return value
    return f"=?base64?{b64encode(value.encode()).decode()}?="


def decode_value(value: str) -> str | None:
    """Return what *value* stands for, or `None` if its base64 form is broken or not canonical."""
    found = _ENCODED.fullmatch(value)
    if found is None:
        return value
    try:
        raw = b64decode(found[1], validate=True)
        # Stray bits in the last letter would give one value two spellings.
        return raw.decode() if b64encode(raw).decode() == found[1] else None
    except ValueError:
        return None


def _routing(lines: Sequence[tuple[str, str]]) -> Routing:
    found: dict[str, str] = {}
    for name, value in lines:
        if name not in _ONCE and not name.startswith(_PARAM):
            continue
        if name in found:
            raise WireError(Fault.DUPLICATE_HEADER, detail=name[:64])
        if len(value) > MAX_HEADER or _VISIBLE.fullmatch(value) is None:
            raise WireError(Fault.BAD_HEADER, detail=name[:64])
        found[name] = value
    for name in (_VERSION, _SESSION, _RESUME):
        if name in found and _HANDLE.fullmatch(found[name]) is None:
            raise WireError(Fault.BAD_HEADER, detail=name)
    named = _decoded(found, _NAME) if _NAME in found else None
    params = {
        name.removeprefix(_PARAM): _decoded(found, name)
        for name in found
        if name.startswith(_PARAM)
    }
    if not all(map(_TOKEN.fullmatch, params)):
        raise WireError(Fault.BAD_HEADER, detail=_PARAM)
    return Routing(
        version=found.get(_VERSION),
        method=found.get(_METHOD),
        name=named,
        session=found.get(_SESSION),
        last_event=found.get(_RESUME),
        params=MappingProxyType(params),
    )


def _decoded(found: Mapping[str, str], name: str) -> str:
    value = decode_value(found[name])
    if value is None:
        raise WireError(Fault.BAD_HEADER, detail=name[:64])
    return value


def _ours(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the lines that are read here, names in lower case and values trimmed."""
    return [
        (lowered, value.strip(" \t"))
        for name, value in headers
        if (lowered := name.lower()) in _READ or lowered.startswith(_PARAM)
    ]


def _accepts(lines: Iterable[tuple[str, str]], *types: str) -> bool:
    wanted = _media_types(",".join(value for name, value in lines if name == "accept"))
    return all(
        not wanted.isdisjoint({media, f"{media.partition('/')[0]}/*", "*/*"}) for media in types
    )


@lru_cache(maxsize=256)
def _media_types(accept: str) -> frozenset[str]:
    """Return what is accepted; RFC 9110 12.5.1, weights other than 0 ignored."""
    wanted = set()
    for part in accept.split(","):
        media, *details = (piece.strip(" \t") for piece in part.split(";"))
        if not any(map(_NO_WEIGHT.fullmatch, details)):
            wanted.add(media.lower())
    return frozenset(wanted)


def _meta(message: Request | Notification) -> object:
    return None if message.params is None else message.params.get("_meta")


def _named(message: Request | Notification, row: Method) -> str:
    """Return what `Mcp-Name` repeats; `classify` has made sure that it is there and a string."""
    return str((message.params or {})[row.about or ""])
