"""Servers as processes of their own: started on a core, watched, and stopped."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


class NotStartedError(Exception):
    """A server ended, or did not listen in time. The text is what it said."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where to run: `proxy` for whatever is measured, `rest` for upstreams and load."""

    proxy: int | None
    rest: int | None

    @classmethod
    def found(cls) -> Cores:
        """Return two cores of this process; none where there are not two, or no `taskset`."""
        own = sorted(os.sched_getaffinity(0))
        if len(own) < 2 or shutil.which("taskset") is None:  # noqa: PLR2004  one each
            return cls(None, None)
        return cls(own[0], own[1])


def on_core(core: int | None, command: Sequence[str]) -> list[str]:
    return [*command] if core is None else ["taskset", "-c", str(core), *command]


class Server:
    """A server that runs until the block ends. What it prints goes to *log*."""

    def __init__(self, command: Sequence[str], core: int | None, log: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if "NORTHGATE" not in name}
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  a command of ours
                on_core(core, command), stdout=output, stderr=output, env=environment
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def listening(self, port: int) -> Self:
        """Return once *port* takes connections. Raises `NotStartedError`."""
        until = time.monotonic() + _START_SECONDS
        while not _takes_connections(port):
            self.check(until)
        return self

    def check(self, until: float) -> None:
        """Let a moment pass. Raises `NotStartedError` if the process has ended, or at *until*."""
        if self._process.poll() is not None or time.monotonic() > until:
            raise NotStartedError(self._log.read_text(errors="replace"))
        time.sleep(0.005)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """The processor time of all its threads so far."""
        return _cpu_seconds(Path(f"/proc/{self.pid}/stat"))

    @property
    def main_cpu_seconds(self) -> float:
        """The processor time of its main thread so far."""
        return _cpu_seconds(Path(f"/proc/{self.pid}/task/{self.pid}/stat"))

    @property
    def resident_mib(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        found = next(line for line in lines if line.startswith("VmRSS:"))
        return int(found.split()[1]) / 1024


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _cpu_seconds(stat: Path) -> float:
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
