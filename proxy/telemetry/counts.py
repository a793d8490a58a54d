"""What every request adds to, in plain tables.

An instrument of the SDK would cost several microseconds each time. One thread adds; any thread may
read. Readers work on copies, which are taken in one step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from policies.model import Decision
from proxy.telemetry import labels
from proxy.telemetry.instruments import (
    BOUNDARIES,
    DECISIONS_BY_RULE,
    OPERATIONS,
    POLICY_INFO,
    SHADOW_DIVERGENCES,
    Instrument,
)
from proxy.telemetry.labels import OTHER, Labels

_CUMULATIVE = AggregationTemporality.CUMULATIVE


class Tally:
    """Counts by label values, which whoever adds has taken from closed sets."""

    __slots__ = ("_counts", "_labels")

    def __init__(self, instrument: Instrument) -> None:
        self._labels = instrument.labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *values: str) -> None:
        counts = self._counts
        counts[values] = counts.get(values, 0) + 1

    def observations(self) -> list[Observation]:
        return [
            Observation(count, dict(zip(self._labels, map(str, values), strict=True)))
            for values, count in self._counts.copy().items()
        ]


class _Series:
    """The durations under one set of labels."""

    __slots__ = ("buckets", "least", "most", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDARIES) + 1)
        self.seconds = 0.0
        self.least = float("inf")
        self.most = 0.0


_OperationKey = tuple[str, str, str, str]


class Operations:
    """How long operations took. *since* is in nanoseconds since 1970."""

    def __init__(self, known: Labels, since: int) -> None:
        self._known = known
        self._since = since
        self._series: dict[_OperationKey, _Series] = {}

    def add(self, method: str, version: str, server: str, error: str, seconds: float) -> None:
        series = self._series.get((method, version, server, error))
        if series is None:
            series = self._admit(method, version, server, error)
        series.buckets[bisect_left(BOUNDARIES, seconds)] += 1
        series.seconds += seconds
        if seconds > series.most:  # noqa: PLR1730  each call would cost more than the rest
            series.most = seconds
        if seconds < series.least:  # noqa: PLR1730  as above
            series.least = seconds

    def metric(self, now: int) -> Metric:
        points = [self._point(key, one, now) for key, one in self._series.copy().items()]
        return _metric(OPERATIONS, Histogram(points, _CUMULATIVE))

    def _admit(self, method: str, version: str, server: str, error: str) -> _Series:
        # Only closed values are kept, so a name that a client made up leaves nothing behind.
        key = (
            labels.method(method),
            labels.version(version),
            self._known.server(server),
            labels.error(error),
        )
        return self._series.setdefault(key, _Series())

    def _point(self, key: _OperationKey, series: _Series, now: int) -> HistogramDataPoint:
        buckets = series.buckets.copy()
        return HistogramDataPoint(
            attributes={
                name: value for name, value in zip(OPERATIONS.labels, key, strict=True) if value
            },
            start_time_unix_nano=self._since,
            time_unix_nano=now,
            count=sum(buckets),
            sum=series.seconds,
            bucket_counts=buckets,
            explicit_bounds=BOUNDARIES,
            min=series.least,
            max=series.most,
        )


class PolicyUse:
    """The policy in force, and how many allows rest on each of its rules.

    Not left to the SDK, which would hold on to the labels of every policy there ever was.
    """

    def __init__(self, version: str, rules: Collection[str], since: int) -> None:
        self._version = version
        self._since = since
        self._counts = {OTHER: 0, **dict.fromkeys(rules, 0)}

    def add(self, decision: Decision) -> None:
        counts = self._counts
        for rule in decision.rules:
            # A decision may end under the policy that was replaced while it was made.
            counts[rule if rule in counts else OTHER] += 1

    def metrics(self, now: int) -> list[Metric]:
        used = [
            NumberDataPoint({"rule": rule}, self._since, now, count)
            for rule, count in self._counts.copy().items()
            if count
        ]
        version = NumberDataPoint({"version": self._version}, self._since, now, 1)
        return [
            _metric(DECISIONS_BY_RULE, Sum(used, _CUMULATIVE, is_monotonic=True)),
            _metric(POLICY_INFO, Gauge([version])),
        ]


class ShadowUse:
    """How often a candidate decides otherwise, by its rules and by those of the policy in force."""

    def __init__(
        self, newly_allowed: Collection[str], newly_denied: Collection[str], since: int
    ) -> None:
        self._rules = {"newly-allowed": newly_allowed, "newly-denied": newly_denied}
        self._since = since
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, difference: str, rules: Sequence[str]) -> None:
        """Count under each of *rules*, and as other where it rests on none."""
        known = self._rules.get(difference, ())
        for rule in {one if one in known else OTHER for one in rules} or {OTHER}:
            self._counts[difference, rule] = self._counts.get((difference, rule), 0) + 1

    def metrics(self, now: int) -> list[Metric]:
        points = [
            NumberDataPoint({"difference": difference, "rule": rule}, self._since, now, count)
            for (difference, rule), count in self._counts.copy().items()
        ]
        return [_metric(SHADOW_DIVERGENCES, Sum(points, _CUMULATIVE, is_monotonic=True))]


def _metric(instrument: Instrument, data: Histogram | Sum | Gauge) -> Metric:
    return Metric(instrument.name, instrument.meaning, instrument.unit, data)
