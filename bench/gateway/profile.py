"""Where the processor time of one call goes: `python -m bench.gateway.profile [SECONDS]`."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.gateway import subject, traffic
from bench.gateway.campaign import load_of, upstreams_of
from bench.gateway.processes import Cores

CONNECTIONS: Final = 32
SHOWN: Final = 25
"""Functions in the table."""

ROOMS: Final = {
    "listener, with aiohttp": ("proxy/listener/", "aiohttp/", "multidict/", "yarl/"),
    "token": ("proxy/identity/",),
    "headers, decoding, encoding": ("proxy/wire/",),
    "argument tests": ("policies/arguments/", "policies/demands"),
    "deciding": ("policies/", "<policy>"),
    "record": ("proxy/audit", "storage/journal/"),
    "upstream": ("proxy/upstream/",),
    "metrics": ("proxy/telemetry/",),
    "the way of the call": ("proxy/",),
}
"""What the files are about; the first that fits counts."""


def run(seconds: float) -> None:
    """Load a sampled gateway for *seconds*, and print the tables."""
    cores = Cores.found()
    load = load_of(cores)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="northgate-")))
        home = subject.settle(directory, upstreams_of(stack, directory, cores))
        file = directory / "samples.json"
        command = ("-m", "bench.gateway.sampled", str(file), "serve", "--config")
        with subject.serving(home, cores.proxy, directory / "log", command) as (server, _):
            request = traffic.call(traffic.FAST, home.token)
            load.run(home.port, request, CONNECTIONS, 1)
            os.kill(server.pid, signal.SIGUSR1)
            before, main_before = server.cpu_seconds, server.main_cpu_seconds
            calls = load.run(home.port, request, CONNECTIONS, seconds).calls
            main = (server.main_cpu_seconds - main_before) / calls * 1e6
            threads = (server.cpu_seconds - before) / calls * 1e6 - main
        _show(json.loads(file.read_text()), main, threads, Console())


def _show(seen: Mapping[str, int], main: float, threads: float, console: Console) -> None:
    each = main / sum(seen.values())
    rooms = dict.fromkeys(ROOMS, 0.0) | {"other threads: the journal's writer": threads}
    for place, count in seen.items():
        rooms[_room(place)] = rooms.get(_room(place), 0.0) + count * each
    console.print(_table("CPU us of one call, by room", rooms, len(rooms)))
    functions = {place: count * each for place, count in seen.items()}
    console.print(_table("the most expensive functions", functions, SHOWN))
    console.print(f"  {main + threads:.0f} us in all, the sampler's own time in it.")


def _room(place: str) -> str:
    return next((name for name, files in ROOMS.items() if place.startswith(files)), place)


def _table(title: str, times: Mapping[str, float], most: int) -> Table:
    table = Table(title=title)
    table.add_column("")
    table.add_column("us", justify="right")
    for name in sorted(times, key=times.__getitem__, reverse=True)[:most]:
        table.add_row(name, f"{times[name]:.1f}")
    return table


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
