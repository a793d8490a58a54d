"""Forwarding what was allowed and recorded, and following the answer to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from proxy import errors
from proxy.audit import Audit
from proxy.call import Call
from proxy.forward import Forwarding, outbound
from proxy.limits import Admissions
from proxy.listener.answers import Answer, EventStream
from proxy.observer import Observer
from proxy.question import Question
from proxy.relay import Asked, Relay, Reply, refusal_of
from proxy.upstream.answers import Answer as UpstreamAnswer
from proxy.upstream.answers import Stream
from proxy.upstream.failures import Kind, UpstreamError, hostile
from proxy.upstream.server import Server
from proxy.wire.headers import Judged
from proxy.wire.jsonrpc import Notification, Request

Reaction = Answer | EventStream

CANCELLED: Final = "cancelled"
"""The status of a call whose caller left before it was answered."""

DROPPED: Final = "dropped"
"""The status of a notification that is accepted and goes nowhere."""

UNKNOWN: Final = "unknown"
"""The status of a call that an upstream may have carried out, without having answered it."""

NOT_SENT: Final = "not_sent"
"""The status of a call of which nothing reached an upstream."""

CLIENT_LEFT: Final = "client_left"
"""What a call failed with whose client did not wait for the answer."""

_OK: Final = 200
_ACCEPTED: Final = 202
_GONE: Final = 404
_LEAST_REFUSAL: Final = 300
_ENDINGS: Final = frozenset({_GONE, 405})
_SESSION: Final = b"mcp-session-id"

# What these are about does not reach an upstream: it may ask the client for nothing, and in a
# modern version a request is cancelled by closing its stream.
_GOES_NOWHERE: Final = frozenset({"notifications/roots/list_changed", "notifications/progress"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message there and one answer back, with its outcome recorded. *monotonic* in seconds."""

    audit: Audit
    forwarding: Forwarding
    relay: Relay
    admissions: Admissions
    observer: Observer
    monotonic: Callable[[], float]

    async def pass_on(
        self,
        call: Call,
        message: Request | Notification,
        judged: Judged,
        question: Question,
        session: str | None,
        decision_id: str,
        *,
        may_log: bool,
    ) -> Reaction:
        """Forward *message*, which the record *decision_id* allows, and return the answer."""
        server = call.server
        if server is None:
            raise ValueError("only calls of registered servers are allowed")
        if _goes_nowhere(message, judged):
            self._ended(call, decision_id, DROPPED, size=0, error="")
            return Answer(_ACCEPTED)
        outgoing = outbound(message, judged, may_log=may_log)
        try:
            answer = await self.forwarding.send(
                server, outgoing, judged, question, session, call.span
            )
        except UpstreamError as error:
            return self._failed(call, decision_id, error)
        except asyncio.CancelledError:
            self._ended(call, decision_id, CANCELLED, size=0, error=CLIENT_LEFT)
            raise
        if isinstance(message, Notification):
            return self._told(call, decision_id, answer)
        asked = Asked(call, judged, question, message.id)
        if answer.stream is not None:
            return self._streamed(asked, answer, answer.stream, decision_id)
        reply = await self.relay.whole(asked, answer)
        self._replied(call, decision_id, reply, len(answer.body))
        return Answer(reply.status, reply.body, _session_of(asked, answer))

    async def end_session(
        self, call: Call, server: Server, version: str, session: str, decision_id: str
    ) -> Answer:
        """Tell the upstream that *session* is over, and return the answer."""
        try:
            answer = await self.forwarding.end_session(server, version, session)
        except UpstreamError as error:
            return self._failed(call, decision_id, error)
        if answer.stream is not None:
            answer.stream.close()
        status = answer.status if answer.status in _ENDINGS else _OK
        self._ended(call, decision_id, status, size=0, error="")
        return Answer(status)

    def _streamed(
        self, asked: Asked, answer: UpstreamAnswer, stream: Stream, decision_id: str
    ) -> Reaction:
        call = asked.call
        if not self.admissions.open_stream(call.actor):
            stream.close()
            # Others took the last streams meanwhile, and what was asked for may have been done.
            refusal = errors.CALLED_TOO_FAST
            self._ended(call, decision_id, UNKNOWN, size=0, error=str(refusal.code))
            return Answer(refusal.status, refusal.encode(call.id), refusal.headers)
        self.observer.stream(1)

        def end(reply: Reply | None, size: int) -> None:
            stream.close()
            self.observer.stream(-1)
            self.admissions.close_stream(call.actor)
            if reply is None:
                self._ended(call, decision_id, CANCELLED, size=size, error=CLIENT_LEFT)
            else:
                self._replied(call, decision_id, reply, size)

        events = _Events(self.relay.events(asked, stream), end)
        return EventStream(events, _session_of(asked, answer))

    def _told(self, call: Call, decision_id: str, answer: UpstreamAnswer) -> Answer:
        """Return the answer to a notification, for which an upstream has no more than a status."""
        if answer.stream is not None:
            answer.stream.close()
        if answer.status < _LEAST_REFUSAL:
            self._ended(call, decision_id, _ACCEPTED, size=0, error="")
            return Answer(_ACCEPTED)
        if answer.status == _GONE:
            # To a legacy client this says that its session is over, and that it has to begin anew.
            self._ended(call, decision_id, _GONE, size=0, error=str(errors.SESSION_OVER.code))
            return Answer(_GONE, errors.SESSION_OVER.encode(None))
        refusal = hostile(Kind.MALFORMED, f"a notification was answered with {answer.status}")
        return self._failed(call, decision_id, refusal)

    def _failed(self, call: Call, decision_id: str, error: UpstreamError) -> Answer:
        refusal = refusal_of(error)
        self.observer.upstream_failed(call.server_name, error)
        # What was sent may have been done: then the outcome is unknown, and the record says so.
        status = UNKNOWN if error.sent else NOT_SENT
        self._ended(call, decision_id, status, size=0, error=str(refusal.code))
        return Answer(refusal.status, refusal.encode(call.id))

    def _replied(self, call: Call, decision_id: str, reply: Reply, size: int) -> None:
        if reply.detail:
            failure = hostile(Kind.MALFORMED, reply.detail)
            self.observer.upstream_failed(call.server_name, failure)
        self._ended(call, decision_id, reply.status, size=size, error=reply.error)

    def _ended(
        self, call: Call, decision_id: str, status: int | str, *, size: int, error: str
    ) -> None:
        seconds = self.monotonic() - call.started
        self.audit.ended(decision_id, status, is_error=bool(error), size=size, seconds=seconds)
        self.observer.ended(call.server_name, call.method, call.version, seconds, error)


class _Events(AsyncIterator[bytes]):
    """Blocks of a stream. *on_end* is told once how it ended, even if nobody began to read it."""

    def __init__(
        self,
        blocks: AsyncGenerator[tuple[bytes, Reply | None]],
        on_end: Callable[[Reply | None, int], None],
    ) -> None:
        self._blocks = blocks
        self._on_end: Callable[[Reply | None, int], None] | None = on_end
        self._reply: Reply | None = None
        self._size = 0

    async def __anext__(self) -> bytes:
        try:
            block, reply = await anext(self._blocks)
        except BaseException:
            self._end()
            raise
        self._size += len(block)
        self._reply = reply or self._reply
        return block

    async def aclose(self) -> None:
        await self._blocks.aclose()
        self._end()

    def _end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self._reply, self._size)


def _goes_nowhere(message: Request | Notification, judged: Judged) -> bool:
    if not isinstance(message, Notification):
        return False
    return judged.is_modern or message.method in _GOES_NOWHERE


def _session_of(asked: Asked, answer: UpstreamAnswer) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that tells a legacy client the id of its new session."""
    session = answer.headers.get(_SESSION)
    if session is None or asked.call.method != "initialize":
        return ()
    return ((b"Mcp-Session-Id", session),)
