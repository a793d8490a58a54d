"""Real Python servers whose packages cannot stand beside ours, each in an environment of its own.

`python -m tests.live.python_servers` makes the environments, and does nothing if they are there.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.live.servers import Server, running

_HERE: Final = Path(__file__).parent
_ENVIRONMENTS: Final = _HERE / ".environments"
_SCRIPT: Final = _HERE / "fastmcp_server.py"
_LONGEST: Final = 600
# Wheels alone, each as locked: nothing is built, and nothing is chosen while tests run.
_INSTALL: Final = ("install", "--quiet", "--disable-pip-version-check", "--no-input")
_LOCKED: Final = ("--require-hashes", "--no-deps", "--only-binary", ":all:")


@dataclass(frozen=True)
class Environment:
    """A virtual environment in *directory*, with exactly what *lock* names."""

    directory: Path
    lock: Path

    def program(self, name: str) -> Path:
        return self.directory / "bin" / name

    def install(self) -> None:
        """Have the packages there. Many processes may ask at once: one installs, others wait."""
        with _alone():
            if self._stamp.is_file() and self._stamp.read_text(encoding="ascii") == self._wanted:
                return
            venv.create(self.directory, clear=True, symlinks=True, with_pip=False)
            command = [sys.executable, "-m", "pip", "--python", str(self.program("python"))]
            command += [*_INSTALL, *_LOCKED, "--requirement", str(self.lock)]
            subprocess.run(command, check=True, timeout=_LONGEST)  # noqa: S603  our own paths
            self._stamp.write_text(self._wanted, encoding="ascii")

    @property
    def _stamp(self) -> Path:
        # Inside what it vouches for, so that they come and go together.
        return self.directory / ".installed"

    @property
    def _wanted(self) -> str:
        return sha256(self.lock.read_bytes() + sys.version.encode()).hexdigest()


SERVERS: Final = Environment(_ENVIRONMENTS / "servers", _HERE / "requirements-servers.txt")
"""FastMCP and mcp-server-time."""

PROXY: Final = Environment(_ENVIRONMENTS / "proxy", _HERE / "requirements-proxy.txt")
"""mcp-proxy, which is of the time before the 2026-07-28 revision, as is the SDK it needs."""


@contextmanager
def fastmcp() -> Iterator[Server]:
    """Run `fastmcp_server`, which answers the 2026-07-28 revision and the legacy ones."""
    SERVERS.install()
    command = [str(SERVERS.program("python")), str(_SCRIPT), "0"]
    with running(command, ready=r"(http://\S+/mcp)") as (process, found):
        yield Server(found[1], process)


@contextmanager
def time_behind_proxy() -> Iterator[Server]:
    """Run mcp-server-time, which speaks over its standard streams, behind mcp-proxy: legacy."""
    SERVERS.install()
    PROXY.install()
    command = [str(PROXY.program("mcp-proxy")), "--host", "127.0.0.1", "--port", "0", "--"]
    command += [str(SERVERS.program("mcp-server-time")), "--local-timezone", "UTC"]
    with running(command, ready=r"running on (http://\S+)") as (process, found):
        yield Server(f"{found[1]}/mcp", process)


@contextmanager
def _alone() -> Iterator[None]:
    _ENVIRONMENTS.mkdir(exist_ok=True)
    (_ENVIRONMENTS / ".gitignore").write_text("*\n", encoding="ascii")
    with (_ENVIRONMENTS / ".installing").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    SERVERS.install()
    PROXY.install()
