"""The record on standard output: JSON lines, to the byte as the journal has them."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from proxy.sinks.batches import Copy
from proxy.sinks.errors import LateError, UnreachableError
from proxy.sinks.threads import aside

_WHOLE, _WITHIN = b"0", b"1"


class Stdout:
    """Writes to the descriptor *handle*, which is late when it takes nothing for *seconds*.

    Workers share their standard output: the file *turn* tells whose turn it is, and whether the
    last to write was stopped within a line.
    """

    def __init__(self, handle: int, seconds: float, turn: Path) -> None:
        self._handle = handle
        self._seconds = seconds
        self._turn = turn

    async def take(self, copies: Sequence[Copy]) -> None:
        await aside(partial(self._write, b"".join(one.line for one in copies)))

    async def close(self) -> None:
        """Leave the descriptor to whom it belongs."""

    def _write(self, data: bytes) -> None:
        poll = select.poll()
        poll.register(self._handle, select.POLLOUT)
        try:
            with _turn(self._turn) as begun:
                rest = memoryview(begun + data)
                while rest:
                    if not poll.poll(self._seconds * 1000):
                        raise LateError(f"nothing was read for {self._seconds:g} s")
                    rest = rest[os.write(self._handle, rest[:_AT_ONCE]) :]
        except OSError as error:
            raise UnreachableError(f"{type(error).__name__}: {error.strerror}") from error


_AT_ONCE: Final = select.PIPE_BUF
"""What a pipe that is ready takes without blocking."""


@contextmanager
def _turn(path: Path) -> Iterator[bytes]:
    """Wait for our turn, and tell what has to be written first: a line may stand unfinished."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        begun = b"\n" if os.pread(handle, 1, 0) == _WITHIN else b""
        os.pwrite(handle, _WITHIN, 0)
        yield begun
        os.pwrite(handle, _WHOLE, 0)
    finally:
        os.close(handle)
