"""Metrics: true, closed, cheap, and out of the way of requests (T39, R24)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from policies.model import Decision, Reason, Verdict
from proxy.identity.refusal import Reason as Unidentified
from proxy.telemetry.instruments import INSTRUMENTS, Type
from proxy.telemetry.labels import CLIENT_LEFT, ERRORS, RESPONSE, TOOL_ERROR, Labels
from proxy.telemetry.metrics import Metrics, Sources
from proxy.upstream.failures import Kind
from proxy.wire.methods import TABLE
from proxy.wire.refusals import Fault
from storage.journal import Health
from tests.telemetry.collector import attributes, black_hole, collecting

HEALTH = Health("", waiting=1, durable=22, refused=3, late=4, lost=5, failures=6)
RULES = ("main.polar:3", "main.polar:9", "roles.polar:12")
ALLOW = Decision(Verdict.ALLOW, Reason.GRANTED, "abc", 7, RULES[:2])
DENY = Decision(Verdict.DENY, Reason.NO_RULE, "abc", 7)
DURATION = "mcp_server_operation_duration_seconds"
CALL = ("tools/call", "2026-07-28", "github")


@dataclass(frozen=True)
class Behind:
    records: int
    seconds: float


@contextmanager
def measured(health: Health = HEALTH, endpoint: str | None = None) -> Iterator[Metrics]:
    metrics = Metrics(
        Labels(frozenset({"github", "files"}), frozenset({"host", "origin"})),
        Sources(
            journal=lambda: health,
            fact_version=lambda: 41,
            staleness=lambda: 0.5,
            dropped_spans=lambda: 2,
            behind=lambda: 7,
            lag=lambda: 1.5,
            sinks={"siem": Behind(3, 2.5)},
        ),
        time.time_ns,
        version="1.2.3",
        otlp_endpoint=endpoint,
    )
    try:
        yield metrics
    finally:
        metrics.close()


def samples(metrics: Metrics) -> list[Sample]:
    text, content_type = metrics.exposition()
    assert content_type.startswith("text/plain;")
    families = text_string_to_metric_families(text.decode())
    return [sample for family in families for sample in family.samples]


def found(metrics: Metrics, name: str, **labels: str) -> list[float]:
    return [
        sample.value
        for sample in samples(metrics)
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def test_a_scrape_counts_every_operation_in_the_bucket_of_its_duration() -> None:
    with measured() as metrics:
        for seconds in (0.004, 0.01, 0.011, 7.0, 301.0):
            metrics.operation(*CALL, seconds)

        assert found(metrics, f"{DURATION}_bucket", le="0.01") == [2]
        assert found(metrics, f"{DURATION}_bucket", le="0.02") == [3]
        assert found(metrics, f"{DURATION}_bucket", le="10.0") == [4]
        assert found(metrics, f"{DURATION}_bucket", le="300.0") == [4]
        assert found(metrics, f"{DURATION}_bucket", le="+Inf") == [5]
        assert found(metrics, f"{DURATION}_count") == [5]
        assert found(metrics, f"{DURATION}_sum") == [pytest.approx(308.025)]


def test_operations_are_told_apart_by_method_version_server_and_error() -> None:
    with measured() as metrics:
        metrics.operation(*CALL, 0.1)
        metrics.operation(*CALL, 0.1, "40301")
        metrics.operation("tools/list", "2025-11-25", "files", 0.1, TOOL_ERROR)

        labels = [one.labels for one in samples(metrics) if one.name == f"{DURATION}_count"]
        assert [tuple(sorted(one.values())) for one in labels] == [
            ("", "2026-07-28", "github", "tools/call"),
            ("2026-07-28", "40301", "github", "tools/call"),
            ("2025-11-25", "files", "tool_error", "tools/list"),
        ]


def test_decisions_are_counted_by_verdict_reason_and_action() -> None:
    with measured() as metrics:
        metrics.policy_in_force("abc", RULES)
        for _ in range(3):
            metrics.decision(ALLOW, "call")
        metrics.decision(DENY, "read")

        name = "northgate_decisions_total"
        assert found(metrics, name, verdict="allow", reason="granted", action="call") == [3]
        assert found(metrics, name, verdict="deny", reason="no_rule", action="read") == [1]
        assert found(metrics, name, verdict="undecided") == []


def test_an_allow_counts_for_each_rule_it_rests_on_and_an_unused_rule_has_no_series() -> None:
    with measured() as metrics:
        metrics.policy_in_force("abc", RULES)
        metrics.decision(ALLOW, "call")
        metrics.decision(DENY, "call")

        name = "northgate_decisions_by_rule_total"
        assert found(metrics, name, rule=RULES[0]) == [1]
        assert found(metrics, name, rule=RULES[1]) == [1]
        assert len(found(metrics, name)) == 2


def test_a_new_policy_leaves_no_series_of_the_one_before() -> None:
    with measured() as metrics:
        for number in range(3000):
            metrics.policy_in_force(f"v{number}", (f"main.polar:{number}",))
            metrics.decision(
                Decision(Verdict.ALLOW, Reason.GRANTED, "v", 1, (f"main.polar:{number}",)), "call"
            )
            if number % 500 == 0:
                metrics.exposition()

        rules = [s for s in samples(metrics) if s.name == "northgate_decisions_by_rule_total"]
        assert [one.labels for one in rules] == [{"rule": "main.polar:2999"}]
        assert [s.labels for s in samples(metrics) if s.name == "northgate_policy_info"] == [
            {"version": "v2999"}
        ]


def test_a_decision_of_the_policy_before_is_counted_as_other() -> None:
    with measured() as metrics:
        metrics.policy_in_force("new", ("other.polar:1",))
        metrics.decision(ALLOW, "call")

        assert found(metrics, "northgate_decisions_by_rule_total", rule="other") == [2]


def test_what_the_journal_says_of_itself_is_read_at_each_scrape() -> None:
    health = [HEALTH]
    known = Labels(frozenset())
    sources = Sources(lambda: health[0], lambda: 1, lambda: 0, lambda: 0)
    metrics = Metrics(known, sources, time.time_ns, version="1")
    try:
        assert found(metrics, "northgate_journal_waiting") == [1]
        assert found(metrics, "northgate_journal_durable_total") == [22]
        assert found(metrics, "northgate_journal_refused_total") == [3]
        assert found(metrics, "northgate_journal_late_total") == [4]
        assert found(metrics, "northgate_journal_lost_total") == [5]
        assert found(metrics, "northgate_journal_failures_total") == [6]
        assert found(metrics, "northgate_journal_available") == [1]

        health[0] = Health("journal-full", 0, 23, 3, 4, 5, 7)

        assert found(metrics, "northgate_journal_available") == [0]
        assert found(metrics, "northgate_journal_durable_total") == [23]
    finally:
        metrics.close()


def test_what_is_in_force_and_what_was_dropped_can_be_read() -> None:
    with measured() as metrics:
        metrics.policy_in_force("sha256:abc", RULES)
        metrics.policy_not_taken()
        metrics.stream_opened()
        metrics.stream_opened()
        metrics.stream_closed()

        assert found(metrics, "northgate_policy_info", version="sha256:abc") == [1]
        assert found(metrics, "northgate_policy_reload_failures_total") == [1]
        assert found(metrics, "northgate_facts_version") == [41]
        assert found(metrics, "northgate_streams_open") == [1]
        assert found(metrics, "northgate_sink_behind", sink="siem") == [3]
        assert found(metrics, "northgate_sink_lag_seconds", sink="siem") == [2.5]
        assert found(metrics, "northgate_telemetry_dropped_total", signal="traces") == [2]
        assert found(metrics, "northgate_telemetry_dropped_total", signal="metrics") == [0]
        assert found(metrics, "northgate_build_info", version="1.2.3") == [1]


def everything(metrics: Metrics) -> None:
    """Count something with each value that a label may have, at least once."""
    metrics.policy_in_force("abc", RULES)
    for name in [*(row.name for row in TABLE), "nonsense"]:
        metrics.operation(name, "2026-07-28", "github", 0.1)
        metrics.upstream_dropped("github", name)
    metrics.operation("nonsense", "nonsense", "nonsense", 0.1, "nonsense")
    metrics.operation(*CALL, 0.1, CLIENT_LEFT)
    metrics.upstream_dropped("nonsense", "nonsense")
    metrics.upstream_dropped("github", RESPONSE)
    metrics.decision(ALLOW, "call")
    metrics.decision(ALLOW, "nonsense")
    metrics.decision(Decision(Verdict.ALLOW, Reason.GRANTED, "abc", 7, ("nonsense",)), "call")
    metrics.decision_observed("github", Reason.NO_RULE, "call")
    metrics.decision_observed("nonsense", Reason.NO_RULE, "nonsense")
    for reason in [*Unidentified, *(fault.name.lower() for fault in Fault), "host", "nonsense"]:
        metrics.refusal(reason)
    for kind in Kind:
        metrics.upstream_error("github", kind)
    metrics.upstream_error("nonsense", "nonsense")
    metrics.shadow_begun(RULES, RULES)
    for rule in [*RULES, "nonsense"]:
        metrics.shadow_diverged("newly-allowed", [rule])


def test_ten_thousand_made_up_names_make_no_series() -> None:
    with measured() as metrics:
        everything(metrics)
        before = {(one.name, *sorted(one.labels.items())) for one in samples(metrics)}
        rules = tuple(f"made-up-{number}.polar:1" for number in range(3))
        invented = Decision(Verdict.ALLOW, Reason.GRANTED, "abc", 7, rules)

        for number in range(10_000):
            name = f"made-up-{number}"
            metrics.operation(name, name, name, 0.1, name)
            metrics.decision(invented, name)
            metrics.decision_observed(name, Reason.NO_RULE, name)
            metrics.refusal(name)
            metrics.upstream_error(name, name)
            metrics.upstream_dropped(name, name)

        text, _ = metrics.exposition()
        assert {(one.name, *sorted(one.labels.items())) for one in samples(metrics)} == before
        assert b"made-up" not in text


def test_every_closed_reason_and_kind_is_counted_under_its_own_name() -> None:
    with measured() as metrics:
        everything(metrics)

        counted = {
            (one.labels.get("reason") or one.labels.get("kind"), one.value)
            for one in samples(metrics)
            if one.name in {"northgate_refusals_total", "northgate_upstream_errors_total"}
        }
        names = [*Unidentified, *(fault.name.lower() for fault in Fault), "host", *Kind, "other"]
        assert counted == {(name, 1) for name in names}


def test_every_code_of_a_refused_message_is_an_error_of_its_own() -> None:
    assert {str(fault.value.code) for fault in Fault} <= ERRORS


def test_every_metric_of_the_list_is_exposed_and_no_other() -> None:
    with measured() as metrics:
        everything(metrics)

        families = {
            family.name
            for family in text_string_to_metric_families(metrics.exposition()[0].decode())
        }

    units = {"s": "_seconds", "By": "_bytes"}
    assert families - {"target"} - {"target_info"} == {
        one.name.replace(".", "_") + units.get(one.unit, "") for one in INSTRUMENTS
    }


def test_a_collector_is_sent_the_same_numbers() -> None:
    with collecting() as collector:
        with measured(endpoint=collector.endpoint) as metrics:
            everything(metrics)
            metrics.operation(*CALL, 2.5)

        sent = collector.metrics

    assert sent.keys() == {one.name for one in INSTRUMENTS}
    points = sent["mcp.server.operation.duration"].histogram.data_points
    [point] = [
        one
        for one in points
        if attributes(one.attributes)
        == {
            "mcp.method.name": "tools/call",
            "mcp.protocol.version": "2026-07-28",
            "northgate.server": "github",
        }
    ]
    assert point.count == 2
    assert point.sum == pytest.approx(2.6)
    assert (point.min, point.max) == (0.1, 2.5)
    assert list(point.explicit_bounds)[:2] == [0.01, 0.02]
    for one in INSTRUMENTS:
        if one.type is Type.COUNTER:
            assert sent[one.name].sum.is_monotonic
        assert sent[one.name].description == one.meaning


def test_a_collector_that_never_answers_delays_neither_counting_nor_reading_nor_the_end() -> None:
    with black_hole() as hole:
        metrics = Metrics(
            Labels(frozenset({"github"})),
            Sources(lambda: HEALTH, lambda: 1, lambda: 0, lambda: 0),
            time.time_ns,
            version="1",
            otlp_endpoint=hole.endpoint,
        )
        ending = Thread(target=metrics.close, kwargs={"seconds": 0.5})
        began = time.monotonic()
        ending.start()
        assert hole.asked.wait(5)
        for _ in range(1000):
            metrics.operation(*CALL, 0.1)
            metrics.decision(ALLOW, "call")
        ending.join()

        assert time.monotonic() - began < 3


def test_an_export_that_fails_is_counted() -> None:
    with collecting() as collector:
        endpoint = f"{collector.endpoint}/nowhere"
        with measured(endpoint=endpoint) as metrics:
            pass
        # Closing made the one export there was; what it left is read without the SDK.
        observed = metrics._dropped(Sources(lambda: HEALTH, lambda: 1, lambda: 0, lambda: 0))  # noqa: SLF001

    assert [(one.value, one.attributes) for one in observed] == [
        (0, {"signal": "traces"}),
        (1, {"signal": "metrics"}),
    ]


def test_counting_one_call_costs_a_few_microseconds_at_most() -> None:
    with measured() as metrics:
        metrics.policy_in_force("abc", RULES)
        best = 1.0
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(1000):
                metrics.operation(*CALL, 0.0123)
                metrics.decision(ALLOW, "call")
            best = min(best, (time.perf_counter() - began) / 1000)

    # Less than one, really; an instrument of the SDK takes seven. The rest is for a busy machine.
    assert best < 5e-6


def test_scrapes_at_the_same_time_each_read_everything_once() -> None:
    with measured() as metrics:
        everything(metrics)
        alone = len(samples(metrics))
        read: list[int] = []
        scrapers = [Thread(target=lambda: read.append(len(samples(metrics)))) for _ in range(8)]
        for scraper in scrapers:
            scraper.start()
        for scraper in scrapers:
            scraper.join()

    assert read == [alone] * 8


def test_reading_while_another_thread_counts_sees_whole_series() -> None:
    with measured() as metrics:
        metrics.policy_in_force("abc", RULES)
        stop: list[bool] = []

        def count() -> None:
            number = 0
            while not stop:
                number += 1
                metrics.operation(*CALL, 0.01, str(-32600 - number % 3))
                metrics.decision(ALLOW, "call")

        counting = Thread(target=count)
        counting.start()
        try:
            for _ in range(30):
                infinite = found(metrics, f"{DURATION}_bucket", le="+Inf")
                assert len(infinite) <= 3
        finally:
            stop.append(True)
            counting.join()
