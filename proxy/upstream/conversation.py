"""Asking an upstream on the gateway's own account, in the era that it speaks.

Nothing here serves a principal: no capability is declared, nothing the upstream asks is answered,
and a legacy session lasts no longer than its conversation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from itertools import count
from typing import Any, Final

from proxy.upstream.answers import Answer
from proxy.upstream.failures import Code, Kind, UpstreamError, hostile, timed_out
from proxy.upstream.http import Pool
from proxy.upstream.replies import Replies
from proxy.wire.headers import CAPABILITIES_KEY, VERSION_KEY, outgoing
from proxy.wire.jsonrpc import Notification, Params, Request, Response
from proxy.wire.methods import LEGACY_VERSIONS, MODERN_VERSIONS, VERSIONS
from proxy.wire.refusals import HEADER_MISMATCH, UNSUPPORTED_VERSION

METHOD_NOT_FOUND: Final = -32601

_MODERN_REFUSALS: Final = frozenset({HEADER_MISMATCH, -32021})  # a capability of ours is missing
_NOT_ADMITTED: Final = frozenset({401, 403, 407})
_NOT_NOW: Final = frozenset({408, 429})
# Some servers offer a thing only to clients that can do their part in it. What they ask for in a
# conversation is passed over: here it is all about what there is.
_EVERYTHING: Final[Mapping[str, Any]] = {
    "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
    "roots": {},
    "tasks": {
        "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}},
    },
}
_MODERN_EVERYTHING: Final[Mapping[str, Any]] = {
    "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
    "roots": {},
    "extensions": {"io.modelcontextprotocol/tasks": {}},
}

CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
_SESSION: Final = b"mcp-session-id"

_MAX_READ: Final = 8 * 1024 * 1024
"""Bytes of one conversation. Nothing else is done while they are decoded."""

_MAX_DETAIL: Final = 512
_GOODBYE_SECONDS: Final = 2.0

Credential = Sequence[tuple[bytes, bytes]]


class RefusedRequestError(Exception):
    """An upstream answered a request of the gateway's own with a JSON-RPC error.

    `rpc_code` is the upstream's; `detail` is for logs alone.
    """

    code = "upstream_refused"
    public = (
        "The server behind the gateway refused a request; ask your administrator to look at it."
    )

    def __init__(self, method: str, error: Mapping[str, Any]) -> None:
        self.method = method
        self.rpc_code: int = error["code"]
        self.detail: str = error["message"][:_MAX_DETAIL]
        super().__init__(f"{method} was refused with {self.rpc_code}: {self.detail}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """An upstream that can be asked.

    `versions` are ours among those that it says it speaks, oldest first: of a legacy upstream the
    one that was agreed on, and a modern one that speaks legacy versions too need not name them.
    `capabilities` are as it declared them.
    """

    versions: tuple[str, ...]
    capabilities: Mapping[str, Any]
    _line: Line

    async def ask(self, method: str, params: Params | None = None) -> dict[str, Any]:
        """Return the result of *method*, which may be asked twice and so must change nothing.

        Raises `UpstreamError`, or `RefusedRequestError` if the upstream answers with an error.
        """
        return _result(method, await self._line.ask(method, params))


@asynccontextmanager
async def converse(
    pool: Pool, credential: Credential, *, deadline: float
) -> AsyncIterator[Conversation]:
    """Converse with an upstream, for at most *deadline* seconds, and hang up.

    *credential* is sent as headers with every request. Raises `UpstreamError`, of kind `MALFORMED`
    if no version is spoken by both, or `RefusedRequestError`. Ending a legacy session may take two
    seconds more, and its failure is nobody's concern.
    """
    line = Line(pool, credential, asyncio.get_running_loop().time() + deadline)
    try:
        yield await _discover(line) or await _initialize(line)
    finally:
        await line.end()


class Line:
    """The requests of one conversation. `version` is None until one is agreed on."""

    def __init__(self, pool: Pool, credential: Credential, until: float) -> None:
        self.version: str | None = None
        self._pool = pool
        self._credential = tuple(credential)
        self._until = until
        self._replies = Replies(_MAX_READ)
        self._ids = count(1)
        self._session: bytes | None = None

    async def ask(self, method: str, params: Params | None = None) -> Response:
        if self.version in MODERN_VERSIONS:
            params = {**(params or {}), "_meta": _envelope(self.version)}
        request = Request(next(self._ids), method, params)
        is_repeatable = self.version is not None  # a second `initialize` is a second session
        answer = await self._send(request, repeatable=is_repeatable)
        if self.version is None:
            self._session = answer.headers.get(_SESSION)
        try:
            async with asyncio.timeout_at(self._until):
                response = await self._replies.read(answer, request.id)
        except TimeoutError:
            raise timed_out(Kind.STREAM, "no response in time") from None
        if response.result is not None and not _is_success(answer):
            raise hostile(Kind.MALFORMED, f"a result with status {answer.status}")
        return response

    async def tell(self, method: str) -> None:
        answer = await self._send(Notification(method), repeatable=False)
        if answer.stream is not None:
            answer.stream.close()
        if not _is_success(answer):
            raise hostile(Kind.MALFORMED, f"status {answer.status} to {method}")

    async def end(self) -> None:
        """End the session, if there is one, whatever the upstream makes of it."""
        if self._session is None:
            return
        headers = [*self._own_headers(), *self._credential]
        if self.version is not None:
            headers.append((b"MCP-Protocol-Version", self.version.encode()))
        with suppress(UpstreamError):
            answer = await self._pool.delete(headers, deadline=_GOODBYE_SECONDS)
            if answer.stream is not None:
                answer.stream.close()

    async def _send(self, message: Request | Notification, *, repeatable: bool) -> Answer:
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0:
            raise timed_out(Kind.CONNECT, "the conversation took too long")
        written = outgoing(message, self.version)
        headers = [(name.encode(), value.encode()) for name, value in written]
        headers += [*self._own_headers(), *self._credential]
        body = message.encode()
        answer = await self._pool.post(headers, body, deadline=left, repeatable=repeatable)
        _check_status(answer.status)
        return answer

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        return [] if self._session is None else [(b"Mcp-Session-Id", self._session)]


# Which era: the procedure of 2026-07-28, "Backward compatibility".


async def _discover(line: Line) -> Conversation | None:
    """Return a modern conversation, or None for an upstream that may be a legacy one."""
    line.version = MODERN_VERSIONS[-1]
    try:
        response = await line.ask("server/discover")
    except UpstreamError as error:
        if error.kind is not Kind.MALFORMED:
            raise
        return None
    supported = _supported(response)
    if supported is None:
        return None
    versions = tuple(each for each in VERSIONS if each in supported)
    if response.error is None and line.version in versions:
        return Conversation(versions, _capabilities(_result("server/discover", response)), line)
    if not any(each in versions for each in LEGACY_VERSIONS):
        raise _no_common_version()
    return None


async def _initialize(line: Line) -> Conversation:
    line.version = None
    asked = {
        "protocolVersion": LEGACY_VERSIONS[-1],
        "capabilities": _EVERYTHING,
        "clientInfo": client_info(),
    }
    result = _result("initialize", await line.ask("initialize", asked))
    agreed = result.get("protocolVersion")
    if agreed not in LEGACY_VERSIONS:
        raise _no_common_version()
    line.version = agreed
    await line.tell("notifications/initialized")
    return Conversation((agreed,), _capabilities(result), line)


def _supported(response: Response) -> list[Any] | None:
    """Return the versions in a modern answer to `server/discover`, or None if it is not one.

    Raises `RefusedRequestError` for the refusals that only a modern upstream gives.
    """
    error = response.error
    if error is None:
        said = (response.result or {}).get("supportedVersions")
    elif error["code"] == UNSUPPORTED_VERSION:
        data = error.get("data")
        said = data.get("supported") if isinstance(data, dict) else None
    elif error["code"] in _MODERN_REFUSALS:
        raise RefusedRequestError("server/discover", error)
    else:
        return None
    return said if isinstance(said, list) else None


def _result(method: str, response: Response) -> dict[str, Any]:
    if response.error is not None:
        raise RefusedRequestError(method, response.error)
    result = response.result or {}
    if result.get("resultType", "complete") != "complete":
        raise hostile(Kind.MALFORMED, f"{method} gave no complete result")
    return result


def _capabilities(result: Mapping[str, Any]) -> Mapping[str, Any]:
    capabilities = result.get("capabilities")
    if not isinstance(capabilities, dict):
        raise hostile(Kind.MALFORMED, "no capabilities")
    return capabilities


def _check_status(status: int) -> None:
    """Raise `UpstreamError` for a status that says nothing of the era, whatever its body is."""
    if status in _NOT_ADMITTED:
        raise hostile(Kind.ANSWER, f"status {status}")
    if status in _NOT_NOW or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UpstreamError(Code.UNREACHABLE, Kind.ANSWER, f"status {status}", sent=True)


def _is_success(answer: Answer) -> bool:
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES


def _no_common_version() -> UpstreamError:
    return hostile(Kind.MALFORMED, "no protocol version in common")


def _envelope(version: str | None) -> dict[str, Any]:
    return {VERSION_KEY: version, CAPABILITIES_KEY: _MODERN_EVERYTHING, CLIENT_KEY: client_info()}


@cache
def client_info() -> Mapping[str, str]:
    """Return who the gateway is, where it is a client itself."""
    return {"name": "northgate", "version": version("northgate")}
