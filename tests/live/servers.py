"""Real MCP servers, each a process of its own for as long as a block lasts, and a real client."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import IO, Final

from tests.live.install import PACKAGES, install
from tests.node import NODE

_ROOT: Final = Path(__file__).parents[2]
_OURS: Final = PACKAGES / "@modelcontextprotocol"
_EVERYTHING: Final = _OURS / "server-everything" / "dist" / "index.js"
_INSPECTOR: Final = _OURS / "inspector" / "clients" / "launcher" / "build" / "index.js"

_START: Final = 30.0
_STOP: Final = 5.0
_INSPECTION: Final = 60.0
_TRIES: Final = 5


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[str]


class NotStartedError(Exception):
    """A server ended, or was silent for too long, before it was ready. Holds what it printed."""


@contextmanager
def everything() -> Iterator[Server]:
    """Run the reference server of the TypeScript SDK, which is legacy and keeps sessions."""
    install()
    with ExitStack() as stack:
        yield _started(stack)


@contextmanager
def dual_era(port: int = 0) -> Iterator[Server]:
    """Run `dual_era_server`, which answers the 2026-07-28 revision and the legacy ones."""
    command = [sys.executable, "-m", "tests.live.dual_era_server", str(port)]
    with running(command, ready=r"(http://\S+/mcp)") as (process, found):
        yield Server(found[1], process)


def inspect(
    url: str, token: str | None, method: str, *args: str, era: str = "legacy"
) -> subprocess.CompletedProcess[str]:
    """Ask *url* for *method* with the command line of the MCP inspector.

    *args* are more of its options, such as `--tool-name`; *era* is `legacy`, `auto` or `modern`.
    The answer is JSON on stdout, an error JSON on the last line of stderr. Exit codes: 0 answered,
    1 error, 3 refused with 401 or 403, 4 not reached, 5 the tool itself failed.
    """
    install()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    entry = {"type": "streamable-http", "url": url, "headers": headers, "protocolEra": era}
    with TemporaryDirectory() as home:
        config = Path(home, "servers.json")
        config.write_text(json.dumps({"mcpServers": {"it": entry}}), encoding="utf-8")
        command = [str(NODE), str(_INSPECTOR), "--cli", "--config", str(config), "--server", "it"]
        command += ["--stored-auth-only", "--format", "json", "--method", method, *args]
        return subprocess.run(  # noqa: S603  the program is our own choice
            command,
            # Else it asks the keychain of whoever runs the tests.
            env=_environment(HOME=home, MCP_INSPECTOR_SECRET_STORE="memory"),  # noqa: S106  a place
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSPECTION,
        )


def _started(stack: ExitStack) -> Server:
    # Somebody may take the port between our look at it and the server's.
    for _ in range(_TRIES - 1):
        with suppress(NotStartedError):
            return stack.enter_context(_everything())
    return stack.enter_context(_everything())


@contextmanager
def _everything() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [str(NODE), str(_EVERYTHING), "streamableHttp"]
    with running(command, ready=r"listening on port", PORT=str(port)) as (process, _):
        yield Server(f"http://127.0.0.1:{port}/mcp", process)


@contextmanager
def running(
    command: Sequence[str], *, ready: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], re.Match[str]]]:
    """Run *command* until the block ends, from when it prints what *ready* matches."""
    with subprocess.Popen(  # noqa: S603  the programs are our own choice
        command,
        cwd=_ROOT,
        env=_environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = Output(process.stdout, re.compile(ready))
        try:
            yield process, output.announced()
        finally:
            _stop(process)
            output.join()


class Output(Thread):
    """Reads to the end what a server prints, or one that prints much would wait for us."""

    def __init__(self, lines: IO[str], ready: re.Pattern[str]) -> None:
        super().__init__(daemon=True)
        self._lines = lines
        self._ready = ready
        self._found: Queue[re.Match[str] | None] = Queue()
        self._last: deque[str] = deque(maxlen=100)
        self.start()

    def run(self) -> None:
        for line in self._lines:
            self._last.append(line)
            found = self._ready.search(line)
            if found is not None:
                self._found.put(found)
        self._found.put(None)

    def announced(self) -> re.Match[str]:
        with suppress(Empty):
            found = self._found.get(timeout=_START)
            if found is not None:
                return found
        raise NotStartedError("".join(self._last))


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()


def _environment(**variables: str) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], **variables}
