"""Forwarding what was allowed and recorded, and following the answer to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy import errors
from proxy.asked import Asked
from proxy.call import Call
from proxy.forward import Forwarding
from proxy.identity.handles import Handles, Kind
from proxy.limits import Admissions
from proxy.listener.answers import Answer, EventStream
from proxy.outlets import Outlet, Outlets
from proxy.recording import Recording
from proxy.relay import Relay, Reply, refusal_of, unusable
from proxy.resuming import Place
from proxy.streaming import Ends, Events, Pump
from proxy.upstream.answers import Answer as UpstreamAnswer
from proxy.upstream.answers import Stream
from proxy.upstream.failures import Kind as FailureKind
from proxy.upstream.failures import UpstreamError, hostile
from proxy.upstream.server import Server
from proxy.views import Views
from proxy.way import Way
from proxy.wire.headers import Judged
from proxy.wire.jsonrpc import Message, Notification, Request, Response
from proxy.wire.methods import Judgment

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

LONGEST_SESSION: Final = 1024
"""Bytes of an upstream's id of a session."""

_OK: Final = 200
_ACCEPTED: Final = 202
_GONE: Final = 404
_NOT_OFFERED: Final = 405
_LEAST_REFUSAL: Final = 300
_ENDINGS: Final = frozenset({_GONE, _NOT_OFFERED})
_SESSION: Final = b"mcp-session-id"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One message there and one answer back, with its outcome recorded."""

    recording: Recording
    forwarding: Forwarding
    relay: Relay
    admissions: Admissions
    outlets: Outlets
    views: Views
    handles: Handles
    _loose: set[asyncio.Task[Any]] = field(default_factory=set)

    async def ask(self, asked: Asked, outgoing: Request) -> Reaction:
        """Forward *outgoing*, which *asked* allows, and return the answer."""
        if asked.judged.is_modern:
            return await self._ask(asked, outgoing)
        # To leave is not to cancel: whatever the client does, the call goes on to its end.
        task = self._loosely(self._ask(asked, outgoing))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._loosely(_abandoned(task))
            raise

    async def tell(
        self, call: Call, server: Server, judged: Judged, message: Notification, decision_id: str
    ) -> Answer:
        """Forward a notification, and return what an upstream has for it: no more than a status."""
        if judged.is_modern or _is_of_nobody(call, judged):
            # In a modern version a request is cancelled by closing its stream, and nothing else is
            # told.
            self.recording.ended(call, decision_id, DROPPED)
            return Answer(_ACCEPTED)
        return await self._passed(call, server, judged, message, decision_id)

    async def respond(
        self, call: Call, server: Server, judged: Judged, response: Response, decision_id: str
    ) -> Answer:
        """Forward what a client answers to what the upstream asked of it."""
        return await self._passed(call, server, judged, response, decision_id)

    async def _passed(
        self, call: Call, server: Server, judged: Judged, message: Message, decision_id: str
    ) -> Answer:
        """Forward what an upstream has no answer to."""
        try:
            answer = await self.forwarding.send(server, call, judged, message)
        except UpstreamError as error:
            return self._failed(call, [decision_id], error)
        except asyncio.CancelledError:
            self.recording.ended(call, decision_id, CANCELLED, error=CLIENT_LEFT)
            raise
        return self._told(call, decision_id, answer)

    def refuse(self, call: Call, response: Response) -> None:
        """Tell an upstream that what it asked is refused, without waiting for it."""
        if call.server is not None:
            self._loosely(self._refused(call, call.server, response))

    async def listen(
        self, call: Call, server: Server, judged: Judged, place: Place, decision_id: str
    ) -> Reaction:
        """Open a stream of what the upstream says, from *place* on."""
        resumed = place.asked
        try:
            answer = await self.forwarding.open(server, call, judged, place.after)
        except UpstreamError as error:
            return self._failed(call, [decision_id], error)
        except asyncio.CancelledError:
            self.recording.ended(call, decision_id, CANCELLED, error=CLIENT_LEFT)
            raise
        if answer.stream is None:
            return self._not_opened(call, answer, decision_id)
        if not self.admissions.may_stream(call.actor):
            return self._too_many(call, answer.stream, [decision_id])
        way = Way(call, judged, Outlet(call.principal), self.handles, resumed)

        def replied(reply: Reply, size: int) -> None:
            if resumed is not None:
                self._replied(call, [resumed.decision_id], reply, size)

        def closed(size: int) -> None:
            self.recording.ended(call, decision_id, _OK, size=size)

        self.views.watch(way)
        return self._streamed(way, answer.stream, Ends(replied, closed), is_endless=True)

    async def end_session(self, call: Call, server: Server, decision_id: str) -> Answer:
        """Tell the upstream that the session of *call* is over, and return the answer."""
        try:
            answer = await self.forwarding.end_session(server, call)
        except UpstreamError as error:
            return self._failed(call, [decision_id], error)
        if answer.stream is not None:
            answer.stream.close()
        status = answer.status if answer.status in _ENDINGS else _OK
        self.recording.ended(call, decision_id, status)
        if status == _GONE:
            return Answer(_GONE, errors.SESSION_OVER.encode(None))
        return Answer(status)

    async def close(self) -> None:
        """End what goes on without a client."""
        loose = list(self._loose)
        for task in loose:
            task.cancel()
        await asyncio.gather(*loose, return_exceptions=True)

    async def _ask(self, asked: Asked, outgoing: Request) -> Reaction:
        call, server, records = asked.call, asked.call.server, _records(asked)
        if server is None:
            raise ValueError("only calls of registered servers are allowed")
        try:
            answer = await self.forwarding.send(
                server, call, asked.judged, outgoing, asked.question, call.span
            )
        except UpstreamError as error:
            return self._failed(call, records, error)
        except asyncio.CancelledError:
            self._all_ended(call, records, CANCELLED, error=CLIENT_LEFT)
            raise
        session = self._begun(asked, answer)
        if isinstance(session, Reply):
            self._replied(call, records, session, 0)
            return Answer(session.status, session.body)
        if answer.stream is not None:
            return await self._answered(asked, answer.stream, session)
        reply = await self.relay.whole(asked, answer)
        self._replied(call, records, reply, len(answer.body))
        return Answer(reply.status, reply.body, self._sealed(asked, reply, session))

    async def _answered(self, asked: Asked, stream: Stream, session: str | None) -> Reaction:
        """Return the stream that answers *asked*."""
        call, records = asked.call, _records(asked)
        if not self.admissions.may_stream(call.actor):
            return self._too_many(call, stream, records)
        way = Way(call, asked.judged, Outlet(call.principal), self.handles, asked, is_own=True)
        is_answered = False

        def replied(reply: Reply, size: int) -> None:
            nonlocal is_answered
            is_answered = True
            self._replied(call, records, reply, size)

        def closed(size: int) -> None:
            if not is_answered and not way.is_resumable:
                self._all_ended(call, records, CANCELLED, size=size, error=CLIENT_LEFT)

        ends = Ends(replied, closed)
        if session is not None:
            return await self._introduced(way, stream, ends, session)
        if asked.listening is not None:
            way.outlet.is_held = True
            self.views.watch(way)
        return self._streamed(way, stream, ends, is_endless=asked.listening is not None)

    def _too_many(self, call: Call, stream: Stream, records: Iterable[str]) -> Answer:
        """Refuse a *stream* because others took the caller's last ones meanwhile."""
        stream.close()
        refusal = errors.CALLED_TOO_FAST
        # What was asked for may have been done.
        self._all_ended(call, records, UNKNOWN, error=str(refusal.code))
        return Answer(refusal.status, refusal.encode(call.id), refusal.headers)

    async def _introduced(self, way: Way, stream: Stream, ends: Ends, session: str) -> Reaction:
        """Return a whole `initialize`: the head of the answer names a version that it tells last.

        What came before it in the stream is lost; nothing of it answers anything.
        """
        asked, size = way.asked, 0
        async for block, reply in self.relay.events(way, stream):
            size += len(block)
            if reply is not None and asked is not None:
                ends.replied(reply, size)
                return Answer(reply.status, reply.body, self._sealed(asked, reply, session))
        ends.closed(size)
        raise ValueError("a stream ended without a reply")

    def _streamed(self, way: Way, stream: Stream, ends: Ends, *, is_endless: bool) -> Reaction:
        call, outlet = way.call, way.outlet
        self.admissions.open_stream(call.actor)
        self.recording.observer.stream(1)
        outlet.wake = lambda: stream.push(b"")
        self.outlets.open(outlet)

        def closed(size: int) -> None:
            stream.close()
            self.outlets.close(outlet)
            self.views.forget(way)
            self.recording.observer.stream(-1)
            self.admissions.close_stream(call.actor)
            ends.closed(size)

        blocks, all_ends = self.relay.events(way, stream), Ends(ends.replied, closed)
        if way.judged.is_modern or not way.is_own:
            return EventStream(Events(blocks, all_ends), is_endless=is_endless)
        pump = Pump(blocks, all_ends, way.leave)
        self._loose.add(pump.task)
        pump.task.add_done_callback(self._loose.discard)
        return EventStream(pump)

    def _begun(self, asked: Asked, answer: UpstreamAnswer) -> str | Reply | None:
        """Return the upstream's id of the session that *answer* begins, or why there is none."""
        session = answer.headers.get(_SESSION)
        if asked.method != "initialize" or session is None:
            return None
        if len(session) > LONGEST_SESSION:
            if answer.stream is not None:
                answer.stream.close()
            return unusable(asked, "the id of a session is too long")
        return session.decode()

    def _sealed(
        self, asked: Asked, reply: Reply, session: str | None
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Return the header that gives a legacy client its new session."""
        if session is None or reply.version is None:
            return ()
        handle = self.handles.seal(Kind.SESSION, asked.call.holder, [session, reply.version])
        return ((b"Mcp-Session-Id", handle.encode()),)

    def _not_opened(self, call: Call, answer: UpstreamAnswer, decision_id: str) -> Answer:
        if answer.status == _NOT_OFFERED:
            refusal = errors.NO_STREAM
        elif answer.status == _GONE and call.session is not None:
            refusal = errors.SESSION_OVER
        else:
            detail = f"a request for a stream was answered with {answer.status}"
            return self._failed(call, [decision_id], hostile(FailureKind.MALFORMED, detail))
        self.recording.ended(call, decision_id, refusal.status, error=str(refusal.code))
        return Answer(refusal.status, refusal.encode(None), refusal.headers)

    def _told(self, call: Call, decision_id: str, answer: UpstreamAnswer) -> Answer:
        if answer.stream is not None:
            answer.stream.close()
        if answer.status < _LEAST_REFUSAL:
            self.recording.ended(call, decision_id, _ACCEPTED)
            return Answer(_ACCEPTED)
        if answer.status == _GONE:
            # To a legacy client this says that its session is over, and that it has to begin anew.
            self.recording.ended(call, decision_id, _GONE, error=str(errors.SESSION_OVER.code))
            return Answer(_GONE, errors.SESSION_OVER.encode(None))
        detail = f"a notification was answered with {answer.status}"
        return self._failed(call, [decision_id], hostile(FailureKind.MALFORMED, detail))

    async def _refused(self, call: Call, server: Server, response: Response) -> None:
        judged = Judged(call.version, None)
        try:
            answer = await self.forwarding.send(server, call, judged, response)
        except UpstreamError as error:
            self.recording.observer.upstream_failed(call.server_name, error)
            return
        if answer.stream is not None:
            answer.stream.close()

    def _failed(self, call: Call, records: Iterable[str], error: UpstreamError) -> Answer:
        refusal = refusal_of(error)
        self.recording.observer.upstream_failed(call.server_name, error)
        # What was sent may have been done: then the outcome is unknown, and the record says so.
        status = UNKNOWN if error.sent else NOT_SENT
        self._all_ended(call, records, status, error=str(refusal.code))
        return Answer(refusal.status, refusal.encode(call.id))

    def _replied(self, call: Call, records: Iterable[str], reply: Reply, size: int) -> None:
        if reply.detail:
            failure = hostile(FailureKind.MALFORMED, reply.detail)
            self.recording.observer.upstream_failed(call.server_name, failure)
        self._all_ended(call, records, reply.status, size=size, error=reply.error)

    def _all_ended(
        self, call: Call, records: Iterable[str], status: int | str, *, size: int = 0,
        error: str = "",
    ) -> None:  # fmt: skip
        for decision_id in records:
            self.recording.outcome(call, decision_id, status, size=size, error=error)
        self.recording.measured(call, error)

    def _loosely(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)
        return task


def _is_of_nobody(call: Call, judged: Judged) -> bool:
    """Tell whether a notification names a request that may as well be another principal's.

    Without a session there is nothing by which an upstream could know whose it is.
    """
    row = judged.method
    return call.session is None and row is not None and row.judgment is Judgment.IN_FLIGHT


async def _abandoned(task: asyncio.Task[Reaction]) -> None:
    """Wait for what a client left before it was answered, and close what comes of it."""
    reaction = await task
    if isinstance(reaction, EventStream):
        await reaction.abandon()


def _records(asked: Asked) -> list[str]:
    """Return the decisions that what comes of *asked* is the outcome of."""
    beside = () if asked.listening is None else asked.listening.records
    return [asked.decision_id, *beside]
