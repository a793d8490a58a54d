"""What happens to a call: identify, decode, name the question, decide, record, forward, relay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from policies.model import Decision, Reason, Verdict
from proxy import errors
from proxy.audit import Audit, Subject, UnrecordedError
from proxy.call import Call
from proxy.catalogues import Catalogues
from proxy.errors import Refusal
from proxy.exchange import Exchange, Reaction
from proxy.forward import check_mirrored
from proxy.identity.principal import Principal
from proxy.judgement import Judge, Judgement
from proxy.limits import Admission, Admissions
from proxy.listener.answers import Answer
from proxy.listener.incoming import Incoming
from proxy.listener.refusals import BodyError
from proxy.observer import Observer
from proxy.question import CONNECT, KINDS, Question, question_of
from proxy.standing import Standing
from proxy.telemetry.context import TraceContext, carried
from proxy.telemetry.traces import Traces
from proxy.upstream.server import Server
from proxy.wire import headers, jsonrpc
from proxy.wire.headers import Judged, Routing
from proxy.wire.jsonrpc import Message, Notification, Request
from proxy.wire.methods import LEGACY_VERSIONS, MODERN_VERSIONS, VERSIONS
from proxy.wire.refusals import INVALID_REQUEST, Fault, WireError

LARGE_BODY: Final = 64 * 1024
"""Bytes from which on a message is decoded in a thread."""

END_SESSION: Final = "DELETE"
"""The method that the record names where a client ends its session."""


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
    audit: Audit
    exchange: Exchange
    admissions: Admissions
    observer: Observer
    clocks: Clocks
    traces: Traces
    most_body: int = jsonrpc.MAX_BODY
    verbatim: frozenset[str] = frozenset()
    support_contact: str | None = None

    async def serve(self, incoming: Incoming, principal: Principal, name: str) -> Reaction:
        """Answer a POST of *principal* to the endpoint of the server called *name*."""
        call = await self._begun(incoming, principal, name)
        return await self._admitted(call, partial(self._serve, incoming, call))

    async def end_session(self, incoming: Incoming, principal: Principal, name: str) -> Reaction:
        """Answer a DELETE: the caller is done with a session of a legacy upstream."""
        call = await self._begun(incoming, principal, name)
        call.method = END_SESSION
        return await self._admitted(call, partial(self._end_session, incoming, call))

    async def turn_away(
        self, incoming: Incoming, principal: Principal, name: str, answer: Answer, reason: Reason
    ) -> Reaction:
        """Give *answer* to what is no message, because of *reason*, which is recorded."""
        call = await self._begun(incoming, principal, name)
        call.method = incoming.method

        async def turned_away() -> Reaction:
            await self._record(call, self._denial(call, reason))
            self._ended(call, str(INVALID_REQUEST))
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
        except UnrecordedError:
            return self._refused(call, errors.CANNOT_RECORD)

    async def _end_session(self, incoming: Incoming, call: Call) -> Reaction:
        connect = await self.judge.connect(call)
        version, session = _session(headers.check_delete(incoming.headers))
        decision_id = await self._record(call, connect)
        if call.server is None or not connect.decision.allowed:
            return self._refused(call, self._refusal(call, connect, decision_id))
        return await self.exchange.end_session(call, call.server, version, session, decision_id)

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
        if call.id is not None and not self.admissions.may_stream(call.actor):
            # Before anything is done: afterwards, to refuse the answer would undo nothing.
            return await self._too_fast(call, Admission.REFUSED)
        judged = headers.agree(routing, message, supported=_versions(call, connect))
        call.version = judged.version
        if not self.traces.on:
            return await self._answer(call, message, judged, routing, connect)
        trace = _trace(message, incoming)
        with self.traces.serve(message.method, judged.version, call.server_name, trace) as span:
            call.span = span
            return await self._answer(call, message, judged, routing, connect)

    async def _answer(
        self,
        call: Call,
        message: Request | Notification,
        judged: Judged,
        routing: Routing,
        connect: Judgement,
    ) -> Reaction:
        if judged.method is None:
            raise WireError(Fault.UNASKED_RESPONSE, id=message.id)
        question = question_of(judged.method, message, call.server_name, self.verbatim)
        judgement = await self.judge.judge(call, question, connect, message.id)
        if judged.is_modern and judgement.decision.allowed and call.server is not None:
            check_mirrored(call.server, question, routing, message.id)
        decision_id = await self._record(call, judgement)
        if call.server is None or not judgement.decision.allowed:
            return self._refused(call, self._refusal(call, judgement, decision_id))
        return await self._passed(call, message, judged, question, routing, decision_id)

    async def _passed(
        self,
        call: Call,
        message: Request | Notification,
        judged: Judged,
        question: Question,
        routing: Routing,
        decision_id: str,
    ) -> Reaction:
        may_log = await self.judge.may_log(call, message)
        return await self.exchange.pass_on(
            call, message, judged, question, routing.session, decision_id, may_log=may_log
        )

    async def _decoded(self, incoming: Incoming, call: Call) -> Request | Notification:
        try:
            body = await incoming.body()
        except BodyError:
            await self._record(call, self._denial(call, Reason.MALFORMED))
            raise
        message = await self._read(body)
        if not isinstance(message, Request | Notification):
            raise WireError(Fault.UNASKED_RESPONSE, id=message.id)
        call.id, call.method = message.id, message.method
        return message

    async def _read(self, body: bytes) -> Message:
        if len(body) <= LARGE_BODY:
            return jsonrpc.decode(body, limit=self.most_body)
        # Strict decoding of a large body takes long enough to keep others waiting.
        return await asyncio.to_thread(jsonrpc.decode, body, limit=self.most_body)

    async def _record(self, call: Call, judgement: Judgement) -> str:
        question, decision = judgement.question, judgement.decision
        subject = Subject(
            principal=call.principal,
            server=call.server_name,
            method=call.method,
            action=question.action,
            resource=question.resource,
            now=call.now,
            facts=call.facts + judgement.facts,
            tests=judgement.tests,
            outcomes=judgement.outcomes,
            arguments=question.arguments,
        )
        words = call.grounds.bundle.program.words
        decision_id = await self.audit.decided(subject, decision, words)
        if call.span is not None:
            call.span.decided(decision_id, decision.verdict.value)
            if decision.allowed and question.resource.type in ("Tool", "Prompt"):
                call.span.about(question.subject)
        actor, seconds = call.actor, self.clocks.monotonic() - call.started
        self.observer.decided(
            decision_id, actor, question.action, question.resource, decision, seconds
        )
        return decision_id

    def _denial(self, call: Call, reason: Reason) -> Judgement:
        """Return the judgement on a call that never came to a question."""
        bundle, facts = call.grounds.bundle, call.grounds.facts
        decision = Decision(Verdict.DENY, reason, bundle.version, facts.version)
        return Judgement(Question(CONNECT, call.entity), decision)

    async def _malformed(self, call: Call, fault: WireError) -> Answer:
        is_unknown = fault.fault is Fault.UNKNOWN_METHOD
        reason = Reason.UNKNOWN_METHOD if is_unknown else Reason.MALFORMED
        try:
            await self._record(call, self._denial(call, reason))
        except UnrecordedError:
            return self._refused(call, errors.CANNOT_RECORD)
        self._ended(call, str(fault.code))
        return Answer(fault.status, fault.encode())

    async def _too_fast(self, call: Call, admission: Admission) -> Answer:
        # One record a second tells of all refusals in it: a caller must not fill the disk.
        if admission is Admission.REFUSED:
            await self._record(call, self._denial(call, Reason.RATE_LIMITED))
        return self._refused(call, errors.CALLED_TOO_FAST)

    def _refusal(self, call: Call, judgement: Judgement, decision_id: str) -> Refusal:
        """Return what a caller is told whose question was not answered with yes."""
        question, decision = judgement.question, judgement.decision
        if decision.verdict is Verdict.UNDECIDED:
            return errors.CANNOT_DECIDE
        if question.resource.type == "Server" and question.action == CONNECT:
            return errors.UNKNOWN_SERVER
        if decision.reason is not Reason.NOT_VISIBLE:
            return errors.denied(decision.reason.value, decision_id, self.support_contact)
        kind = KINDS[question.resource.type]
        if kind == "resource":
            is_modern = call.version in MODERN_VERSIONS
            return errors.unknown_document(question.subject, modern=is_modern)
        return errors.unknown_item(kind, question.subject)

    def _refused(self, call: Call, refusal: Refusal) -> Answer:
        self._ended(call, str(refusal.code))
        return Answer(refusal.status, refusal.encode(call.id), refusal.headers)

    def _ended(self, call: Call, error: str) -> None:
        seconds = self.clocks.monotonic() - call.started
        self.observer.ended(call.server_name, call.method, call.version, seconds, error)


def _session(routing: Routing) -> tuple[str, str]:
    """Return version and id of the session that a DELETE names. Raises `WireError`."""
    if routing.session is None or routing.version not in LEGACY_VERSIONS:
        raise WireError(Fault.NO_VERSION)
    return routing.version, routing.session


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
    if not connect.decision.allowed or server is None or server.catalogue is None:
        return VERSIONS
    return server.catalogue.versions
