"""What the dashboard and the alerts look at is what the gateway tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from proxy.telemetry.instruments import INSTRUMENTS
from tests.docker.composed import DOCKER, services
from tests.telemetry.test_metrics import ALLOW, CALL, RULES, measured, samples

OF_PROMETHEUS = {"up": set[str](), "scrape_duration_seconds": set(), "ALERTS": {"alertstate"}}
OF_A_SCRAPE = {"instance", "job"}
WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "bool", "offset", "count"}
SUFFIXES = ("_bucket", "_count", "_sum")

Told = dict[str, set[str]]
"""Labels of each metric, by its name."""


def told_by_gateways() -> Told:
    with measured() as metrics:
        metrics.policy_in_force("v", RULES)
        metrics.operation(*CALL, 1.0, "50201")
        metrics.decision(ALLOW, "call")
        metrics.decision_observed("github", "no_rule", "call")
        metrics.refusal("host")
        metrics.shadow_begun(RULES, RULES)
        metrics.shadow_diverged("newly-allowed", [])
        metrics.upstream_error("github", "timeout")
        metrics.upstream_dropped("github", "ping")
        found: Told = {}
        for one in samples(metrics):
            found.setdefault(one.name, set()).update(one.labels)
    return found


def told_by_the_collector() -> Told:
    """Return what its spanmetrics connector is documented to make of its configuration."""
    connector = collector()["connectors"]["spanmetrics"]
    name = connector["namespace"].replace(".", "_")
    ours = {one["name"].replace(".", "_") for one in connector["dimensions"]}
    labels = {"service_name", "span_kind"} | ours
    return {f"{name}_duration_seconds{one}": {*labels, "le"} for one in SUFFIXES}


def collector() -> Any:  # noqa: ANN401  whatever the YAML holds
    return yaml.safe_load((DOCKER / "otel" / "collector.yaml").read_text(encoding="utf-8"))


def dashboard() -> Any:  # noqa: ANN401  as above
    path = DOCKER / "grafana" / "dashboards" / "northgate.json"
    return json.loads(path.read_text(encoding="utf-8"))


def rules() -> list[Any]:
    text = (DOCKER / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def shown() -> list[str]:
    return [one["expr"] for panel in dashboard()["panels"] for one in panel.get("targets", [])]


def looked_at(query: str) -> tuple[set[str], set[str]]:
    """Return the names of metrics and of labels in *query*."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", bare))
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare):
        labels |= {one.strip() for one in group.split(",")}
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    # What comes right before a parenthesis is a function.
    names = re.findall(r"(?<![\w$.])([A-Za-z_]\w*)\b(?!\s*\()", bare)
    return set(names) - WORDS, labels


def strays(queries: list[str], told: Told) -> Iterator[str]:
    for query in queries:
        names, labels = looked_at(query)
        assert names, query
        for name in names - told.keys():
            yield f"no metric is called {name}"
        known = set().union(*(told.get(name, set()) for name in names))
        for label in labels - known - OF_A_SCRAPE:
            yield f"{sorted(names)} have no label {label}"


def test_a_query_is_read_rightly() -> None:
    query = (
        'histogram_quantile(0.5, sum by (le, server) (rate(a_bucket{x="y{z}",q=~"$v"}[5m])))'
        ' / sum(rate(b_total[$__rate_interval])) > 0.1 and label_replace(c, "n", "m", "e", "")'
    )

    assert looked_at(query) == ({"a_bucket", "b_total", "c"}, {"le", "server", "x", "q"})


def test_every_metric_and_label_that_is_looked_at_is_told_by_somebody() -> None:
    told = told_by_gateways() | told_by_the_collector() | OF_PROMETHEUS
    queries = [*shown(), *(rule["expr"] for rule in rules())]

    assert sorted(strays(queries, told)) == []


def test_every_metric_of_the_gateway_is_on_the_dashboard() -> None:
    text = "\n".join(shown())
    # Of workers of one gateway, of which a container has one.
    hidden = {"northgate.workers.unreachable"}
    absent = [
        one.name
        for one in INSTRUMENTS
        if one.name.replace(".", "_") not in text and one.name not in hidden
    ]

    assert absent == []


def test_the_variables_of_the_dashboard_are_of_metrics_that_are_told() -> None:
    told = told_by_gateways()
    asked = [one["query"]["query"] for one in dashboard()["templating"]["list"]]
    found = [re.fullmatch(r"label_values\((\w+), (\w+)\)", one) for one in asked]

    assert len(found) == 2
    for one in found:
        assert one is not None
        assert one[2] in told[one[1]] | OF_A_SCRAPE


def test_no_two_panels_lie_on_one_another_and_each_asks_the_source_that_is_there() -> None:
    text = (DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    [source] = yaml.safe_load(text)["datasources"]
    cells: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        area = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & area, panel["title"]
        assert max(x for x, _ in area) < 24
        cells |= area
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == source["uid"], panel["title"]

    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "action"}


def test_the_gateway_sends_to_the_collector_and_prometheus_asks_it() -> None:
    sent = services()["gateway-1"]["environment"]["NORTHGATE_TELEMETRY__OTLP_ENDPOINT"]
    scraping = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    jobs = {one["job_name"]: one["static_configs"] for one in scraping["scrape_configs"]}
    given = collector()

    port = given["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    assert sent == f"http://collector:{port}"
    port = given["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    assert jobs["stages"] == [{"targets": [f"collector:{port}"]}]
    for pipeline in given["service"]["pipelines"].values():
        for one in pipeline["receivers"]:
            assert one in {*given["receivers"], *given["connectors"]}
        for one in pipeline["exporters"]:
            assert one in {*given["exporters"], *given["connectors"]}
        assert set(pipeline.get("processors", [])) <= set(given["processors"])
