"""The metrics of several workers as one text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proxy.telemetry.merging import merged

ODD = 'a "quoted" {brace}, back\\slash\nand line'


def told(count: int, *, more: bool = False) -> bytes:
    """Return what a process tells that has counted so far."""
    registry = CollectorRegistry()
    Counter("calls", "Calls\nof all.", ["server"], registry=registry).labels(ODD).inc(count)
    Gauge("open", "Streams.", registry=registry).set(count)
    Histogram("took", "Seconds.", ["verb"], registry=registry).labels("GET").observe(count)
    if more:
        Gauge("extra", "Only here.", registry=registry).set(1)
    return generate_latest(registry)


def test_each_family_is_told_once_and_each_sample_of_its_worker() -> None:
    text = merged({1: told(20, more=True), 0: told(10)})

    families = {one.name: one for one in text_string_to_metric_families(text.decode())}
    samples = {
        (one.name, one.labels["worker"]): one.value
        for family in families.values()
        for one in family.samples
        if not one.name.endswith(("_created", "_bucket"))
    }
    heads = [line for line in text.splitlines() if line.startswith(b"#")]
    assert len(heads) == len(set(heads))
    assert samples["calls_total", "0"] == samples["open", "0"] == samples["took_sum", "0"] == 10
    assert samples["calls_total", "1"] == samples["open", "1"] == samples["took_sum", "1"] == 20
    assert samples["extra", "1"] == 1
    assert ("extra", "0") not in samples
    assert families["calls"].samples[0].labels["server"] == ODD
    assert families["took"].type == "histogram"


def test_the_samples_of_a_family_are_beside_each_other() -> None:
    text = merged({number: told(number) for number in range(3)}).decode()

    names = [line.split("{")[0] for line in text.splitlines() if not line.startswith("#")]
    runs = [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]
    for name in ("calls_total", "open"):
        assert runs.count(name) == 1
