"""Make a month of decisions and prove replay on it: `python -m bench.month [--decisions N] ...`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.month.making import make
from bench.month.proof import Finding, prove
from bench.month.world import WHOLE
from policies.replay import Difference


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if replay is right about every decision, 1 if it is wrong about any."""
    options = _parser().parse_args(arguments)
    size = replace(WHOLE, decisions=options.decisions)
    directory = options.directory or Path(tempfile.mkdtemp(prefix="northgate-month-")) / "data"
    console = Console()
    try:
        with _bar(console) as bar:
            making = bar.add_task("Making the month", total=size.decisions)
            month = make(
                directory, size, options.seed, lambda done: bar.update(making, completed=done)
            )
            proving = bar.add_task("Deciding again", total=month.decisions)
            findings = prove(month, lambda done: bar.update(proving, completed=done))
    finally:
        if options.directory is None:
            shutil.rmtree(directory.parent)
    _show(console, findings)
    return 1 if any(one.wrong_count for one in findings.values()) else 0


def _show(console: Console, findings: dict[str, Finding]) -> None:
    table = Table("policy", *(one.value for one in Difference), "wrong")
    for name, one in findings.items():
        counts = [f"{one.counts[difference]:,}" for difference in Difference]
        table.add_row(name, *counts, f"{one.wrong_count:,}")
    console.print(table)
    for name, one in findings.items():
        for problem in one.wrong:
            console.print(f"{name}: {problem}", style="red")


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.month", description=__doc__)
    parser.add_argument("--decisions", type=int, default=WHOLE.decisions, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="make the month here, and keep it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
