"""Single calls of principals who have no client at hand: made as a good client would make them.

They go the way of every call, through the pipeline, in the era of their server. No capability is
declared, and what an upstream asks all the same is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, NamedTuple

import orjson

from proxy.call import Call
from proxy.identity.principal import Principal
from proxy.judgement import Judgement
from proxy.listener.answers import Answer
from proxy.loopback import Loopback, request_on
from proxy.pipeline import Pipeline
from proxy.recording import Recording
from proxy.upstream.conversation import CLIENT_KEY, client_info
from proxy.upstream.server import Server
from proxy.wire.headers import CAPABILITIES_KEY, VERSION_KEY, outgoing
from proxy.wire.jsonrpc import Id, Message, Notification, Params, Request, Response
from proxy.wire.methods import LEGACY_VERSIONS, MODERN_VERSIONS
from proxy.wire.parameters import expected
from proxy.wire.refusals import METHOD_NOT_FOUND

GRACE_SECONDS: Final = 1.0
"""What a call gets beyond its own time, so that whoever forwards it is late first, and says so."""

GOODBYE_SECONDS: Final = 2.0
"""For the end of a session, which nobody has to wait for."""

_SESSION: Final = "Mcp-Session-Id"
_NO_CLIENT: Final = {"code": METHOD_NOT_FOUND, "message": "There is no client that could answer."}


class ClientNeededError(Exception):
    """An upstream asks something of the client, and cannot go on without."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be called: a server, a method there, and its parameters."""

    server: str
    method: str
    params: Params

    @property
    def arguments(self) -> Mapping[str, Any]:
        found = self.params.get("arguments")
        return found if type(found) is dict else {}


