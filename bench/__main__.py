"""Run benchmarks: `python -m bench [NAME ...] [--quick] [--json [FILE]]`; without a name, all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from bench import journal, policy, record, replay
from bench.gateway import campaign, figures, workers
from bench.report import show


class Benchmark(NamedTuple):
    """What can be measured. `run` takes whether to be quick, `show` prints what it returns.

    `lacks` returns what to do before it can run, or "".
    """

    run: Callable[[bool], Any]
    show: Callable[[Any, Console], None] = show
    lacks: Callable[[], str] = lambda: ""

    def __call__(self, quick: bool) -> Any:  # noqa: ANN401, FBT001  as `run`
        return self.run(quick)


BENCHMARKS = {
    "policy": Benchmark(policy.run),
    "journal": Benchmark(journal.run),
    "record": Benchmark(record.run),
    "replay": Benchmark(replay.run),
    "gateway": Benchmark(campaign.run, figures.show, campaign.lacks),
    "workers": Benchmark(workers.run, workers.show, campaign.lacks),
}

_STDOUT = Path("-")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    chosen = {name: BENCHMARKS[name] for name in options.names or BENCHMARKS}
    missing = [problem for each in chosen.values() if (problem := each.lacks())]
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 2
    found = {name: each.run(options.quick) for name, each in chosen.items()}
    if options.json != _STDOUT:
        for name, each in chosen.items():
            each.show(found[name], Console())
    if options.json is not None:
        _write({name: each.document() for name, each in found.items()}, options.json)
    return 0


def _write(document: dict[str, Any], file: Path) -> None:
    text = json.dumps(document, indent=2)
    if file == _STDOUT:
        print(text)
    else:
        file.write_text(f"{text}\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Northgate.")
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer calls and fewer facts")
    parser.add_argument(
        "--json",
        nargs="?",
        const=_STDOUT,
        type=Path,
        metavar="FILE",
        help="write one JSON document to FILE; without one, print it instead of tables",
    )
    return parser


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"there is no benchmark called {name}")
    return name


if __name__ == "__main__":
    sys.exit(main())
