"""What a benchmark found: as a document for programs, and as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.timing import Series


@dataclass(frozen=True, slots=True)
class Timing:
    """One contestant's times of one thing, in microseconds; `ratio` is to `ratio_to`, by p50."""

    what: str
    who: str
    facts: int
    calls: int
    p50_us: float
    p99_us: float
    mean_us: float
    cpu_us: float
    ratio: float = 1.0
    ratio_to: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something that is done now and then took, in milliseconds."""

    what: str
    ms: float


@dataclass(frozen=True, slots=True)
class Aim:
    """A promise about a measurement: at most `limit`."""

    what: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.limit


@dataclass(slots=True)
class Report:
    """What one benchmark measured; `setting` says on what and how."""

    name: str
    setting: dict[str, Any]
    timings: list[Timing] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)

    def add(self, what: str, facts: int, found: dict[str, Series]) -> None:
        """Add the times of contestants at one thing, each compared with the first."""
        first, *_ = found
        for who, series in found.items():
            own = series.percentile(0.5)
            self.timings.append(
                Timing(
                    what=what,
                    who=who,
                    facts=facts,
                    calls=series.count,
                    p50_us=own,
                    p99_us=series.percentile(0.99),
                    mean_us=series.mean,
                    cpu_us=series.cpu_each,
                    ratio=own / found[first].percentile(0.5),
                    ratio_to=first,
                )
            )

    def cost(self, what: str, ms: float) -> None:
        self.costs.append(Cost(what, ms))

    def timing(self, what: str, facts: int, who: str) -> Timing:
        """Return the one timing of that description."""
        wanted = (what, facts, who)
        return next(one for one in self.timings if (one.what, one.facts, one.who) == wanted)

    def took(self, what: str) -> float:
        """Return the milliseconds of the cost called *what*."""
        return next(one.ms for one in self.costs if one.what == what)

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "setting": self.setting,
            "timings": [asdict(one) for one in self.timings],
            "costs": [asdict(one) for one in self.costs],
            "aims": [asdict(one) | {"met": one.met} for one in self.aims],
        }


def show(report: Report, console: Console) -> None:
    """Print *report*."""
    console.print(f"[bold]{report.name}[/bold]")
    for key, value in report.setting.items():
        console.print(f"  {key}: {value}")
    for facts, timings in groupby(report.timings, key=lambda one: one.facts):
        console.print(_timings(facts, timings))
    console.print(_costs(report.costs))
    for aim in report.aims:
        mark = "[green]met   [/green]" if aim.met else "[red]missed[/red]"
        console.print(
            f"  {mark} {aim.what}: {aim.measured:.3g} {aim.unit}, at most {aim.limit:g}",
            soft_wrap=True,
        )
    met = sum(aim.met for aim in report.aims)
    console.print(f"  {met} of {len(report.aims)} aims are met on this machine, in this run.")


def _timings(facts: int, timings: Iterable[Timing]) -> Table:
    table = Table(title=f"{facts:,} facts: microseconds, p50 and p99 as medians of rounds")
    table.add_column("what", no_wrap=True)
    for heading in ("p50", "p99", "mean", "CPU", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for what, contestants in groupby(timings, key=lambda one: one.what):
        table.add_section()
        table.add_row(f"[bold]{what}[/bold]")
        for one in contestants:
            times = map(_number, (one.p50_us, one.p99_us, one.mean_us, one.cpu_us))
            table.add_row(f"  {one.who}", *times, f"{one.ratio:.2f}")
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"  # noqa: PLR2004  wide enough


def _costs(costs: Iterable[Cost]) -> Table:
    table = Table(title="milliseconds, once")
    table.add_column("what")
    table.add_column("ms", justify="right")
    for one in costs:
        table.add_row(one.what, f"{one.ms:,.3f}")
    return table
