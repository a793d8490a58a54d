"""The closed lists of metrics and events, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.telemetry.events import Event
from proxy.telemetry.instruments import INSTRUMENTS, Instrument


def metrics_table() -> str:
    """Return a Markdown table of every metric: name, type, unit, labels, meaning."""
    rows = [
        (f"`{one.name}`", one.type.value, _unit(one), _quoted(one.labels), one.meaning)
        for one in INSTRUMENTS
    ]
    return _table(("metric", "type", "unit", "labels", "what it counts"), rows)


def events_table() -> str:
    """Return a Markdown table of every event: name, level, fields, meaning."""
    rows = [
        (f"`{one.label}`", one.value.level, _quoted(one.value.fields.split()), one.value.meaning)
        for one in Event
    ]
    return _table(("event", "level", "fields", "what happened"), rows)


def _unit(instrument: Instrument) -> str:
    return instrument.unit.strip("{}") or "none"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
