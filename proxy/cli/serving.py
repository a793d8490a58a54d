"""`northgate serve`: a gateway in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import typer
import uvloop

from proxy.app import Gateway, running
from proxy.config import Settings, SettingsError, load
from proxy.listener.listener import StartError
from proxy.starting import NotStartableError
from proxy.telemetry.capture import LibraryLog
from proxy.telemetry.events import Events

DEFAULT_FILE: Final = Path("northgate.toml")

STOPPED: Final = 0
UNUSABLE: Final = 2


def run(config: Path | None) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code."""
    try:
        settings = load(config or _default_file(), os.environ)
    except SettingsError as error:
        return _refused(error.problems, "The settings cannot be used:")
    events = Events(settings.telemetry.log_level, sys.stderr)
    with LibraryLog(events):
        for warning in settings.warnings:
            events.settings_warning(setting=warning.key, problem=str(warning))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, events))


def _default_file() -> Path | None:
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


async def _serve(settings: Settings, events: Events) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    try:
        async with running(settings, os.environ, events) as gateway:
            _tell(gateway, events)
            # What is built by now stays: looking through it again and again delays calls.
            gc.collect()
            gc.freeze()
            await told.wait()
            events.stopping(calls=0)
            began = time.monotonic()
    except NotStartableError as error:
        return _refused(error.problems, "The gateway cannot start:")
    except (StartError, OSError) as error:
        return _refused([_sentence(error)], "The gateway cannot listen:")
    events.stopped(seconds=time.monotonic() - began)
    return STOPPED


def _tell(gateway: Gateway, events: Events) -> None:
    settings = gateway.settings
    events.started(
        version=version("northgate"),
        mode=settings.mode,
        data=_url(gateway.data),
        admin=_url(gateway.control),
        policy=gateway.standing.grounds.bundle.version,
    )
    if gateway.secret is not None:
        secret = gateway.secret.reveal().decode()
        # On the terminal alone: a log is kept, and read by others.
        typer.echo(
            "\nThis is the first start. Make yourself the administrator, once, with\n\n"
            f"  northgate init-server --url {settings.admin_url} --secret {secret}\n"
        )


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refused(problems: Iterable[object], title: str) -> int:
    typer.echo(title, err=True)
    for problem in problems:
        typer.echo(f"  {problem}", err=True)
    return UNUSABLE


def _sentence(error: Exception) -> str:
    return getattr(error, "public", "") or f"{type(error).__name__}: {error}"
