"""A `northgate` that goes on running, and what it has said so far."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Final

from proxy.datadir import DataDirectory
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType
from proxy.identity.sealing import master_key
from storage.engine import open_database
from storage.secrets import SecretLedger
from tests.cli.forking import Forked
from tests.cli.running import command

PATIENCE: Final = 60.0

PLACED: Final = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
"""The environment in which a process finds our code wherever it runs."""


class Transcript(Thread):
    """Reads a stream to its end."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._grown = Condition()
        self._ended = False
        self.text = ""
        self.start()

    def run(self) -> None:
        for line in self._stream:
            with self._grown:
                self.text += line
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def until(self, pattern: str, start: int = 0) -> re.Match[str]:
        """Wait until what was said, from *start* on, has *pattern* in it."""
        ends = time.monotonic() + PATIENCE
        with self._grown:
            while True:
                found = re.compile(pattern, re.MULTILINE).search(self.text, start)
                if found is not None:
                    return found
                assert not self._ended, f"no {pattern!r} in {self.text!r}"
                assert self._grown.wait(ends - time.monotonic()), f"no {pattern!r} in time"


class Started:
    """The process, with `out` and `err` as far as they have come."""

    def __init__(self, process: subprocess.Popen[str] | Forked) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.out = Transcript(process.stdout)
        self.err = Transcript(process.stderr)

    def stopped(self, number: int = signal.SIGTERM) -> int:
        """Tell the process to stop and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.out.join(PATIENCE)
        self.err.join(PATIENCE)
        return code


@contextmanager
def started(*args: str | Path, cwd: Path, **environment: str) -> Iterator[Started]:
    """Run `northgate` with *args* until the block ends, or before."""
    process = Forked([*map(str, args)], cwd, {**PLACED, **environment})
    process.stdin.close()
    with _until_the_end(process) as running:
        yield running


@contextmanager
def started_anew(*args: str | Path, cwd: Path) -> Iterator[Started]:
    """Do what `started` does, in an interpreter that begins with it."""
    process = subprocess.Popen(  # noqa: S603  this interpreter and arguments of ours
        command(*args),
        cwd=cwd,
        env=PLACED,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with _until_the_end(process) as running:
        yield running


@contextmanager
def _until_the_end(process: subprocess.Popen[str] | Forked) -> Iterator[Started]:
    with process:
        running = Started(process)
        try:
            yield running
        finally:
            process.kill()
            running.out.join(PATIENCE)
            running.err.join(PATIENCE)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listened on just now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


async def token_of(client: str, data_dir: Path, public_url: str) -> str:
    """Return a token of *client* for the gateway that has started in *data_dir*."""
    master = master_key(DataDirectory(data_dir).master_key, {})
    database = await open_database(f"sqlite:///{data_dir / 'northgate.db'}")
    try:
        plane = await TokenPlane.opened(
            Plane.DATA,
            public_url,
            SecretLedger(database, time.time),
            master,
            time.time,
            longest_life=3600,
        )
    finally:
        await database.close()
    wanted = TokenRequest(ActorType.CLIENT, client, public_url, 600)
    return plane.issuer.issue(wanted).text.reveal().decode()
