"""What the workers of one gateway have in common: a directory, a log, and ports held for them."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, TextIO

SETTINGS_NAME: Final = "northgate.toml"

_LOG_LOCK: Final = "log.lock"

_LONGEST_PLACE: Final = 80
"""Bytes of a directory in which sockets can have names on every system."""


@contextmanager
def meeting_place(data_dir: Path, settings: Path | None) -> Iterator[Path]:
    """Make a directory for the time of the block, with a copy of the file *settings* in it.

    The copy is what every worker starts with, whenever it starts: they must not differ. Raises
    `OSError`.
    """
    data_dir = data_dir.absolute()
    is_short = len(os.fsencode(data_dir)) <= _LONGEST_PLACE
    place = Path(tempfile.mkdtemp(prefix="run-", dir=data_dir if is_short else None))
    try:
        if settings is not None:
            descriptor = os.open(place / SETTINGS_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as copy:
                copy.write(settings.read_bytes())
        yield place
    finally:
        leave(place)


def leave(place: Path) -> None:
    """Remove *place*, if that is still to be done."""
    shutil.rmtree(place, ignore_errors=True)


@contextmanager
def held_ports(*addresses: tuple[str, int]) -> Iterator[None]:
    """Hold *addresses* for sockets of this user that share their port, and for no others.

    What holds them does not listen, so connections go to those that do. Raises `OSError` where
    somebody has one of them already, workers of another gateway included.
    """
    with ExitStack() as holding:
        for address in addresses:
            holding.enter_context(_bound(address))
        yield


def _bound(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        # Only now: asked for before, it would let us in beside the workers of another gateway.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        one.close()
        where = f"{os.strerror(error.errno or 0)} (while attempting to bind on address {address})"
        raise OSError(error.errno, where) from None
    return one


class SharedLog:
    """A text stream that several processes write to, each line in one piece.

    A pipe takes only short writes in one piece, and lines may be long.
    """

    def __init__(self, stream: TextIO, place: Path) -> None:
        self._stream = stream
        self._lock = os.open(place / _LOG_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # The system's lock is one for all threads of a process.
        self._threads = Lock()

    def write(self, text: str) -> int:
        """Write *text*, which is whole lines, to its end."""
        with self._threads:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                self._stream.write(text)
                self._stream.flush()
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def close(self) -> None:
        """End the lock; the stream stays open."""
        os.close(self._lock)
