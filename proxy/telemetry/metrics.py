"""Everything that is counted, for Prometheus and for a collector.

Label values come from closed sets, so that no client can make a series. One thread counts; reading
is safe from any.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Metric, MetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from policies.model import Decision
from proxy.telemetry import instruments as i
from proxy.telemetry.counts import Operations, PolicyUse, ShadowUse, Tally
from proxy.telemetry.export import CLOSE_SECONDS, MetricSender, PullReader, PushReader, resource
from proxy.telemetry.instruments import Instrument, Type
from proxy.telemetry.labels import ACTIONS, DROPPED, OTHER, UPSTREAM_KINDS, Labels
from storage.journal import Health


class Backlog(Protocol):
    """How far behind a copy of the record is."""

    @property
    def records(self) -> int: ...

    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What is asked when metrics are read, in whatever thread reads them."""

    journal: Callable[[], Health]
    fact_version: Callable[[], int]
    staleness: Callable[[], float]
    dropped_spans: Callable[[], int]
    behind: Callable[[], int] = lambda: 0
    lag: Callable[[], float] = lambda: 0.0
    observed: Callable[[], int] = lambda: 0
    size: Callable[[], int] = lambda: 0
    limit: Callable[[], int] = lambda: 0
    oldest: Callable[[], float] = lambda: 0.0
    sinks: Mapping[str, Backlog] = field(default_factory=dict)


