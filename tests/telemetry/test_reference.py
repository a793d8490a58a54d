"""The published lists are the lists."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from proxy.telemetry.events import LEVELS, Event
from proxy.telemetry.instruments import INSTRUMENTS, Type
from proxy.telemetry.reference import events_table, metrics_table


def rows(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("table", "columns"), [(metrics_table, 5), (events_table, 4)])
def test_every_row_has_every_cell_and_ends_with_a_sentence(
    table: Callable[[], str], columns: int
) -> None:
    lines = table().splitlines()

    assert len({line.count("|") for line in lines}) == 1
    assert table().endswith("|\n")
    for row in rows(table()):
        assert len(row) == columns
        assert all(row)
        assert row[-1].endswith(".")


def test_every_metric_has_one_row() -> None:
    assert [row[0].strip("`") for row in rows(metrics_table())] == [i.name for i in INSTRUMENTS]
    assert {row[1] for row in rows(metrics_table())} <= set(Type)


def test_every_event_has_one_row() -> None:
    assert [row[0].strip("`") for row in rows(events_table())] == [e.name.lower() for e in Event]
    assert {row[1] for row in rows(events_table())} <= LEVELS.keys()


def test_no_event_has_a_field_that_every_line_has() -> None:
    for event in Event:
        assert not {"time", "level", "event"} & set(event.value.fields.split())


def test_metrics_are_named_as_the_conventions_want() -> None:
    for one in INSTRUMENTS:
        assert re.fullmatch(r"(mcp|northgate)(\.[a-z_]+)+", one.name)
        # Prometheus would append "ratio".
        assert one.unit != "1"
