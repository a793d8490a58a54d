"""Spans: one for each call that is served, and one for what goes on to an upstream because of it.

Never an argument, a URI or a token in an attribute, and no text of an exception.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NoOpTracer,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.telemetry import labels
from proxy.telemetry.context import TraceContext
from proxy.telemetry.export import CLOSE_SECONDS, SpanQueue, SpanSender, resource
from proxy.telemetry.labels import CLIENT_LEFT, OTHER_ERROR, Labels

_TARGETS: Final = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Traces:
    """The spans of one process, sent to *otlp_endpoint*. For one thread.

    `on` is false where there is no endpoint: ask it before doing work for a span. What is done all
    the same is lost, and the context that a request carries is passed on as it came. How many
    calls are sampled is left to the request's own context and to the standard
    `OTEL_TRACES_SAMPLER`.
    """

    def __init__(self, known: Labels, *, version: str, otlp_endpoint: str | None = None) -> None:
        self.on = otlp_endpoint is not None
        self._known = known
        self._queue: SpanQueue | None = None
        self._tracer: Tracer = NoOpTracer()
        if otlp_endpoint is not None:
            self._queue = SpanQueue(SpanSender(otlp_endpoint))
            # The SDK's own shutdown at exit would wait for the collector.
            provider = TracerProvider(resource=resource(version), shutdown_on_exit=False)
            provider.add_span_processor(self._queue)
            self._tracer = provider.get_tracer("northgate", version)

    @property
    def dropped(self) -> int:
        """Spans that the collector did not take."""
        return self._queue.dropped if self._queue else 0

    def serve(self, method: str, version: str, server: str, carried: TraceContext) -> ServerSpan:
        """Begin the span of one call, a child of the span that the client *carried* here."""
        name = labels.method(method)
        attributes = {
            "mcp.method.name": name,
            "mcp.protocol.version": labels.version(version),
            "northgate.server": self._known.server(server),
        }
        if method == "tools/call":
            attributes["gen_ai.operation.name"] = "execute_tool"
        parent = _PROPAGATOR.extract(
            {"traceparent": carried.traceparent, "tracestate": carried.tracestate}, Context()
        )
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        return ServerSpan(self._tracer, span, name, attributes, carried.baggage)

    def close(self, *, seconds: float = CLOSE_SECONDS) -> None:
        """Send what waits and stop; blocks for at most so many *seconds*, and counts the rest."""
        if self._queue:
            self._queue.close(seconds)


class _Ending:
    """A span that ends with a `with` block; an exception out of that is its failure."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def failed(self, error: str) -> None:
        """Say what the call failed with: a JSON-RPC code or another word of `labels.ERRORS`."""
        self._span.set_attribute("error.type", labels.error(error))
        self._span.set_status(Status(StatusCode.ERROR))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            # What is not an ordinary exception is a cancellation: the client did not wait.
            self.failed(OTHER_ERROR if isinstance(error, Exception) else CLIENT_LEFT)
        self._span.end()


class ServerSpan(_Ending):
    """The span of one call, from its arrival to its answer."""

    __slots__ = ("_attributes", "_baggage", "_name", "_tracer")

    def __init__(
        self, tracer: Tracer, span: Span, name: str, attributes: dict[str, str], baggage: str
    ) -> None:
        super().__init__(span)
        self._tracer = tracer
        self._name = name
        self._attributes = attributes
        self._baggage = baggage

    def about(self, target: str) -> None:
        """Name the tool or prompt, once the catalogue is known to have it."""
        key = _TARGETS.get(self._name)
        if key is not None:
            self._attributes[key] = target
            self._name = f"{self._name} {target}"
            self._span.set_attribute(key, target)
            self._span.update_name(self._name)

    def decided(self, decision_id: str, verdict: str) -> None:
        """Point to the record of the decision."""
        self._span.set_attribute("northgate.decision.id", decision_id)
        self._span.set_attribute("northgate.decision.verdict", verdict)

    def forward(self) -> ClientSpan:
        """Begin the span of what goes on to the upstream."""
        parent = set_span_in_context(self._span, Context())
        span = self._tracer.start_span(self._name, parent, SpanKind.CLIENT, self._attributes)
        return ClientSpan(span, self._baggage)


class ClientSpan(_Ending):
    """The span of one call of an upstream. `context` is what the upstream is to be told."""

    __slots__ = ("context",)

    def __init__(self, span: Span, baggage: str) -> None:
        super().__init__(span)
        fields: dict[str, str] = {}
        _PROPAGATOR.inject(fields, set_span_in_context(span, Context()))
        self.context = TraceContext(
            fields.get("traceparent", ""), fields.get("tracestate", ""), baggage
        )

    def headers(self) -> dict[str, str]:
        """Return the context as HTTP headers."""
        return _filled(traceparent=self.context.traceparent, tracestate=self.context.tracestate)

    def meta(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Return a copy of *meta*, the `params._meta` of the call, with this context in it."""
        rest = {
            name: value
            for name, value in meta.items()
            if name not in ("traceparent", "tracestate", "baggage")
        }
        return {**rest, **self.headers(), **_filled(baggage=self.context.baggage)}


def _filled(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}
