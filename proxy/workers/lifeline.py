"""What ties a worker to its supervisor: a socket that ends when either of them does."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

READY: Final = b"\n"
_STDIN: Final = 0


class Lifeline:
    """The worker's end, given to it as its standard input. Nobody it starts gets that."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(_STDIN))
        self._socket.settimeout(0)
        self.is_cut = False
        """Whether the supervisor is gone without a word."""
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, _STDIN)
        os.close(null)

    @contextmanager
    def held(self, on_cut: Callable[[], None]) -> Iterator[None]:
        """Tell the supervisor that this worker answers; call *on_cut* if it ends in the block."""
        loop = asyncio.get_running_loop()

        def heard() -> None:
            loop.remove_reader(self._socket)
            self.is_cut = True
            on_cut()

        # It never says anything, so what can be read is the end.
        loop.add_reader(self._socket, heard)
        try:
            self._tell_ready()
            yield
        finally:
            loop.remove_reader(self._socket)

    def close(self) -> None:
        self._socket.close()

    def _tell_ready(self) -> None:
        try:
            self._socket.send(READY)
        except OSError:
            # It is gone, as the reader is about to learn.
            return
