"""How measurements leave: read by Prometheus, or sent to a collector that may be slow or gone.

Sending happens in threads of the SDK. What the collector does not take is dropped and counted; no
request ever waits for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Thread
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import (
    Metric,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from prometheus_client import CollectorRegistry

METRICS_EVERY_SECONDS: Final = 15
EXPORT_SECONDS: Final = 5
"""For one export, all its attempts included."""
CLOSE_SECONDS: Final = 2.0
MOST_WAITING_SPANS: Final = 2048
MOST_SPANS_AT_ONCE: Final = 512

Own = Callable[[], Sequence[Metric]]
"""Reads the metrics that we aggregate ourselves."""


def resource(version: str) -> Resource:
    """Say who measured: ours, and what the standard `OTEL_RESOURCE_ATTRIBUTES` adds."""
    # Without the process, what two of them count would be one series for a collector.
    instance = f"{socket.gethostname()}:{os.getpid()}"
    return Resource.create(
        {
            "service.name": "northgate",
            "service.version": version,
            "service.instance.id": instance,
        }
    )


def address(endpoint: str, signal: str) -> str:
    return f"{endpoint.removesuffix('/')}/v1/{signal}"


class PullReader(PrometheusMetricReader):
    """What Prometheus reads, our own metrics included."""

    def __init__(self, own: Own, registry: CollectorRegistry) -> None:
        super().__init__(scope_info_enabled=False, registry=registry)
        self._own = own

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # noqa: ANN401  as the SDK has it
    ) -> None:
        super()._receive_metrics(_whole(metrics_data, self._own()), timeout_millis, **kwargs)


class PushReader(PeriodicExportingMetricReader):
    """What a collector is sent, our own metrics included."""

    def __init__(self, own: Own, exporter: MetricSender) -> None:
        self._own = own
        super().__init__(exporter, METRICS_EVERY_SECONDS * 1e3, EXPORT_SECONDS * 1e3)

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,  # noqa: ANN401  as the SDK has it
    ) -> None:
        super()._receive_metrics(_whole(metrics_data, self._own()), timeout_millis, **kwargs)


def _whole(collected: MetricsData, own: Sequence[Metric]) -> MetricsData:
    """Return what the SDK collected together with what it did not aggregate."""
    [origin] = collected.resource_metrics
    [scope] = origin.scope_metrics
    whole = replace(scope, metrics=[*scope.metrics, *own])
    return MetricsData([replace(origin, scope_metrics=[whole])])


class MetricSender(OTLPMetricExporter):
    """Sends metrics; `failed` counts exports that the collector did not take."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(address(endpoint, "metrics"), timeout=EXPORT_SECONDS)
        self.failed = 0

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float | None = 10_000,
        **kwargs: Any,  # noqa: ANN401  as the SDK has it
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self.failed += result is not MetricExportResult.SUCCESS
        return result


class SpanSender(OTLPSpanExporter):
    """Sends spans; of those `taken` from the queue, the collector did not take `failed`."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(address(endpoint, "traces"), timeout=EXPORT_SECONDS)
        self.taken = 0
        self.failed = 0
        self._is_over = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE if self._is_over else super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        """Send nothing more, not even again: what still comes is counted as failed."""
        if not self._is_over:
            self._is_over = True
            super().shutdown()  # type: ignore[no-untyped-call]


class SpanQueue(BatchSpanProcessor):
    """Spans that wait to be sent, so many and no more. For one thread."""

    def __init__(self, sender: SpanSender) -> None:
        super().__init__(
            sender, max_queue_size=MOST_WAITING_SPANS, max_export_batch_size=MOST_SPANS_AT_ONCE
        )
        self._sender = sender
        self._entered = 0
        self._refused = 0

    @property
    def dropped(self) -> int:
        return self._refused + self._sender.failed

    def close(self, seconds: float) -> None:
        """Send what waits and stop; blocks for at most so many *seconds*, and drops the rest."""
        # The SDK would wait for as long as each export takes.
        closing = Thread(target=self.shutdown, name="northgate-close-traces", daemon=True)
        closing.start()
        closing.join(seconds)
        self._sender.shutdown()

    def on_end(self, span: ReadableSpan) -> None:
        if not (span.context and span.context.trace_flags.sampled):
            return
        # The queue of the SDK would drop too, but with a line in the log for each and no count.
        if self._entered - self._sender.taken >= MOST_WAITING_SPANS:
            self._refused += 1
            return
        self._entered += 1
        super().on_end(span)
