"""What happens to a call: identify, decode, name the question, decide, record, forward, relay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from policies.model import Reason
from proxy import errors
from proxy.asked import Asked
from proxy.audit import UnrecordedError
from proxy.call import Call
from proxy.catalogues import Catalogues
from proxy.errors import Refusal
from proxy.exchange import Exchange, Reaction
from proxy.forward import check_mirrored
from proxy.identity.handles import UnknownHandleError
from proxy.identity.principal import Principal
from proxy.judgement import Judge, Judgement
from proxy.limits import Admission, Admissions
from proxy.listener.answers import Answer
from proxy.listener.incoming import Incoming
from proxy.listener.refusals import BodyError
from proxy.listening import Listening, Subscribing
from proxy.opening import Opening
from proxy.outbound import Outbound
from proxy.question import Origin, question_of, rights_to_ask
from proxy.recording import Recording, denial
from proxy.refusing import refusal_of
from proxy.resuming import Resuming
from proxy.standing import Standing
from proxy.telemetry.context import TraceContext, carried
from proxy.telemetry.traces import Traces
from proxy.upstream.server import Server
from proxy.wire import headers, jsonrpc
from proxy.wire.headers import Judged, Routing
from proxy.wire.jsonrpc import Message, Notification, Request, Response
from proxy.wire.methods import MODERN_VERSIONS, VERSIONS, Judgment, Method, Party, find
from proxy.wire.refusals import INVALID_REQUEST, Fault, WireError

LARGE_BODY: Final = 64 * 1024
"""Bytes from which on a message is decoded in a thread."""

_NOT_ALLOWED: Final = {"code": errors.DENIED, "message": "The policy does not allow this."}


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds since the epoch, and seconds that only ever grow."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The one way that a message of an agent can take to an upstream."""

    servers: Mapping[str, Server]
    standing: Standing
    catalogues: Catalogues
    judge: Judge
    recording: Recording
    opening: Opening
    outbound: Outbound
    subscribing: Subscribing
    resuming: Resuming
    exchange: Exchange
    admissions: Admissions
    clocks: Clocks
    traces: Traces
    most_body: int = jsonrpc.MAX_BODY
    verbatim: frozenset[str] = frozenset()
    support_contact: str | None = None

    async def serve(self, incoming: Incoming, principal: Principal, name: str) -> Reaction:
        """Answer a POST of *principal* to the endpoint of the server called *name*."""
        call = await self._begun(incoming, principal, name)
        return await self._admitted(call, partial(self._serve, incoming, call))

    async def listen(self, incoming: Incoming, principal: Principal, name: str) -> Reaction:
        """Answer a GET: the caller wants to hear what a legacy upstream says in its session."""
        call = await self._begun(incoming, principal, name)
        call.method = incoming.method
        return await self._admitted(call, partial(self._listen, incoming, call))

    async def end_session(self, incoming: Incoming, principal: Principal, name: str) -> Reaction:
        """Answer a DELETE: the caller is done with a session of a legacy upstream."""
        call = await self._begun(incoming, principal, name)
        call.method = incoming.method
        return await self._admitted(call, partial(self._end_session, incoming, call))

    async def turn_away(
        self, incoming: Incoming, principal: Principal, name: str, answer: Answer, reason: Reason
    ) -> Reaction:
        """Give *answer* to what is no message, because of *reason*, which is recorded."""
        call = await self._begun(incoming, principal, name)
        call.method = incoming.method

        async def turned_away() -> Reaction:
            await self.recording.decided(call, denial(call, reason))
            self.recording.measured(call, str(INVALID_REQUEST))
            return answer

        return await self._admitted(call, turned_away)

    async def _admitted(self, call: Call, serve: Callable[[], Awaitable[Reaction]]) -> Reaction:
        """Return what *serve* does, unless its caller is too fast, and whatever it fails of."""
        try:
            admission = self.admissions.call(call.principal.actor)
            if admission is not Admission.ADMITTED:
                return await self._too_fast(call, admission)
            return await serve()
        except WireError as fault:
            return await self._malformed(call, fault)
        except UnknownHandleError as unknown:
            return await self._unknown(call, unknown)
        except UnrecordedError:
            return self._refused(call, errors.CANNOT_RECORD)

    async def _begun(self, incoming: Incoming, principal: Principal, name: str) -> Call:
        server = self.servers.get(name)
        if server is not None and server.catalogue is None:
            # What it offers is part of the grounds, so nothing is judged before it is known.
            await self.catalogues.known(server)
        return Call(
            principal,
            name,
            server,
            self.standing.grounds,
            incoming.remote,
            now=int(self.clocks.now()),
            started=self.clocks.monotonic(),
        )

    async def _serve(self, incoming: Incoming, call: Call) -> Reaction:
        connect = await self.judge.connect(call)
        routing = headers.check_post(incoming.headers)
        message = await self._decoded(incoming, call)
        if isinstance(message, Request) and not self.admissions.may_stream(call.actor):
            # Before anything is done: afterwards, to refuse the answer would undo nothing.
            return await self._too_fast(call, Admission.REFUSED)
        if _is_in_session(routing, message) and connect.allowed:
            call.session = self.opening.session(call, routing.session)
        judged = self._agreed(call, connect, routing, message)
        if isinstance(message, Response):
            return await self._respond(call, judged, message, connect)
        if not self.traces.on:
            return await self._answer(call, message, judged, routing, connect)
        trace = _trace(message, incoming)
        with self.traces.serve(message.method, judged.version, call.server_name, trace) as span:
            call.span = span
            return await self._answer(call, message, judged, routing, connect)

    def _agreed(self, call: Call, connect: Judgement, routing: Routing, message: Message) -> Judged:
        negotiated = None if call.session is None else call.session.version
        supported = _versions(call, connect)
        judged = headers.agree(routing, message, negotiated=negotiated, supported=supported)
        call.version = judged.version
        return judged

    async def _answer(
        self,
        call: Call,
        message: Request | Notification,
        judged: Judged,
        routing: Routing,
        connect: Judgement,
    ) -> Reaction:
        server, row = call.server, judged.method
        if server is None or row is None or not connect.allowed:
            return await self._denied(call, connect)
        opened = self.opening.message(call, judged, message)
        question = question_of(row, message, call.server_name, self.verbatim, opened.origin)
        judgement = await self.judge.judge(call, question, connect, message.id)
        if not judgement.allowed:
            return await self._denied(call, judgement, row)
        if judged.is_modern:
            check_mirrored(server, question, routing, message.id)
        outgoing = await self.outbound.prepared(call, judged, opened.message)
        decision_id = await self.recording.decided(call, judgement)
        if isinstance(outgoing, Notification):
            return await self.exchange.tell(call, server, judged, outgoing, decision_id)
        listening = None
        if row.judgment is Judgment.LISTEN:
            listening = await self._listening(call, connect, outgoing)
            outgoing = outgoing.with_params(
                {**(outgoing.params or {}), "notifications": listening.filter()}
            )
        origin = opened.origin or _origin(judgement)
        asked = Asked(
            call,
            judged,
            question,
            outgoing.id,
            decision_id,
            message.params or {},
            origin,
            listening,
        )
        return await self.exchange.ask(asked, outgoing)

    async def _listening(self, call: Call, connect: Judgement, request: Request) -> Listening:
        wanted = (request.params or {})["notifications"]
        return await self.subscribing.allowed(call, connect, request.id, wanted)

    async def _respond(
        self, call: Call, judged: Judged, response: Response, connect: Judgement
    ) -> Reaction:
        """Pass on what the client answers to a question of the upstream's."""
        if call.server is None or not connect.allowed:
            return await self._denied(call, connect)
        ask = self.opening.asked(call, response)
        row = find(Party.SERVER, ask.method, judged.version)
        if row is None:
            raise WireError(Fault.UNASKED_RESPONSE, id=response.id)
        call.method = ask.method
        judgement = connect
        if row.judgment is not Judgment.NONE:
            judgement = await self.judge.on_server(call, *rights_to_ask(row.judgment))
        if not judgement.allowed:
            answer = await self._denied(call, judgement)
            # Else the upstream would wait for what never comes.
            self.exchange.refuse(call, Response(ask.id, error=_NOT_ALLOWED))
            return answer
        decision_id = await self.recording.decided(call, judgement)
        result = response.result
        is_own_task = row.judgment is Judgment.OWN_TASK  # which the client named itself
        if result is not None and "_meta" in result and not is_own_task:
            result = result | {"_meta": self.opening.related(call, result["_meta"])}
        outgoing = Response(ask.id, result, response.error)
        return await self.exchange.respond(call, call.server, judged, outgoing, decision_id)

    async def _listen(self, incoming: Incoming, call: Call) -> Reaction:
        connect = await self.judge.connect(call)
        routing = headers.check_stream(incoming.headers)
        if routing.version in MODERN_VERSIONS:
            return await self._not_offered(call)
        server = call.server
        if server is None or not connect.allowed:
            return await self._denied(call, connect)
        judged = self._in_session(call, connect, routing)
        if not self.admissions.may_stream(call.actor):
            return await self._too_fast(call, Admission.REFUSED)
        resuming = await self.resuming.found(call, judged, routing.last_event)
        decision_id = await self.recording.decided(call, connect)
        return await self.exchange.listen(call, server, judged, resuming, decision_id)

    async def _end_session(self, incoming: Incoming, call: Call) -> Reaction:
        connect = await self.judge.connect(call)
        routing = headers.check_delete(incoming.headers)
        if routing.version in MODERN_VERSIONS:
            return await self._not_offered(call)
        if call.server is None or not connect.allowed:
            return await self._denied(call, connect)
        self._in_session(call, connect, routing)
        if call.session is None:
            raise WireError(Fault.NO_VERSION)
        decision_id = await self.recording.decided(call, connect)
        return await self.exchange.end_session(call, call.server, decision_id)

    def _in_session(self, call: Call, connect: Judgement, routing: Routing) -> Judged:
        """Return the version of a request without a body. Raises `WireError`."""
        call.session = self.opening.session(call, routing.session)
        call.version = headers.legacy_version(
            routing,
            negotiated=None if call.session is None else call.session.version,
            supported=_versions(call, connect),
        )
        return Judged(call.version, None)

    async def _decoded(self, incoming: Incoming, call: Call) -> Message:
        try:
            body = await incoming.body()
        except BodyError:
            await self.recording.decided(call, denial(call, Reason.MALFORMED))
            raise
        message = await self._read(body)
        call.id = message.id
        if not isinstance(message, Response):
            call.method = message.method
        return message

    async def _read(self, body: bytes) -> Message:
        if len(body) <= LARGE_BODY:
            return jsonrpc.decode(body, limit=self.most_body, responses=True)
        # Strict decoding of a large body takes long enough to keep others waiting.
        return await asyncio.to_thread(jsonrpc.decode, body, limit=self.most_body, responses=True)

    async def _not_offered(self, call: Call) -> Answer:
        await self.recording.decided(call, denial(call, Reason.UNKNOWN_METHOD))
        return self._refused(call, errors.POST_ONLY)

    async def _malformed(self, call: Call, fault: WireError) -> Answer:
        is_unknown = fault.fault is Fault.UNKNOWN_METHOD
        reason = Reason.UNKNOWN_METHOD if is_unknown else Reason.MALFORMED
        try:
            await self.recording.decided(call, denial(call, reason))
        except UnrecordedError:
            return self._refused(call, errors.CANNOT_RECORD)
        self.recording.measured(call, str(fault.code))
        return Answer(fault.status, fault.encode())

    async def _unknown(self, call: Call, unknown: UnknownHandleError) -> Answer:
        """Answer alike what was never given to anybody and what was given to somebody else."""
        try:
            await self.recording.decided(call, denial(call, Reason.NOT_VISIBLE))
        except UnrecordedError:
            return self._refused(call, errors.CANNOT_RECORD)
        return self._refused(call, errors.unknown_handle(unknown.kind))

    async def _too_fast(self, call: Call, admission: Admission) -> Answer:
        # One record a second tells of all refusals in it: a caller must not fill the disk.
        if admission is Admission.REFUSED:
            await self.recording.decided(call, denial(call, Reason.RATE_LIMITED))
        return self._refused(call, errors.CALLED_TOO_FAST)

    async def _denied(self, call: Call, judgement: Judgement, row: Method | None = None) -> Answer:
        """Record and answer a question that was not answered with yes."""
        decision_id = await self.recording.decided(call, judgement)
        refusal = refusal_of(call, judgement, decision_id, row, self.support_contact)
        return self._refused(call, refusal)

    def _refused(self, call: Call, refusal: Refusal) -> Answer:
        self.recording.measured(call, str(refusal.code))
        return Answer(refusal.status, refusal.encode(call.id), refusal.headers)


