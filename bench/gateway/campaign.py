"""The campaign: everything is started once, and the contestants take turns in every round."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.gateway import nginx, subject, traffic
from bench.gateway.figures import AT_ONCE, DIRECT, GATEWAY, NGINX, Findings, Sample
from bench.gateway.load import Load, PythonLoad, Wrk
from bench.gateway.processes import Cores, Server, free_ports
from bench.gateway.traffic import FAST, SLOW, Request

SLOW_MS: Final = 20
SLOW_CONNECTIONS: Final = 16

_TOOLS: Final = {"nginx": "nginx-light", "wrk": "wrk"}
"""The programs, and the packages that bring them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure: each contestant runs for *seconds* in each round of each situation."""

    rounds: int
    seconds: float
    connections: tuple[int, ...] = (1, 32)


FULL: Final = Plan(rounds=7, seconds=3)
QUICK: Final = Plan(rounds=1, seconds=1)


class LostRecordsError(Exception):
    """The gateway answered calls that its record does not allow, so its speed means nothing."""


@dataclass(frozen=True, slots=True)
class _Contestant:
    """Where a contestant is reached for each upstream; `server` is None if it is no proxy."""

    ports: dict[str, int]
    server: Server | None


def lacks() -> str:
    """Return what to do before this can be measured, or "" if nothing is missing."""
    packages = [package for name, package in _TOOLS.items() if shutil.which(name) is None]
    if not packages:
        return ""
    return f"The gateway is measured with nginx and wrk: apt-get install {' '.join(packages)}"


def run(quick: bool) -> Findings:  # noqa: FBT001  the one option that every benchmark takes
    """Measure the gateway beside nginx, and beside nothing."""
    return measured(QUICK if quick else FULL)


def measured(plan: Plan) -> Findings:
    """Return what *plan* finds.

    Without nginx there is an upstream in Python and no bare proxy but that upstream itself, without
    wrk a load in Python: enough to see that all is right, and no measure. Raises
    `WrongAnswersError`, `LostRecordsError` and what starting the servers raises.
    """
    cores = Cores.found()
    load = load_of(cores)
    findings = Findings(_setting(plan, cores, load))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="northgate-")))
        upstreams = upstreams_of(stack, directory, cores)
        home = subject.settle(directory, upstreams)
        contestants = {DIRECT: _Contestant(upstreams, None)}
        contestants[NGINX] = _bare_proxy(stack, directory, cores, upstreams)
        gateway, findings.start_seconds = stack.enter_context(
            subject.serving(home, cores.proxy, directory / "gateway.log")
        )
        contestants[GATEWAY] = _Contestant(dict.fromkeys(upstreams, home.port), gateway)
        _measure(findings, plan, load, contestants, home.token)
        findings.resident_mib = gateway.resident_mib
        findings.recorded = subject.allows_in(home.journal)
    return checked(findings)


def load_of(cores: Cores) -> Load:
    """Return the best load that there is."""
    return Wrk(cores.rest) if shutil.which("wrk") else PythonLoad()


def checked(findings: Findings) -> Findings:
    """Return *findings*; raise `LostRecordsError` if they are of answers without a record."""
    if findings.recorded < findings.answered:
        raise LostRecordsError(f"{findings.answered} answers and {findings.recorded} records")
    return findings


def upstreams_of(stack: ExitStack, directory: Path, cores: Cores) -> dict[str, int]:
    """Start both upstreams, and return their ports."""
    fast, slow = free_ports(2)
    if shutil.which("nginx"):
        command = nginx.upstream(directory / "upstream", fast)
    else:
        command = _python_upstream(fast, 0)
    for port, each in ((fast, command), (slow, _python_upstream(slow, SLOW_MS))):
        server = Server(each, cores.rest, directory / f"upstream-{port}.log")
        stack.enter_context(server).listening(port)
    return {FAST: fast, SLOW: slow}


def _python_upstream(port: int, milliseconds: int) -> list[str]:
    return [sys.executable, "-m", "bench.gateway.upstream", str(port), str(milliseconds)]


def _bare_proxy(
    stack: ExitStack, directory: Path, cores: Cores, upstreams: dict[str, int]
) -> _Contestant:
    if shutil.which("nginx") is None:
        return _Contestant(upstreams, None)
    (port,) = free_ports(1)
    command = nginx.proxy(directory / "proxy", port, upstreams)
    server = Server(command, cores.proxy, directory / "proxy.log")
    stack.enter_context(server).listening(port)
    return _Contestant(dict.fromkeys(upstreams, port), server)


def _measure(
    findings: Findings,
    plan: Plan,
    load: Load,
    contestants: dict[str, _Contestant],
    token: str,
) -> None:
    for name, connections, upstream in (
        *((AT_ONCE, number, FAST) for number in plan.connections),
        (f"upstream takes {SLOW_MS} ms", SLOW_CONNECTIONS, SLOW),
    ):
        request = traffic.call(upstream, token)
        rounds = []
        for number in range(plan.rounds):
            # Whoever is first meets a cooler machine: everybody is, in turn.
            turns = [*contestants.items()]
            turns = turns[number % len(turns) :] + turns[: number % len(turns)]
            found = {
                who: _sample(each, load, upstream, request, connections, plan.seconds)
                for who, each in turns
            }
            rounds.append({who: found[who] for who in contestants})
        findings.add(name, connections, rounds)


def _sample(
    contestant: _Contestant,
    load: Load,
    upstream: str,
    request: Request,
    connections: int,
    seconds: float,
) -> Sample:
    server, port = contestant.server, contestant.ports[upstream]
    before = server.cpu_seconds if server else 0.0
    run = load.run(port, request, connections, seconds)
    if server is None:
        return Sample(run, None)
    return Sample(run, (server.cpu_seconds - before) / run.calls * 1e6)


def _setting(plan: Plan, cores: Cores, load: Load) -> dict[str, Any]:
    pinned = "the proxy on one, the rest on another" if cores.proxy is not None else "not pinned"
    return {
        "Python": platform.python_version(),
        "processors": f"{os.cpu_count()}, {pinned}",
        "rounds": f"{plan.rounds} of {plan.seconds:g} s each",
        "load": f"{load.name}, closed loop, every answer compared",
        "upstream": "nginx with fixed answers" if shutil.which("nginx") else "Python",
        "gateway": "northgate serve: EdDSA token, shipped policy, a guarded tool with a limit on an"
        " argument, each decision durable before its call, metrics on, 2026-07-28",
    }
