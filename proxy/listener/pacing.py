"""How long a peer may take to read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.listener.incoming import Line
from proxy.listener.refusals import Refusal

_LOOKS: Final = 4
"""In the time that is watched: what is promised is kept to a quarter of it."""


class Watch:
    """Drops a connection whose peer takes nothing, for *seconds*, of what waits for it.

    *on_look* is called with the time at each look, four times in *often* or in *seconds*, whichever
    is shorter.
    """

    __slots__ = (
        "_line",
        "_loop",
        "_moved",
        "_on_look",
        "_period",
        "_seconds",
        "_taken",
        "_timer",
        "_written",
    )

    def __init__(
        self,
        line: Line,
        seconds: float,
        *,
        often: float | None = None,
        on_look: Callable[[float], None] | None = None,
    ) -> None:
        self._line = line
        self._seconds = seconds
        self._on_look = on_look
        self._period = min(seconds, seconds if often is None else often) / _LOOKS
        self._loop = asyncio.get_running_loop()
        self._written = 0
        self._taken = 0
        self._moved = self._loop.time()
        self._timer = self._loop.call_later(self._period, self._look)

    def wrote(self, size: int) -> None:
        self._written += size

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        transport = self._line.transport
        if transport is None:
            return
        now = self._loop.time()
        held = transport.get_write_buffer_size()
        taken = self._written - held
        if held == 0 or taken != self._taken:
            self._taken = taken
            self._moved = now
        elif now - self._moved >= self._seconds:
            self._line.drop(Refusal.STALLED)
            return
        if self._on_look is not None:
            self._on_look(now)
        self._timer = self._loop.call_later(self._period, self._look)
