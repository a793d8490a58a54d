"""Collectors on real sockets: one that takes what it is sent, one that never answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import monotonic

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

DEADLINE_SECONDS = 10.0


@dataclass
class Collector:
    """What was sent; `raw` are the bytes of every body."""

    endpoint: str
    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    logs: list[LogRecord] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> bool:
        self.raw.append(body)
        if path == "/v1/traces":
            for origin in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in origin.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for source in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {one.name: one for s in source.scope_metrics for one in s.metrics}
        elif path == "/v1/logs":
            for kept in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs += [one for scope in kept.scope_logs for one in scope.log_records]
        else:
            return False
        return True

    def span(self, kind: Span.SpanKind.ValueType) -> Span:
        [found] = [span for span in self.spans if span.kind == kind]
        return found


def attributes(pairs: object) -> dict[str, object]:
    """Return attributes by name; *pairs* is a repeated `KeyValue`."""
    found: dict[str, object] = {}
    for pair in pairs:  # type: ignore[attr-defined]
        assert isinstance(pair, KeyValue)
        found[pair.key] = getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
    return found


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if collector.take(self.path, body) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@dataclass
class BlackHole:
    endpoint: str
    asked: Event = field(default_factory=Event)
    """A request has begun to arrive."""


@contextmanager
def black_hole() -> Iterator[BlackHole]:
    """Accept connections, read what comes, and never say a word until the block ends."""
    lines: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            lines.append(line)
            if line.recv(65536):
                hole.asked.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        hole = BlackHole(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = Thread(target=accept)
        thread.start()
        try:
            yield hole
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for line in lines:
                line.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return once *is_so*; fail if that takes too long."""
    turn = Event()
    deadline = monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert monotonic() < deadline, "It did not come to be in time."
        turn.wait(0.005)
