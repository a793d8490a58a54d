"""The benchmark of replay runs; times are free."""

from __future__ import annotations

from bench import replay


def test_every_figure_is_taken() -> None:
    report = replay.run(quick=True)

    assert [cost.what for cost in report.costs] == [replay.NEW, replay.AGAIN, replay.WHOLE]
    assert all(cost.ms > 0 for cost in report.costs)
