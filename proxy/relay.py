"""The way back: an upstream's answer, understood, fitted to the caller and written anew.

Nothing passes that was not parsed. A message that nobody asked for is dropped and counted; one that
cannot be read ends the exchange, because what it hides cannot be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.pdp import UndecidedError
from proxy import errors
from proxy.call import Call
from proxy.errors import RESOURCE_NOT_FOUND, Refusal
from proxy.listing import UnlistableError
from proxy.question import Question
from proxy.results import Results, UnusableResultError
from proxy.upstream.answers import Answer as UpstreamAnswer
from proxy.upstream.answers import Stream
from proxy.upstream.failures import Kind, UpstreamError, hostile
from proxy.wire import sse
from proxy.wire.headers import Judged
from proxy.wire.jsonrpc import Id, Message, Notification, Response, decode_upstream
from proxy.wire.methods import Judgment, Party, find
from proxy.wire.refusals import INVALID_PARAMS, WireError

MOST_ANSWER: Final = 4 * 1024 * 1024
"""Bytes of one message of an upstream."""

LARGE_ANSWER: Final = 64 * 1024
"""Bytes from which on a message is decoded in a thread."""

RESPONSE: Final = "response"
"""What a dropped message is called that answers nothing."""

TOOL_ERROR: Final = "tool_error"
"""What a call failed with whose tool says itself, in a result, that it failed."""

_OK: Final = 200
_REFUSED_US: Final = frozenset({401, 403, 407})
_TOLD: Final = frozenset({Judgment.IN_FLIGHT, Judgment.LOG_LEVEL})


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the caller: an HTTP status and one encoded message.

    `error` is what the call failed with, in whatever form the upstream said so: a JSON-RPC code, or
    `TOOL_ERROR`; empty if it went well. `detail` is for the log: what was wrong with an answer that
    could not be passed on.
    """

    status: int
    body: bytes
    error: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was forwarded, and what was understood of it."""

    call: Call
    judged: Judged
    question: Question
    id: Id


class Relay:
    """Passes answers on.

    *on_dropped* is told of each message that nobody asked for: the server, and its method or
    `RESPONSE`.
    """

    def __init__(self, results: Results, on_dropped: Callable[[str, str], None]) -> None:
        self._results = results
        self._on_dropped = on_dropped

    async def whole(self, asked: Asked, answer: UpstreamAnswer) -> Reply:
        """Return the reply that the whole *answer* makes."""
        if answer.status in _REFUSED_US:
            return unusable(asked, "it refused the credential of the gateway")
        if answer.media_type != "application/json":
            return unusable(asked, "the answer is not JSON")
        try:
            message = await _decoded(answer.body)
        except WireError as error:
            return unusable(asked, f"the answer was refused: {error}")
        response = _matching(message, asked.id)
        if response is None or (response.error is None and answer.status != _OK):
            return unusable(asked, "the answer is to something else")
        return await self._reply(asked, response, answer.status)

    async def events(
        self, asked: Asked, stream: Stream
    ) -> AsyncGenerator[tuple[bytes, Reply | None]]:
        """Yield the blocks of the event stream that *stream* makes, the last one with its reply.

        It ends with the answer to the request, whatever the upstream had to add.
        """
        parser = sse.Parser()
        try:
            async for chunk in stream:
                for event in parser.feed(chunk):
                    found = await self._event(asked, event)
                    if isinstance(found, Reply):
                        yield sse.emit(found.body), found
                        return
                    if found is not None:
                        yield found, None
            lost = unusable(asked, "the stream ended without an answer")
        except sse.StreamError as error:
            lost = unusable(asked, f"the stream was refused: {error}")
        except UpstreamError as error:
            lost = failed(asked, refusal_of(error), error.detail)
        finally:
            stream.close()
        yield sse.emit(lost.body), lost

    async def _event(self, asked: Asked, event: sse.Event) -> Reply | bytes | None:
        if event.data is None or event.data == b"":
            return None  # for resuming, which is not offered
        if event.type != "message":
            return unusable(asked, "an event is no message")
        try:
            message = await _decoded(event.data)
        except WireError as error:
            return unusable(asked, f"an event was refused: {error}")
        if isinstance(message, Notification):
            return self._notification(asked, message)
        response = _matching(message, asked.id)
        if response is None:
            self._drop(asked, message)
            return None
        return await self._reply(asked, response, _OK)

    def _notification(self, asked: Asked, message: Notification) -> bytes | None:
        row = find(Party.SERVER, message.method, asked.judged.version)
        if row is None or row.judgment not in _TOLD:
            self._drop(asked, message)
            return None
        return sse.emit(message.encode())

    def _drop(self, asked: Asked, message: Message) -> None:
        what = RESPONSE if isinstance(message, Response) else message.method
        self._on_dropped(asked.call.server_name, what)

    async def _reply(self, asked: Asked, response: Response, status: int) -> Reply:
        if response.error is not None:
            return _error(asked, response, status)
        try:
            result = await self._results.fitted(
                asked.call, asked.judged, asked.question, response.result or {}
            )
        except UnlistableError:
            return unusable(asked, "the list cannot be read")
        except UnusableResultError as error:
            return unusable(asked, str(error))
        except UndecidedError:
            return failed(asked, errors.CANNOT_DECIDE)
        body = Response(response.id, result).encode()
        return Reply(_OK, body, TOOL_ERROR if result.get("isError") is True else "")


async def _decoded(body: bytes) -> Message:
    if len(body) <= LARGE_ANSWER:
        return decode_upstream(body, limit=MOST_ANSWER)
    # Strict decoding of a large answer takes long enough to keep others waiting.
    return await asyncio.to_thread(decode_upstream, body, limit=MOST_ANSWER)


def failed(asked: Asked, refusal: Refusal, detail: str = "") -> Reply:
    """Return the reply that tells the caller of *refusal*."""
    return Reply(refusal.status, refusal.encode(asked.id), str(refusal.code), detail)


def unusable(asked: Asked, detail: str) -> Reply:
    """Return the reply where what the upstream said cannot be passed on."""
    return failed(asked, refusal_of(hostile(Kind.MALFORMED, detail)), detail)


def refusal_of(error: UpstreamError) -> Refusal:
    """Return what the caller is told of an upstream that gave no answer."""
    return Refusal(int(error.status), error.rpc_code, error.public)


def _matching(message: Message, id_: Id) -> Response | None:
    """Return *message* if it answers the request *id_*; an error may lack the id."""
    if not isinstance(message, Response):
        return None
    if message.id is None:
        return replace(message, id=id_)
    return message if type(message.id) is type(id_) and message.id == id_ else None


def _error(asked: Asked, response: Response, status: int) -> Reply:
    error: dict[str, Any] = response.error or {}
    row = asked.judged.method
    is_read = row is not None and row.judgment is Judgment.READ_DOCUMENT
    if is_read and error.get("code") in (RESOURCE_NOT_FOUND, INVALID_PARAMS):
        # In one form, so that a document that is not there looks like one that is hidden.
        uri = asked.question.subject
        return failed(asked, errors.unknown_document(uri, modern=asked.judged.is_modern))
    return Reply(status, response.encode(), str(error.get("code")))