class Metrics:
    """The metrics of one process. *clock* returns nanoseconds since 1970, UTC.

    Starts a thread that sends to *otlp_endpoint*, if there is one. Until `policy_in_force` is
    called, the policy is `none`.
    """

    def __init__(
        self,
        known: Labels,
        sources: Sources,
        clock: Callable[[], int],
        *,
        version: str,
        otlp_endpoint: str | None = None,
    ) -> None:
        self._known = known
        self._clock = clock
        self._operations = Operations(known, clock())
        self._policy = PolicyUse("none", (), clock())
        self._shadow = ShadowUse((), (), clock())
        self._decisions = Tally(i.DECISIONS)
        self._decisions_observed = Tally(i.DECISIONS_OBSERVED)
        self._refusals = Tally(i.REFUSALS)
        self._upstream_errors = Tally(i.UPSTREAM_ERRORS)
        self._upstream_dropped = Tally(i.UPSTREAM_DROPPED)
        self._reload_failures = 0
        self._shadow_compared = 0
        self._shadow_skipped = 0
        self._streams = 0
        self._unreachable = 0
        self._scraping = Lock()
        self._registry = CollectorRegistry()
        self._sender = MetricSender(otlp_endpoint) if otlp_endpoint else None
        self._provider = MeterProvider(self._readers(), resource(version), shutdown_on_exit=False)
        self._observe_all(self._provider.get_meter("northgate", version), sources, version)

    def operation(
        self, method: str, version: str, server: str, seconds: float, error: str = ""
    ) -> None:
        """Count one request or notification.

        *error* is what it failed with: a JSON-RPC code or another word of `labels.ERRORS`.
        """
        self._operations.add(method, version, server, error, seconds)

    def decision(self, decision: Decision, action: str) -> None:
        self._decisions.add(
            decision.verdict, decision.reason, action if action in ACTIONS else OTHER
        )
        self._policy.add(decision)

    def decision_observed(self, server: str, reason: str, action: str) -> None:
        """Count a denial that was not enforced, beside the decision that it is."""
        known = action if action in ACTIONS else OTHER
        self._decisions_observed.add(self._known.server(server), reason, known)

    def refusal(self, reason: str) -> None:
        """Count a request that was refused before anything was asked of the policy.

        *reason* is one of `proxy.identity.refusal.Reason`, the name of a `proxy.wire` fault in
        small letters, or a word of the listener.
        """
        self._refusals.add(self._known.refusal(reason))

    def upstream_error(self, server: str, kind: str) -> None:
        """Count an answer that cannot be used; *kind* is one of `proxy.upstream.failures.Kind`."""
        self._upstream_errors.add(
            self._known.server(server), kind if kind in UPSTREAM_KINDS else OTHER
        )

    def upstream_dropped(self, server: str, what: str) -> None:
        """Count a message nobody asked for: *what* is its method, or `labels.RESPONSE`."""
        self._upstream_dropped.add(self._known.server(server), what if what in DROPPED else OTHER)

    def policy_in_force(self, version: str, rules: Collection[str]) -> None:
        """Count from now on by *rules*, the `file:line` of each rule of the policy."""
        self._policy = PolicyUse(version, rules, self._clock())

    def policy_not_taken(self) -> None:
        self._reload_failures += 1

    def shadow_begun(self, candidate: Collection[str], in_force: Collection[str]) -> None:
        """Count from now on by the rules of *candidate* and of the policy *in_force*."""
        self._shadow = ShadowUse(candidate, in_force, self._clock())

    def shadow_compared(self) -> None:
        self._shadow_compared += 1

    def shadow_diverged(self, difference: str, rules: Sequence[str]) -> None:
        """Count a decision that differs; *difference* is of `policies.replay.Difference`."""
        self._shadow.add(difference, rules)

    def shadow_skipped(self) -> None:
        self._shadow_skipped += 1

    def stream_opened(self) -> None:
        self._streams += 1

    def stream_closed(self) -> None:
        self._streams -= 1

    def workers_left_out(self, count: int) -> None:
        """Count the workers that a scrape was told nothing by."""
        self._unreachable += count

    def exposition(self) -> tuple[bytes, str]:
        """Return the text that Prometheus reads of this process, and its content type.

        Takes about a millisecond, and a fifth more for each series of durations: call it in a
        thread of its own.
        """
        # The reader keeps what it collected in a place that two scrapes would share.
        with self._scraping:
            return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def close(self, *, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is there and stop; blocks for at most so many *seconds*."""
        self._provider.shutdown(timeout_millis=seconds * 1e3)

    def _readers(self) -> list[MetricReader]:
        pull = PullReader(self._own, self._registry)
        return [pull, PushReader(self._own, self._sender)] if self._sender else [pull]

    def _own(self) -> list[Metric]:
        now = self._clock()
        use = (*self._policy.metrics(now), *self._shadow.metrics(now))
        return [self._operations.metric(now), *use]

    def _observe_all(self, meter: Meter, sources: Sources, version: str) -> None:
        build = {"version": version, "python": platform.python_version()}
        for tally, instrument in (
            (self._decisions, i.DECISIONS),
            (self._decisions_observed, i.DECISIONS_OBSERVED),
            (self._refusals, i.REFUSALS),
            (self._upstream_errors, i.UPSTREAM_ERRORS),
            (self._upstream_dropped, i.UPSTREAM_DROPPED),
        ):
            _observe(meter, instrument, tally.observations)
        for instrument, read in (
            *_journal(sources.journal),
            (i.POLICY_RELOAD_FAILURES, lambda: self._reload_failures),
            (i.SHADOW_COMPARED, lambda: self._shadow_compared),
            (i.SHADOW_SKIPPED, lambda: self._shadow_skipped),
            (i.FACTS_VERSION, sources.fact_version),
            (i.STATE_STALENESS, sources.staleness),
            (i.SERVERS_OBSERVED, sources.observed),
            (i.JOURNAL_BYTES, sources.size),
            (i.JOURNAL_LIMIT, sources.limit),
            (i.JOURNAL_OLDEST, sources.oldest),
            (i.SHIPPING_BEHIND, sources.behind),
            (i.SHIPPING_LAG, sources.lag),
            (i.STREAMS_OPEN, lambda: self._streams),
            (i.WORKERS_UNREACHABLE, lambda: self._unreachable),
        ):
            _observe(meter, instrument, _single(read))
        for instrument, backlog in (
            (i.SINK_BEHIND, lambda one: one.records),
            (i.SINK_LAG, lambda one: one.seconds),
        ):
            _observe(meter, instrument, _of_sinks(sources.sinks, backlog))
        _observe(meter, i.TELEMETRY_DROPPED, lambda: self._dropped(sources))
        _observe(meter, i.BUILD_INFO, lambda: [Observation(1, build)])

    def _dropped(self, sources: Sources) -> list[Observation]:
        failed = self._sender.failed if self._sender else 0
        return [
            Observation(sources.dropped_spans(), {"signal": "traces"}),
            Observation(failed, {"signal": "metrics"}),
        ]


def _journal(health: Callable[[], Health]) -> list[tuple[Instrument, Callable[[], int]]]:
    return [
        (i.JOURNAL_WAITING, lambda: health().waiting),
        (i.JOURNAL_DURABLE, lambda: health().durable),
        (i.JOURNAL_REFUSED, lambda: health().refused),
        (i.JOURNAL_LATE, lambda: health().late),
        (i.JOURNAL_LOST, lambda: health().lost),
        (i.JOURNAL_FAILURES, lambda: health().failures),
        (i.JOURNAL_AVAILABLE, lambda: int(health().available)),
    ]


def _of_sinks(
    sinks: Mapping[str, Backlog], read: Callable[[Backlog], float]
) -> Callable[[], list[Observation]]:
    return lambda: [Observation(read(one), {"sink": name}) for name, one in sinks.items()]


def _single(read: Callable[[], float]) -> Callable[[], list[Observation]]:
    return lambda: [Observation(read())]


def _observe(
    meter: Meter, instrument: Instrument, read: Callable[[], Iterable[Observation]]
) -> None:
    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        return read()

    create = {
        Type.COUNTER: meter.create_observable_counter,
        Type.GAUGE: meter.create_observable_gauge,
        Type.UP_DOWN: meter.create_observable_up_down_counter,
    }[instrument.type]
    create(instrument.name, [callback], instrument.unit, instrument.meaning)
