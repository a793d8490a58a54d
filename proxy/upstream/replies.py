"""The response to a request of the gateway's own, found in either carrier: JSON or event stream."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from proxy.upstream.answers import Answer, Stream
from proxy.upstream.failures import Kind, cut, hostile
from proxy.wire.jsonrpc import Id, Message, Response, decode_upstream
from proxy.wire.refusals import WireError
from proxy.wire.sse import Parser, StreamError

_JSON: Final = "application/json"


class Replies:
    """Reads responses that are of at most *budget* bytes together, with all that comes along."""

    def __init__(self, budget: int) -> None:
        self._left = budget

    async def read(self, answer: Answer, id_: Id) -> Response:
        """Return the response to request *id_*; an error may come without an id.

        Notifications and requests of the upstream on the way to it are passed over; what follows
        it is not read. Raises `UpstreamError`: of kind `MALFORMED` if this is no answer of an MCP
        server to that request.
        """
        if answer.stream is not None:
            return await self._streamed(answer.stream, id_)
        if answer.media_type != _JSON:
            what = f"status {answer.status} with {answer.media_type[:64]!r}"
            raise hostile(Kind.MALFORMED, what)
        self._spend(answer.body)
        message = _decoded(answer.body)
        if not isinstance(message, Response):
            raise hostile(Kind.MALFORMED, "no response where one was due")
        if answer.status >= HTTPStatus.BAD_REQUEST and message.error is not None:
            return message  # it can be about nothing else, whatever its id
        return _meant_for(id_, message)

    async def _streamed(self, stream: Stream, id_: Id) -> Response:
        parser = Parser()
        try:
            async for chunk in stream:
                self._spend(chunk)
                for message in _messages(parser, chunk):
                    if isinstance(message, Response):
                        return _meant_for(id_, message)
        finally:
            stream.close()
        raise cut("the stream ended without the response", unanswered=False)

    def _spend(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise hostile(Kind.TOO_LARGE, "more than one conversation may hold")


def _messages(parser: Parser, chunk: bytes) -> Iterator[Message]:
    try:
        events = parser.feed(chunk)
    except StreamError as error:
        raise hostile(Kind.TOO_LARGE, str(error)) from None
    for event in events:
        if event.type != "message":
            raise hostile(Kind.MALFORMED, f"an event of type {event.type[:64]!r}")
        if event.data:  # the first of a stream that can be resumed is empty
            yield _decoded(event.data)


def _decoded(body: bytes) -> Message:
    try:
        # What arrived was within the limits of its carrier.
        return decode_upstream(body, limit=len(body))
    except WireError as error:
        raise hostile(Kind.MALFORMED, f"{error}: {error.detail}") from None


def _meant_for(id_: Id, response: Response) -> Response:
    if response.id is not None and response.id != id_:
        raise hostile(Kind.MALFORMED, "the response to another request")
    return response
