"""What workers add: the same load on a gateway of one process and on one of two, in turns."""

from __future__ import annotations

import os
import platform
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.gateway import campaign, subject, traffic
from bench.gateway.load import Load, Run
from bench.gateway.processes import Cores
from bench.gateway.traffic import FAST

COUNTS: Final = (1, 2)
CONNECTIONS: Final = 32
NOWHERE: Final = Cores(None, None)
"""Nothing is pinned: two workers and what they work for share the machine's processors."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A gateway of so many workers; medians of rounds, `ratio` to one within each round."""

    workers: int
    calls: int
    calls_per_second: float
    ratio: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Findings:
    """What one run of the benchmark found; `setting` says on what and how."""

    setting: dict[str, Any]
    recorded: int = 0
    figures: list[Figures] = field(default_factory=list)

    def add(self, rounds: list[dict[int, Run]]) -> None:
        """Add *rounds*, in each of which every count of workers had its turn."""
        for count in rounds[0]:
            runs = [each[count] for each in rounds]
            self.figures.append(
                Figures(
                    count,
                    sum(run.calls for run in runs),
                    median(run.rate for run in runs),
                    median(each[count].rate / each[COUNTS[0]].rate for each in rounds),
                    median(run.p50_ms for run in runs),
                    median(run.p99_ms for run in runs),
                )
            )

    @property
    def answered(self) -> int:
        return sum(one.calls for one in self.figures)

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "setting": self.setting,
            "answered": self.answered,
            "recorded": self.recorded,
            "figures": [asdict(one) for one in self.figures],
        }


def run(quick: bool) -> Findings:  # noqa: FBT001  the one option that every benchmark takes
    """Measure a gateway of one process beside one of two."""
    return measured(campaign.QUICK if quick else campaign.FULL)


def measured(plan: campaign.Plan) -> Findings:
    """Return what *plan* finds.

    Raises `WrongAnswersError`, `LostRecordsError` and what starting the servers raises.
    """
    load = campaign.load_of(NOWHERE)
    findings = Findings(_setting(plan, load))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="northgate-")))
        upstreams = campaign.upstreams_of(stack, directory, NOWHERE)
        homes = {}
        for count in COUNTS:
            place = directory / f"{count}"
            place.mkdir()
            homes[count] = home = subject.settle(place, upstreams)
            *before, config = subject.COMMAND
            command = (*before, "--workers", str(count), config)
            stack.enter_context(subject.serving(home, None, place / "log", command))
        rounds = []
        for number in range(plan.rounds):
            turn = number % len(COUNTS)
            turns = COUNTS[turn:] + COUNTS[:turn]
            found = {count: _run(homes[count], load, plan.seconds) for count in turns}
            rounds.append({count: found[count] for count in COUNTS})
        findings.add(rounds)
        findings.recorded = sum(subject.allows_in(home.journal) for home in homes.values())
    if findings.recorded < findings.answered:
        raise campaign.LostRecordsError(
            f"{findings.answered} answers and {findings.recorded} records"
        )
    return findings


def _run(home: subject.Home, load: Load, seconds: float) -> Run:
    return load.run(home.port, traffic.call(FAST, home.token), CONNECTIONS, seconds)


def _setting(plan: campaign.Plan, load: Load) -> dict[str, Any]:
    return {
        "Python": platform.python_version(),
        "processors": f"{os.cpu_count()}, shared by all, the load and the upstream too",
        "rounds": f"{plan.rounds} of {plan.seconds:g} s each",
        "load": f"{load.name}, closed loop, {CONNECTIONS} connections, every answer compared",
    }


def show(findings: Findings, console: Console) -> None:
    """Print *findings*."""
    console.print("[bold]workers[/bold]")
    for key, value in findings.setting.items():
        console.print(f"  {key}: {value}")
    table = Table(title="a gateway of so many workers")
    for heading in ("workers", "calls/s", "ratio", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in findings.figures:
        table.add_row(
            str(one.workers),
            f"{one.calls_per_second:,.0f}",
            f"{one.ratio:.2f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
        )
    console.print(table)
