"""The official conformance suite, run against a server or a client, and what it found."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
import traceback
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from tests.live.install import HERE, PACKAGES, install
from tests.live.servers import Server, running
from tests.node import COMPILED, NODE

REVISIONS: Final = ("2026-07-28", "2025-11-25", "2025-06-18")

# The suite has a list of what a revision requires for these alone.
_LISTED: Final = frozenset({"2026-07-28", "2025-11-25"})
_SUITE: Final = PACKAGES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
_HOOK: Final = HERE / "inject_auth.mjs"
_RELAY: Final = HERE / "conformance_relay.py"
_LONGEST: Final = 120.0
_SCENARIO_MILLISECONDS: Final = 10_000
_WRITTEN: Final = re.compile(r"(?:server-)?(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


class SuiteError(Exception):
    """The suite did not check anything. Holds what it printed."""


@dataclass(frozen=True)
class Verdicts:
    """What became of each check: `SUCCESS`, `FAILURE`, `WARNING` or `SKIPPED`.

    A check is named `scenario: id: name`, and numbered where a scenario makes it more than once.
    `is_passed` is the suite's own conclusion, which leaves out what it does not score.
    """

    found: Mapping[str, str]
    is_passed: bool

    @property
    def passing(self) -> frozenset[str]:
        return frozenset(name for name, status in self.found.items() if status == "SUCCESS")

    @property
    def failing(self) -> frozenset[str]:
        return frozenset(name for name, status in self.found.items() if status == "FAILURE")


def run_server(url: str, revision: str, token: str | None = None) -> Verdicts:
    """Run against the server at *url* all that *revision* asks of one, with *token* if given."""
    scope = (
        ["--requirements", revision]
        if revision in _LISTED
        else ["--suite", "all", "--spec-version", revision]
    )
    secret = {} if token is None else {"CONFORMANCE_TOKEN": token}
    hook = [] if token is None else ["--import", str(_HOOK)]
    return _run(hook, ["server", "--url", url, *scope], secret)


def run_client(command: Sequence[str], scenario: str, revision: str) -> Verdicts:
    """Let *command*, followed by the URL of the suite's own server, act in *scenario*.

    Its environment says which: `MCP_CONFORMANCE_SCENARIO`, `MCP_CONFORMANCE_CONTEXT` (JSON) and
    `MCP_CONFORMANCE_PROTOCOL_VERSION`.
    """
    args = ["--command", shlex.join(command), "--scenario", scenario, "--spec-version", revision]
    return _run([], ["client", *args], {})


@dataclass(frozen=True)
class Scene:
    """What the suite wants of a client: to do at `url` what `scenario` is about."""

    scenario: str
    revision: str
    url: str
    context: Mapping[str, Any]


@asynccontextmanager
async def acting(act: Callable[[Scene], Awaitable[None]]) -> AsyncIterator[Sequence[str]]:
    """Yield a command for `run_client` that leaves it to *act*, here, which costs no new process.

    The command fails if *act* does.
    """

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        error = ""
        try:
            await act(_scene(json.loads(await reader.readline())))
        except Exception:  # noqa: BLE001  whatever a client dies of
            error = traceback.format_exc()
        writer.write(error.encode())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield [sys.executable, "-I", "-S", str(_RELAY), str(port)]


@contextmanager
def serving() -> Iterator[Server]:
    """Run `conformance_server`, which offers what the suite calls."""
    command = [sys.executable, "-m", "tests.live.conformance_server", "0"]
    with running(command, ready=r"(http://\S+/mcp)") as (process, found):
        yield Server(found[1], process)


def seen(server: Server) -> Counter[str]:
    """Return how many messages of each method *server* has seen, but for the gateway's own."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request("GET", "/seen")
        return Counter(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def _scene(told: Mapping[str, Any]) -> Scene:
    # Some servers of the suite are told of without a path, which is their root.
    path = "" if urlsplit(told["url"]).path else "/"
    return Scene(told["scenario"], told["revision"], told["url"] + path, told["context"])


def _run(node: Sequence[str], args: Sequence[str], variables: Mapping[str, str]) -> Verdicts:
    install()
    with TemporaryDirectory() as place:
        options = ["--timeout", str(_SCENARIO_MILLISECONDS), "-o", place]
        done = subprocess.run(  # noqa: S603  the program is our own choice
            [str(NODE), *node, str(_SUITE), *args, *options],
            env={"PATH": os.environ["PATH"], **COMPILED, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_LONGEST,
        )
        found = dict(_checks(Path(place)))
    if not found:
        raise SuiteError(done.stdout)
    return Verdicts(found, is_passed=done.returncode == 0)


def _checks(place: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(place.glob("*/checks.json")):
        scenario = _WRITTEN.fullmatch(path.parent.name)
        assert scenario is not None, path
        yield from _named(scenario["scenario"], json.loads(path.read_text(encoding="utf-8")))


def _named(scenario: str, checks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    times: Counter[str] = Counter()
    for check in checks:
        if check["status"] != "INFO":
            name = f"{scenario}: {check['id']}: {check['name']}"
            times[name] += 1
            yield name if times[name] == 1 else f"{name} #{times[name]}", check["status"]
