"""`northgate serve`: a gateway in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

import typer
import uvloop

from proxy.app import Gateway, running
from proxy.cli.settling import (
    STOPPED,
    cannot_listen,
    cannot_start,
    default_file,
    settled,
    warn,
)
from proxy.config import Settings
from proxy.listener.listener import StartError
from proxy.starting import NotStartableError
from proxy.telemetry.capture import LibraryLog
from proxy.telemetry.events import Events
from proxy.workers.worker import ALONE, Worker

NAME: Final = "northgate"


During = Callable[[Gateway, asyncio.Event], Awaitable[int]]
"""What goes on while a gateway runs; the event is set when the process is told to stop."""


def run(config: Path | None) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code."""
    settings = settled(config or default_file())
    if isinstance(settings, int):
        return settings
    events = Events(settings.telemetry.log_level, sys.stderr)
    with LibraryLog(events):
        return serve(settings, os.environ, events, idle)


def serve(
    settings: Settings,
    environ: Mapping[str, str],
    events: Events,
    during: During,
    worker: Worker = ALONE,
) -> int:
    """Run a gateway for as long as *during* takes, and return what that returns.

    A gateway that cannot start tells on stderr why, and the exit code is `UNUSABLE`.
    """
    if worker.is_alone:  # else the supervisor has done it
        warn(settings, events)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, environ, events, during, worker))


def first_steps(gateway: Gateway) -> str:
    """Return how to become the administrator, with the secret of a first start; else nothing.

    This is for the terminal alone: a log is kept, and read by others.
    """
    if gateway.secret is None:
        return ""
    url, secret = gateway.settings.admin_url, gateway.secret.reveal().decode()
    return (
        "This is the first start. Make yourself the administrator, once, with\n\n"
        f"  {program()} init-server --url {url} --secret {secret}\n"
    )


def program() -> str:
    """Return how a shell finds this command: by its path where the name alone does not do."""
    return NAME if shutil.which(NAME) else shlex.quote(str(Path(sys.executable).parent / NAME))


async def idle(gateway: Gateway, told: asyncio.Event) -> int:
    """Let *gateway* serve until it is told to stop."""
    if steps := first_steps(gateway):
        # Where the record is on stdout, whoever collects it would get the secret too.
        sinks = gateway.settings.record.sinks.values()
        typer.echo(f"\n{steps}", err=any(one.kind == "stdout" for one in sinks))
    # What is built by now stays: looking through it again and again delays calls.
    gc.collect()
    gc.freeze()
    await told.wait()
    return STOPPED


async def _serve(
    settings: Settings,
    environ: Mapping[str, str],
    events: Events,
    during: During,
    worker: Worker,
) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with AsyncExitStack() as stack:
        try:
            gateway = await stack.enter_async_context(running(settings, environ, events, worker))
        except NotStartableError as error:
            return cannot_start(error)
        except (StartError, OSError) as error:
            return cannot_listen(error)
        _log_start(gateway, events)
        code = await during(gateway, told)
        events.stopping()
        began = time.monotonic()
    events.stopped(seconds=time.monotonic() - began)
    return code


def _log_start(gateway: Gateway, events: Events) -> None:
    events.started(
        version=version("northgate"),
        mode=gateway.settings.mode,
        data=_url(gateway.data),
        admin=_url(gateway.control),
        policy=gateway.standing.grounds.bundle.version,
    )


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
