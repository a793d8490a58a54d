"""The way out: what was judged, written anew, to the one upstream it was judged for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxy.call import Call
from proxy.question import Question
from proxy.telemetry.traces import ClientSpan, ServerSpan
from proxy.upstream.answers import Answer
from proxy.upstream.server import Server
from proxy.wire.headers import Judged, Routing, outgoing
from proxy.wire.jsonrpc import Id, Message, Notification, Request, Response
from proxy.wire.methods import Judgment
from proxy.wire.parameters import Mirrored, check, expected

_SESSION: Final = b"Mcp-Session-Id"
_VERSION: Final = b"MCP-Protocol-Version"

# Doing these twice does no more than doing them once.
_REPEATABLE: Final = frozenset({Judgment.FILTER_LIST, Judgment.READ_DOCUMENT})


class Forwarding:
    """Sends messages upstream, each within *seconds*. No header of the caller goes with them.

    What is sent in a session of the caller's names the upstream's own id of it. Everything raises
    `UpstreamError`.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def send(
        self,
        server: Server,
        call: Call,
        judged: Judged,
        message: Message,
        question: Question | None = None,
        span: ServerSpan | None = None,
    ) -> Answer:
        """Send *message*, which is about *question*, and return the upstream's answer.

        *span* is its trace, if it has one.
        """
        if span is None or isinstance(message, Response):
            return await self._post(server, call, judged, message, question, {})
        with span.forward() as onward:
            told = traced(message, onward)
            return await self._post(server, call, judged, told, question, onward.headers())

    async def open(
        self, server: Server, call: Call, judged: Judged, last_event: str | None
    ) -> Answer:
        """Ask for a stream of what the upstream says, beginning after *last_event*."""
        headers = [
            (b"Accept", b"text/event-stream"),
            (_VERSION, judged.version.encode()),
            *_session(call),
            *server.credential,
        ]
        if last_event is not None:
            headers.append((b"Last-Event-ID", last_event.encode()))
        return await server.pool.get(headers, deadline=self._seconds)

    async def end_session(self, server: Server, call: Call) -> Answer:
        """Tell the upstream that the session of *call* is over."""
        headers = [(_VERSION, call.version.encode()), *_session(call), *server.credential]
        return await server.pool.delete(headers, deadline=self._seconds)

    async def _post(
        self,
        server: Server,
        call: Call,
        judged: Judged,
        message: Message,
        question: Question | None,
        trace: Mapping[str, str],
    ) -> Answer:
        row = judged.method
        judgment = None if row is None else row.judgment
        is_first = isinstance(message, Request) and message.method == "initialize"
        mirrored = _values(server, judged, question)
        ours = outgoing(message, None if is_first else judged.version, mirrored)
        headers = [(name.encode(), value.encode()) for name, value in ours]
        headers += server.credential
        if not is_first:
            headers += _session(call)
        headers += [(name.encode(), value.encode()) for name, value in trace.items()]
        return await server.pool.post(
            headers,
            message.encode(),
            deadline=self._seconds,
            repeatable=judgment in _REPEATABLE,
            endless=judgment is Judgment.LISTEN,
        )


def traced(message: Request | Notification, onward: ClientSpan) -> Request | Notification:
    """Return *message* with the trace context that the upstream is to be told."""
    params = message.params or {}
    meta = params.get("_meta")
    told = onward.meta(meta if type(meta) is dict else {})
    return message.with_params(params | {"_meta": told})


def check_mirrored(server: Server, question: Question, routing: Routing, id_: Id | None) -> None:
    """Raise `WireError` if headers that mirror arguments disagree with them."""
    rows = _mirrored(server, question)
    if rows:
        check(rows, question.arguments or {}, routing.params, id=id_)


def _values(server: Server, judged: Judged, question: Question | None) -> Mapping[str, str] | None:
    """Return the arguments that are repeated in headers, by their names there."""
    row = judged.method
    if question is None or row is None or row.judgment is not Judgment.CALL_TOOL:
        return None
    rows = _mirrored(server, question)
    return expected(rows, question.arguments or {}) if rows else None


def _session(call: Call) -> list[tuple[bytes, bytes]]:
    return [] if call.session is None else [(_SESSION, call.session.id.encode())]


def _mirrored(server: Server, question: Question) -> tuple[Mirrored, ...]:
    if question.resource.type != "Tool" or server.catalogue is None:
        return ()
    return server.catalogue.tools.get(question.subject, ())
