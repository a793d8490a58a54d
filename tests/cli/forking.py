"""Processes that run `northgate`, forked from one that has imported it: half a second less each.

Each is a process in all that matters: arguments, directory, environment, streams, signals and an
exit code of its own. What an interpreter does before it reaches our code is tested without this.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Final, Self, TextIO

import proxy.cli
from proxy import policyfiles
from proxy.cli.main import main
from tests.remembering import remember_policies

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "policies" / "rules"

_LENGTH: Final = struct.Struct("!I")
_TURN: Final = Lock()


class Forked:
    """A process, with the part of `subprocess.Popen` that tests use. Its streams are text."""

    def __init__(self, arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.args = arguments
        self.returncode: int | None = None
        pipes = [os.pipe() for _ in range(4)]
        (read_in, write_in), (read_out, write_out), (read_err, write_err), (news, told) = pipes
        theirs = [read_in, write_out, write_err, told]
        try:
            _ask([arguments, str(cwd), dict(environment)], theirs)
        finally:
            for one in theirs:
                os.close(one)
        self.stdin = os.fdopen(write_in, "w")
        self.stdout = os.fdopen(read_out)
        self.stderr = os.fdopen(read_err)
        self._news = os.fdopen(news)
        self.pid = int(self._news.readline())
        self._reaper = Thread(target=self._reap, daemon=True)
        self._reaper.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        self.stderr.close()

    def wait(self, timeout: float | None = None) -> int:
        self._reaper.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, stdin: str, timeout: float) -> tuple[str, str]:
        """Give *stdin*, and return what is said until the process has ended."""
        read: dict[IO[str], str] = {}
        streams = [self.stdout, self.stderr]
        readers = [Thread(target=lambda one=one: read.update({one: one.read()})) for one in streams]
        for reader in readers:
            reader.start()
        with suppress(BrokenPipeError):
            self.stdin.write(stdin)
            self.stdin.close()
        try:
            self.wait(timeout)
        finally:
            self.kill()
            for reader in readers:
                reader.join()
        return read[self.stdout], read[self.stderr]

    def _reap(self) -> None:
        with self._news:
            self.returncode = int(self._news.readline() or -signal.SIGKILL)


@cache
def _origin() -> socket.socket:
    """Start the process that the others are forked from; it ends with this one."""
    ours, its = socket.socketpair()
    with its:
        process = subprocess.Popen(  # noqa: S603  this interpreter and this module
            [sys.executable, "-m", "tests.cli.forking", str(its.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _ask(question: object, streams: list[int]) -> None:
    content = json.dumps(question).encode()
    with _TURN:
        socket.send_fds(_origin(), [_LENGTH.pack(len(content))], streams)
        _origin().sendall(content)


def _import_all() -> None:
    """Load all that any command loads, and the policy we ship. No thread and no loop is begun."""
    for module in pkgutil.walk_packages(proxy.cli.__path__, "proxy.cli."):
        importlib.import_module(module.name)
    remember_policies()
    policyfiles.load(RULES, portable=True)
    gc.collect()
    gc.freeze()


def _fork_again_and_again(asked: socket.socket) -> None:
    """Return in each process that is to run a command; exit when nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        length, streams, *_ = socket.recv_fds(asked, _LENGTH.size, 4)
        if not length:
            os._exit(0)
        content = bytearray()
        wanted = _LENGTH.unpack(length)[0]
        while len(content) < wanted:
            content += asked.recv(wanted - len(content))
        if os.fork() == 0:
            break
        for one in streams:
            os.close(one)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked.close()
    *standard, told = streams
    _watched(told)
    for target, one in enumerate(standard):
        os.dup2(one, target)
        os.close(one)
    # Those from before were made for files of another kind.
    sys.stdin, sys.stdout, sys.stderr = map(_reopened, (sys.stdin, sys.stdout, sys.stderr))
    arguments, cwd, environment = json.loads(content)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["northgate", *arguments]


def _reopened(stream: TextIO) -> TextIO:
    return open(
        stream.fileno(),
        "r" if stream.readable() else "w",
        buffering=1 if stream.line_buffering else -1,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )


def _watched(told: int) -> None:
    """Return in a process of its own, whose id and exit code are written to *told*."""
    child = os.fork()
    if child == 0:
        os.close(told)
        return
    os.closerange(0, told)
    os.write(told, b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _run() -> None:
    """Run the command and end as an interpreter does, which alone would take 0.1 s to clear up."""
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  no other name is there for it
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _import_all()
    _fork_again_and_again(socket.socket(fileno=int(sys.argv[1])))
    _run()
