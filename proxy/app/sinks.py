"""The sinks that are set, put together."""

from __future__ import annotations

import ssl
import sys
from importlib.metadata import version
from typing import Final

from proxy.app.parts import CLOCKS, Telling
from proxy.config import Settings
from proxy.config.tree import Sink as SinkSettings
from proxy.config.values import SyslogAddress
from proxy.shipping import Reports, Shipper, Source
from proxy.sinks.otlp import OtlpLogs
from proxy.sinks.posting import Poster
from proxy.sinks.sink import Receiver, Share, Sink, Sinks
from proxy.sinks.stdout import Stdout
from proxy.sinks.syslog import Line, SyslogDatagrams, SyslogStream
from proxy.sinks.webhook import Webhook
from proxy.starting import Ready
from proxy.telemetry.export import address, resource
from proxy.upstream.presented import Presented
from storage.journal import Kind

TURN: Final = "stdout.turn"


def sinks_of(settings: Settings, ready: Ready, source: Source, telling: Telling) -> Sinks:
    """Return what sends *source* to every sink that is set, from the running event loop."""
    sinks = {}
    for name, one in settings.record.sinks.items():
        share = Share(frozenset(map(Kind, one.kinds)), one.batch_records)
        sink = Sink(name, _receiver(one, settings, ready), source.directory, share)
        shipper = Shipper(sink, source, _reports(name, telling), CLOCKS.monotonic, CLOCKS.now)
        telling.sinks[name].follow(shipper)
        sinks[name] = (sink, shipper)
    return Sinks(sinks)


def _reports(name: str, telling: Telling) -> Reports:
    events = telling.events
    return Reports(
        lambda code, detail: events.sink_failed(sink=name, code=code, detail=detail),
        lambda seconds: events.sink_recovered(sink=name, seconds=seconds),
        telling.reporting.fault(f"sending the record to {name}"),
    )


def _receiver(one: SinkSettings, settings: Settings, ready: Ready) -> Receiver:
    seconds = one.timeout_seconds
    match one.kind:
        case "stdout":
            return Stdout(sys.stdout.fileno(), seconds, ready.place.journal / TURN)
        case "syslog":
            return _syslog(one)
        case "webhook":
            return Webhook(_poster(one, one.url or ""), one.signing_key)
        case "otlp":
            endpoint = one.endpoint or settings.telemetry.otlp_endpoint or ""
            return OtlpLogs(_poster(one, address(endpoint, "logs")), resource(version("northgate")))


def _syslog(one: SinkSettings) -> Receiver:
    match one.address:
        case SyslogAddress("udp", host, port):
            return SyslogDatagrams(Line(host, port, one.timeout_seconds), one.facility)
        case SyslogAddress(transport, host, port):
            context = _context(one) if transport == "tls" else None
            return SyslogStream(Line(host, port, one.timeout_seconds, context), one.facility)
    raise ValueError("a syslog sink has an address")


def _poster(one: SinkSettings, url: str) -> Poster:
    given = Presented(one.bearer, one.headers).lines
    headers = {name.decode(): value.decode() for name, value in given}
    headers.setdefault("User-Agent", f"northgate/{version('northgate')}")
    return Poster(url, headers, one.timeout_seconds, _context(one))


def _context(one: SinkSettings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(one.ca_file) if one.ca_file else None)
