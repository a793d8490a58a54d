"""Spans: the right shape, the right parents, nothing secret, and no waiting (R24)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proxy.telemetry.context import TraceContext
from proxy.telemetry.export import MOST_WAITING_SPANS
from proxy.telemetry.labels import Labels
from proxy.telemetry.traces import Traces
from tests.telemetry.collector import Collector, attributes, black_hole, collecting, wait_until

TRACE, PARENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CARRIED = TraceContext(f"00-{TRACE}-{PARENT_SPAN}-01", "rojo=1", "user=alice")
KNOWN = Labels(frozenset({"github"}))
CALL = ("tools/call", "2026-07-28", "github")
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
CANARY = "canary-7d1f"


@contextmanager
def tracing() -> Iterator[tuple[Traces, Collector]]:
    with collecting() as collector:
        traces = Traces(KNOWN, version="1", otlp_endpoint=collector.endpoint)
        try:
            yield traces, collector
        finally:
            traces.close(seconds=5)


def test_one_call_is_a_server_span_and_under_it_a_client_span() -> None:
    with tracing() as (traces, collector):
        with traces.serve(*CALL, CARRIED) as span:
            span.about("create_issue")
            span.decided("0193-id", "allow")
            with span.forward() as onward:
                pass
        traces.close(seconds=5)
        served, forwarded = collector.span(SERVER), collector.span(CLIENT)

    assert served.name == forwarded.name == "tools/call create_issue"
    assert served.trace_id.hex() == forwarded.trace_id.hex() == TRACE
    assert served.parent_span_id.hex() == PARENT_SPAN
    assert forwarded.parent_span_id == served.span_id
    shared = {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2026-07-28",
        "northgate.server": "github",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "create_issue",
    }
    decided = {"northgate.decision.id": "0193-id", "northgate.decision.verdict": "allow"}
    assert attributes(forwarded.attributes) == shared
    assert attributes(served.attributes) == shared | decided
    assert served.status.code == forwarded.status.code == Status.STATUS_CODE_UNSET
    assert onward.context.traceparent == f"00-{TRACE}-{forwarded.span_id.hex()}-01"


def test_the_upstream_is_told_the_context_in_body_and_headers() -> None:
    meta = {"traceparent": "old", "tracestate": "old", "baggage": "old", "x": 1}
    with (
        tracing() as (traces, _),
        traces.serve(*CALL, CARRIED) as span,
        span.forward() as onward,
    ):
        told, headers = onward.meta(meta), onward.headers()

    assert headers == {"traceparent": onward.context.traceparent, "tracestate": "rojo=1"}
    assert told == {"x": 1, **headers, "baggage": "user=alice"}
    assert meta["traceparent"] == "old"


def test_a_call_without_context_begins_a_trace() -> None:
    with tracing() as (traces, collector):
        with traces.serve(*CALL, TraceContext()) as span, span.forward() as onward:
            assert onward.headers().keys() == {"traceparent"}
            assert onward.meta({}).keys() == {"traceparent"}
        traces.close(seconds=5)
        assert collector.span(SERVER).parent_span_id == b""


def test_a_call_that_its_client_does_not_sample_is_not_sent_but_passed_on() -> None:
    with tracing() as (traces, collector):
        unsampled = TraceContext(f"00-{TRACE}-{PARENT_SPAN}-00")
        with traces.serve(*CALL, unsampled) as span, span.forward() as onward:
            assert onward.context.traceparent.startswith(f"00-{TRACE}-")
            assert onward.context.traceparent.endswith("-00")
        traces.close(seconds=5)
        assert collector.spans == []


@pytest.mark.parametrize(
    ("method", "name", "key"),
    [
        ("tools/call", "tools/call thing", "gen_ai.tool.name"),
        ("prompts/get", "prompts/get thing", "gen_ai.prompt.name"),
        ("resources/read", "resources/read", None),
    ],
)
def test_only_tools_and_prompts_are_named(method: str, name: str, key: str | None) -> None:
    with tracing() as (traces, collector):
        with traces.serve(method, "2026-07-28", "github", CARRIED) as span:
            span.about("thing")
        traces.close(seconds=5)
        served = collector.span(SERVER)

    assert served.name == name
    names = {one for one in attributes(served.attributes) if one.startswith("gen_ai.")}
    assert names - {"gen_ai.operation.name"} == ({key} if key else set())


def test_names_that_are_not_known_are_not_sent() -> None:
    with tracing() as (traces, collector):
        with traces.serve(CANARY, CANARY, CANARY, TraceContext(baggage=f"a={CANARY}")) as span:
            span.failed(CANARY)
            with span.forward():
                pass
        traces.close(seconds=5)

    assert len(collector.spans) == 2
    assert not any(CANARY.encode() in body for body in collector.raw)


def test_a_failed_call_says_with_what() -> None:
    with tracing() as (traces, collector):
        with traces.serve(*CALL, CARRIED) as span:
            span.failed("40301")
        traces.close(seconds=5)
        served = collector.span(SERVER)

    assert served.status.code == Status.STATUS_CODE_ERROR
    assert attributes(served.attributes)["error.type"] == "40301"


@pytest.mark.parametrize(
    ("error", "told"),
    [(ValueError(CANARY), "_OTHER"), (asyncio.CancelledError(CANARY), "client_left")],
)
def test_an_exception_ends_both_spans_as_failed_and_its_words_stay_here(
    error: BaseException, told: str
) -> None:
    with tracing() as (traces, collector):
        with (
            suppress(ValueError, asyncio.CancelledError),
            traces.serve(*CALL, CARRIED) as span,
            span.forward(),
        ):
            raise error
        traces.close(seconds=5)

    assert [attributes(one.attributes)["error.type"] for one in collector.spans] == [told] * 2
    assert not any(CANARY.encode() in body for body in collector.raw)


def test_without_a_collector_nothing_is_begun_and_the_context_passes_unchanged() -> None:
    traces = Traces(KNOWN, version="1")

    with traces.serve(*CALL, CARRIED) as span:
        span.about("create_issue")
        with span.forward() as onward:
            assert onward.context == CARRIED
    traces.close()

    assert not traces.on
    assert traces.dropped == 0


def test_a_collector_that_never_answers_costs_a_bounded_queue_and_no_time() -> None:
    calls = 3 * MOST_WAITING_SPANS
    with black_hole() as hole:
        traces = Traces(KNOWN, version="1", otlp_endpoint=hole.endpoint)
        slowest = 0.0
        for _ in range(calls):
            began = time.perf_counter()
            with traces.serve(*CALL, CARRIED):
                pass
            slowest = max(slowest, time.perf_counter() - began)
        assert hole.asked.wait(5)
        dropped = traces.dropped
        began = time.perf_counter()
        traces.close(seconds=0.3)
        took = time.perf_counter() - began

    assert slowest < 1
    assert took < 2
    assert calls - 2 * MOST_WAITING_SPANS <= dropped < calls
    # The hole is closed now, so the export that hung ends, and all that waited is counted.
    wait_until(lambda: traces.dropped == calls)


def test_spans_that_a_collector_refuses_are_counted() -> None:
    with collecting() as collector:
        traces = Traces(KNOWN, version="1", otlp_endpoint=f"{collector.endpoint}/nowhere")
        for _ in range(3):
            with traces.serve(*CALL, CARRIED):
                pass
        traces.close(seconds=5)

    assert traces.dropped == 3
