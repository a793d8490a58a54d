"""Closed loops of calls, each answer compared with the right one: by wrk, or by Python."""

from __future__ import annotations

import asyncio
import math
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import cycle
from time import perf_counter
from typing import Final, Protocol

from bench.gateway.processes import on_core
from bench.gateway.traffic import Request

_SPARE_SECONDS: Final = 30.0


class WrongAnswersError(Exception):
    """Some calls were not answered as they should be, so how fast that was means nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One closed loop: how many answers came, all of them right, in how many seconds."""

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


class Load(Protocol):
    """Sends a request again and again, on several connections."""

    name: str

    def run(self, port: int, request: Request, connections: int, seconds: float) -> Run:
        """Return what came of it. Raises `WrongAnswersError` unless every answer is right."""


_SCRIPT: Final = """\
wrk.method = "POST"
%(headers)s
local bodies = { %(bodies)s }
local requests, turn = {}, 0
local right = [==[%(answer)s]==]
local threads = {}
checked, wrong, sample = 0, 0, ""
function init(arguments)
  for place, body in ipairs(bodies) do requests[place] = wrk.format(nil, nil, nil, body) end
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
function setup(thread) table.insert(threads, thread) end
function response(status, headers, body)
  checked = checked + 1
  if status ~= 200 or body ~= right then
    wrong = wrong + 1
    if wrong == 1 then sample = status .. " " .. body end
  end
end
function done(summary, latency, requests)
  local checked, wrong, sample = 0, 0, ""
  for _, thread in ipairs(threads) do
    checked = checked + thread:get("checked")
    wrong = wrong + thread:get("wrong")
    sample = thread:get("sample")
  end
  local errors = summary.errors
  io.write(string.format(
    "RESULT %%d %%d %%d %%d %%d %%.1f %%.1f %%s\\n",
    summary.requests, summary.duration, checked, wrong,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), sample))
end
"""


class Wrk:
    """The load of wrk, in one thread on *core*."""

    name = "wrk"

    def __init__(self, core: int | None) -> None:
        self._core = core

    def run(self, port: int, request: Request, connections: int, seconds: float) -> Run:
        """Run for *seconds*, which wrk takes in whole numbers alone."""
        whole = max(1, math.ceil(seconds))
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(_script(request))
            script.flush()
            url = f"http://127.0.0.1:{port}{request.path}"
            options = ["-t1", f"-c{connections}", f"-d{whole}s", "-s", script.name, url]
            done = subprocess.run(  # noqa: S603  a command of ours
                on_core(self._core, ["wrk", *options]),
                stdout=subprocess.PIPE,
                check=True,
                timeout=whole + _SPARE_SECONDS,
            )
        return _run(done.stdout.decode(errors="replace"))


def _script(request: Request) -> str:
    lines = [f'wrk.headers["{name}"] = [==[{value}]==]' for name, value in request.headers.items()]
    return _SCRIPT % {
        "bodies": ", ".join(f"[==[{body.decode()}]==]" for body in request.bodies),
        "answer": request.answer.decode(),
        "headers": "\n".join(lines),
    }


def _run(output: str) -> Run:
    """Return what the script above reported."""
    result = next(line for line in output.splitlines() if line.startswith("RESULT "))
    _, calls, microseconds, checked, wrong, errors, p50, p99, *sample = result.split(" ", 8)
    if int(wrong) or int(errors) or int(checked) < int(calls) or int(calls) == 0:
        raise WrongAnswersError(
            f"{wrong} wrong and {errors} failed of {calls} calls, {checked} looked at: "
            + " ".join(sample)
        )
    return Run(int(calls), int(microseconds) / 1e6, float(p50) / 1000, float(p99) / 1000)


class PythonLoad:
    """The same in Python, for machines without wrk: slower, and so no measure of a fast proxy."""

    name = "Python"

    def run(self, port: int, request: Request, connections: int, seconds: float) -> Run:
        """Run in this process."""
        return asyncio.run(_looped(port, request, connections, seconds))


async def _looped(port: int, request: Request, connections: int, seconds: float) -> Run:
    began = perf_counter()
    until = began + seconds
    found = await asyncio.gather(*(_asked(port, request, until) for _ in range(connections)))
    took = perf_counter() - began
    times = sorted(time for each in found for time in each)
    if not times:
        raise WrongAnswersError("no answers")
    return Run(len(times), took, _percentile(times, 0.5), _percentile(times, 0.99))


async def _asked(port: int, request: Request, until: float) -> list[float]:
    """Return the milliseconds of each call on one connection, of which there is at least one."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST {request.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}Content-Length: "
    messages = cycle(f"{head}{len(body)}\r\n\r\n".encode() + body for body in request.bodies)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times: list[float] = []
    try:
        while not times or perf_counter() < until:
            before = perf_counter()
            writer.write(next(messages))
            _check(*await _answer(reader), request)
            times.append((perf_counter() - before) * 1000)
    finally:
        writer.close()
        await writer.wait_closed()
    return times


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Return the status and the body of one answer."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines if line)
    return status.split(" ")[1], await reader.readexactly(int(fields["content-length"]))


def _check(status: str, body: bytes, request: Request) -> None:
    if status != "200" or body != request.answer:
        raise WrongAnswersError(f"{status} {body.decode(errors='replace')}")


def _percentile(times: Sequence[float], share: float) -> float:
    return times[min(int(len(times) * share), len(times) - 1)]


def ask(port: int, request: Request) -> tuple[int, bytes]:
    """Return status and body of the answer to the first of *request*. Raises `OSError`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_SPARE_SECONDS)
    try:
        connection.request("POST", request.path, request.bodies[0], request.headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
