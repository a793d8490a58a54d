"""What was measured of the gateway and its neighbours, as a document and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.gateway.load import Run

DIRECT, NGINX, GATEWAY = "direct", "nginx", "northgate"

AT_ONCE: Final = "upstream answers at once"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run against one contestant; `cpu_us` is the proxy's processor time for each call."""

    run: Run
    cpu_us: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One contestant in one situation; medians of rounds.

    `ratio` is in calls a second, `core_ratio` in calls for a second of the proxy's processor time,
    both to nginx and taken within each round.
    """

    upstream: str
    connections: int
    who: str
    calls: int
    calls_per_second: float
    ratio: float
    p50_ms: float
    p99_ms: float
    cpu_us: float | None
    core_ratio: float | None


@dataclass(slots=True)
class Findings:
    """What one run of the benchmark found; `setting` says on what and how."""

    setting: dict[str, Any]
    start_seconds: float = 0.0
    resident_mib: float = 0.0
    recorded: int = 0
    figures: list[Figures] = field(default_factory=list)
    name: str = "gateway"

    @property
    def answered(self) -> int:
        """Right answers that the gateway gave, which are all its answers."""
        return sum(one.calls for one in self.figures if one.who == GATEWAY)

    def add(self, upstream: str, connections: int, rounds: list[dict[str, Sample]]) -> None:
        """Add the *rounds* of one situation, in each of which every contestant had its turn."""
        for who in rounds[0]:
            runs = [each[who].run for each in rounds]
            self.figures.append(
                Figures(
                    upstream,
                    connections,
                    who,
                    sum(run.calls for run in runs),
                    median(run.rate for run in runs),
                    median(each[who].run.rate / each[NGINX].run.rate for each in rounds),
                    median(run.p50_ms for run in runs),
                    median(run.p99_ms for run in runs),
                    _median_of(each[who].cpu_us for each in rounds),
                    _median_of(_per_core(each, who) for each in rounds),
                )
            )

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "setting": self.setting,
            "start_seconds": self.start_seconds,
            "resident_mib": self.resident_mib,
            "answered": self.answered,
            "recorded": self.recorded,
            "figures": [asdict(one) for one in self.figures],
        }


def _median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _per_core(found: dict[str, Sample], who: str) -> float | None:
    own, measure = found[who].cpu_us, found[NGINX].cpu_us
    # A short run may take less than one tick of the clock by which the system counts.
    return measure / own if own and measure else None


def show(findings: Findings, console: Console) -> None:
    """Print *findings*."""
    console.print(f"[bold]{findings.name}[/bold]")
    for key, value in findings.setting.items():
        console.print(f"  {key}: {value}", soft_wrap=True)
    for (upstream, connections), rows in groupby(
        findings.figures, key=lambda one: (one.upstream, one.connections)
    ):
        plural = "" if connections == 1 else "s"
        console.print(_table(f"{upstream}, {connections} connection{plural}", rows))
    console.print("  Medians of rounds; ratios are to nginx, and taken within each round.")
    console.print(
        f"  All {findings.answered:,} answers of the gateway were right; its record allows"
        f" {findings.recorded:,} calls.\n  It answered {findings.start_seconds:.2f} s after it was"
        f" started, and held {findings.resident_mib:.0f} MiB at the end.",
        soft_wrap=True,
    )


def _table(title: str, figures: Iterable[Figures]) -> Table:
    table = Table(title=title)
    table.add_column("", no_wrap=True)
    for heading in ("calls/s", "ratio", "p50 ms", "p99 ms", "CPU us", "ratio per core"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in figures:
        table.add_row(
            one.who,
            f"{one.calls_per_second:,.0f}",
            f"{one.ratio:.3f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            _optional(one.cpu_us, ",.0f"),
            _optional(one.core_ratio, ".3f"),
        )
    return table


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