def _is_in_session(routing: Routing, message: Message) -> bool:
    """Tell whether *message* belongs to a session, if there is one; the first begins another."""
    is_first = isinstance(message, Request) and message.method == "initialize"
    return routing.version not in MODERN_VERSIONS and not is_first


def _origin(judgement: Judgement) -> Origin | None:
    """Return what a task that comes of a call has to remember of it."""
    question, tests = judgement.question, judgement.tests
    if question.resource.type != "Tool" or tests is None:
        return None
    return Origin(question.subject, tuple(tests.wanted(judgement.outcomes)))


def _trace(message: Request | Notification, incoming: Incoming) -> TraceContext:
    """Return the trace context that *message*, or else the headers around it, carry."""
    meta = (message.params or {}).get("_meta")
    lines = {name.lower(): value for name, value in incoming.headers}
    parent, state = lines.get("traceparent", ""), lines.get("tracestate", "")
    return carried(meta if type(meta) is dict else {}, parent, state)


def _versions(call: Call, connect: Judgement) -> tuple[str, ...]:
    """Return the versions that a caller with an unknown one is told of.

    Whoever may not connect is told of all, as if there were no server.
    """
    server: Server | None = call.server
    if not connect.allowed or server is None or server.catalogue is None:
        return VERSIONS
    return server.catalogue.versions
