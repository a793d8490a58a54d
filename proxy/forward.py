"""The way out: what was judged, written anew, to the one upstream it was judged for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.question import Question
from proxy.results import withheld
from proxy.telemetry.context import without_malformed
from proxy.telemetry.traces import ClientSpan, ServerSpan
from proxy.upstream.answers import Answer
from proxy.upstream.server import Server
from proxy.wire.headers import CAPABILITIES_KEY, Judged, Routing, outgoing
from proxy.wire.jsonrpc import Id, Notification, Request
from proxy.wire.methods import Judgment
from proxy.wire.parameters import Mirrored, check, expected

LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"

_SESSION: Final = b"Mcp-Session-Id"

# Doing these twice does no more than doing them once.
_REPEATABLE: Final = frozenset({Judgment.FILTER_LIST, Judgment.READ_DOCUMENT})


class Forwarding:
    """Sends messages upstream, each within *seconds*. No header of the caller goes with them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def send(
        self,
        server: Server,
        message: Request | Notification,
        judged: Judged,
        question: Question,
        session: str | None,
        span: ServerSpan | None = None,
    ) -> Answer:
        """Send *message* and return the upstream's answer; *span* is its trace, if it has one.

        Raises `UpstreamError`.
        """
        if span is None:
            return await self._post(server, message, judged, question, session, {})
        with span.forward() as onward:
            message = traced(message, onward)
            return await self._post(server, message, judged, question, session, onward.headers())

    async def _post(
        self,
        server: Server,
        message: Request | Notification,
        judged: Judged,
        question: Question,
        session: str | None,
        trace: Mapping[str, str],
    ) -> Answer:
        row = judged.method
        is_first = message.method == "initialize"
        headers = _headers(server, message, None if is_first else judged.version, question)
        if session is not None and not judged.is_modern and not is_first:
            headers.append((_SESSION, session.encode()))
        headers += [(name.encode(), value.encode()) for name, value in trace.items()]
        return await server.pool.post(
            headers,
            message.encode(),
            deadline=self._seconds,
            repeatable=row is not None and row.judgment in _REPEATABLE,
        )

    async def end_session(self, server: Server, version: str, session: str) -> Answer:
        """Tell the upstream that *session* is over. Raises `UpstreamError`."""
        headers = [
            (b"MCP-Protocol-Version", version.encode()),
            (_SESSION, session.encode()),
            *server.credential,
        ]
        return await server.pool.delete(headers, deadline=self._seconds)


def outbound(
    message: Request | Notification, judged: Judged, *, may_log: bool
) -> Request | Notification:
    """Return *message* as the upstream gets it: without what it may not ask of the client.

    Unless *may_log*, it also lacks the wish for log messages.
    """
    params = message.params
    if params is None:
        return message
    meta = params.get("_meta")
    if type(meta) is dict:
        params = params | {"_meta": _outbound_meta(meta, judged, may_log=may_log)}
    if message.method == "initialize":
        params = _without(params, "capabilities")
    elif "task" in params:
        # Tasks are not offered, and who does not offer them answers at once.
        params = {name: value for name, value in params.items() if name != "task"}
    return message.with_params(params)


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


def wants_log(message: Request | Notification) -> bool:
    """Tell whether *message* asks for log messages of its own."""
    meta = (message.params or {}).get("_meta")
    return type(meta) is dict and LOG_LEVEL_KEY in meta


def _outbound_meta(meta: dict[str, Any], judged: Judged, *, may_log: bool) -> dict[str, Any]:
    kept = without_malformed(meta)
    if judged.is_modern:
        kept = _without(kept, CAPABILITIES_KEY)
        if not may_log:
            kept.pop(LOG_LEVEL_KEY, None)
    return kept


def _without(members: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = members.get(key)
    return {**members, key: withheld(found)} if type(found) is dict else dict(members)


def _headers(
    server: Server, message: Request | Notification, version: str | None, question: Question
) -> list[tuple[bytes, bytes]]:
    rows = _mirrored(server, question)
    mirrored = expected(rows, question.arguments or {}) if rows else None
    ours = outgoing(message, version, mirrored)
    return [(name.encode(), value.encode()) for name, value in ours] + list(server.credential)


def _mirrored(server: Server, question: Question) -> tuple[Mirrored, ...]:
    if question.resource.type != "Tool" or server.catalogue is None:
        return ()
    return server.catalogue.tools.get(question.subject, ())