class Decided(NamedTuple):
    """A judgement, and the id of its record."""

    judgement: Judgement
    id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a message: the HTTP status and the response to it, if there was one.

    `decided` is what was decided last on it; None where nothing was, or could not be recorded.
    """

    status: int
    decided: Decided | None
    response: Response | None

    @property
    def is_allowed(self) -> bool:
        return self.decided is not None and self.decided.judgement.allowed

    @property
    def result(self) -> dict[str, Any] | None:
        return None if self.response is None else self.response.result

    @property
    def error(self) -> Mapping[str, Any]:
        return (self.response.error if self.response is not None else None) or {}


@dataclass(frozen=True, slots=True)
class Noting(Recording):
    """Records as any other, and notes what was decided."""

    noted: list[Decided] = field(default_factory=list)

    async def decided(self, call: Call, judgement: Judgement, method: str | None = None) -> str:
        decision_id = await Recording.decided(self, call, judgement, method)
        self.noted.append(Decided(judgement, decision_id))
        return decision_id


class Calling:
    """Makes calls through *pipeline*, each within *seconds* and `GRACE_SECONDS`."""

    def __init__(self, pipeline: Pipeline, seconds: float) -> None:
        self._pipeline = pipeline
        self._seconds = seconds

    async def call(self, principal: Principal, address: str, wish: Wish) -> Outcome:
        """Return what came of *wish*, which *principal* has at *address*.

        Where a session had to begin first and did not, that is what is returned. Raises
        `ClientNeededError`, `TimeoutError`, and `loopback.TooMuchError`.
        """
        server = self._pipeline.servers.get(wish.server)
        if server is not None and server.catalogue is None:
            await self._pipeline.catalogues.known(server)  # else nobody knows what it speaks
        talk = _Talk(self._pipeline, principal, address, wish.server)
        try:
            async with asyncio.timeout(self._seconds + GRACE_SECONDS):
                if not _is_modern(server):
                    begun = await talk.begin()
                    if begun is not None:
                        return begun
                return await talk.ask(wish.method, wish.params, _mirrored(server, wish))
        finally:
            await talk.end()


class _Talk:
    """The messages of one principal to one server, until the call is answered."""

    def __init__(self, pipeline: Pipeline, principal: Principal, address: str, name: str) -> None:
        recording = pipeline.recording
        self._noting = Noting(
            recording.audit, recording.observer, recording.monotonic, recording.beside
        )
        self._pipeline = replace(pipeline, recording=self._noting)
        self._principal = principal
        self._address = address
        self._name = name
        self._version: str | None = MODERN_VERSIONS[-1]
        self._session: str | None = None
        self._ids = count(1)
        self._unanswered: Id | None = None

    async def begin(self) -> Outcome | None:
        """Begin a legacy session, and return how it went if it did not begin."""
        self._version = None
        params = {
            "protocolVersion": LEGACY_VERSIONS[-1],
            "capabilities": {},
            "clientInfo": client_info(),
        }
        begun = await self._send(Request(next(self._ids), "initialize", params))
        agreed = (begun.result or {}).get("protocolVersion")
        if agreed not in LEGACY_VERSIONS:
            return _unbegun(begun)
        self._version = agreed
        told = await self._send(Notification("notifications/initialized"))
        return None if told.response is None else _unbegun(told)

    async def ask(self, method: str, params: Params, mirrored: Mapping[str, str]) -> Outcome:
        if self._version in MODERN_VERSIONS:
            params = {**params, "_meta": _envelope(self._version)}
        request = Request(next(self._ids), method, params)
        self._unanswered = request.id
        try:
            outcome = await self._send(request, mirrored)
        except ClientNeededError:
            self._unanswered = None  # it goes on without what it asked for
            raise
        self._unanswered = None
        return outcome

    async def end(self) -> None:
        """End the session, if there is one, whatever comes of that."""
        if self._session is None:
            return
        with suppress(TimeoutError, ClientNeededError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                if self._unanswered is not None:
                    params = {"requestId": self._unanswered, "reason": "The caller left."}
                    await self._send(Notification("notifications/cancelled", params))
                headers = [("MCP-Protocol-Version", self._version or ""), *self._own_headers()]
                incoming = request_on(self._line(0), "DELETE", self._path, headers)
                await self._pipeline.end_session(incoming, self._principal, self._name)

    async def _send(self, message: Message, mirrored: Mapping[str, str] | None = None) -> Outcome:
        body = message.encode()
        headers = [*outgoing(message, self._version, mirrored), *self._own_headers()]
        line = self._line(len(body))
        incoming = request_on(line, "POST", self._path, headers, body)
        self._noting.noted.clear()
        reaction = await self._pipeline.serve(incoming, self._principal, self._name)
        decided = self._noting.noted[-1] if self._noting.noted else None
        if isinstance(reaction, Answer):
            if self._version is None:
                self._session = _session(reaction)
            return Outcome(reaction.status, decided, _response(reaction))
        await reaction.send(incoming)
        return Outcome(reaction.status, decided, line.ear.response)

    async def _asked(self, request: Request) -> None:
        """Answer a request of the upstream, as somebody who can do nothing for it."""
        if request.method == "ping":
            await self._send(Response(request.id, result={}))
            return
        await self._send(Response(request.id, error=_NO_CLIENT))
        raise ClientNeededError(request.method)

    def _line(self, size: int) -> Loopback:
        return Loopback(self._address, size, self._asked)

    @property
    def _path(self) -> str:
        return f"/servers/{self._name}/mcp"

    def _own_headers(self) -> list[tuple[str, str]]:
        return [] if self._session is None else [(_SESSION, self._session)]


def _unbegun(outcome: Outcome) -> Outcome:
    """Return *outcome* without what a server says that is not about the call."""
    return replace(outcome, response=None) if outcome.is_allowed else outcome


def _is_modern(server: Server | None) -> bool:
    # Where nobody knows, nothing is forwarded: then one message says as much as three.
    known = None if server is None else server.catalogue
    return known is None or MODERN_VERSIONS[-1] in known.versions


def _mirrored(server: Server | None, wish: Wish) -> Mapping[str, str]:
    """Return the arguments that are repeated in headers, by their names there."""
    known = None if server is None else server.catalogue
    if known is None or wish.method != "tools/call":
        return {}
    return expected(known.tools.get(wish.params["name"], ()), wish.arguments)


def _envelope(version: str | None) -> dict[str, Any]:
    return {VERSION_KEY: version, CAPABILITIES_KEY: {}, CLIENT_KEY: client_info()}


def _session(answer: Answer) -> str | None:
    wanted = _SESSION.lower().encode()
    found = (value.decode() for name, value in answer.headers if name.lower() == wanted)
    return next(found, None)


def _response(answer: Answer) -> Response | None:
    """Return the message in *answer*, which the gateway itself has written."""
    if not answer.body:
        return None
    message = orjson.loads(answer.body)
    return Response(message["id"], message.get("result"), message.get("error"))
