"""Run benchmarks: `python -m bench [NAME ...] [--quick] [--json]`; without a name, all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from bench import journal, policy
from bench.report import Report, show

BENCHMARKS: dict[str, Callable[[bool], Report]] = {
    "policy": policy.run,
    "journal": journal.run,
}
"""What can be measured; each takes whether to be quick."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    reports = [BENCHMARKS[name](options.quick) for name in options.names or BENCHMARKS]
    if options.json:
        print(json.dumps({report.name: report.document() for report in reports}, indent=2))
        return 0
    for report in reports:
        show(report, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Northgate.")
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer calls and fewer facts")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"there is no benchmark called {name}")
    return name


if __name__ == "__main__":
    sys.exit(main())
