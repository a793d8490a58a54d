"""Who is let in, and who is still inside."""

from __future__ import annotations

import asyncio
import resource
from typing import Final, Protocol

from proxy.listener.limits import Limits

_UNSEEN: Final = 128
"""Connections that may have been accepted before the first of them comes to the gate."""


class Inmate(Protocol):
    """A connection that was let in."""

    def retire(self) -> None:
        """End when the request at hand has its answer; at once if there is none."""

    def end_stream(self) -> bool:
        """End the event stream at hand cleanly; tell whether there is one."""

    def abort(self) -> None:
        """Hang up."""


class Gate:
    """Counts connections, and turns away those that would use up the descriptors kept for others.

    The system gives out the lowest free number, so a connection's own number tells how many
    descriptors the process has open, whoever opened them.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.connections
        self._ceiling, self._brim = _ceiling(limits.spare_descriptors)
        self._inside: set[Inmate] = set()
        self._emptied: asyncio.Event | None = None

    @property
    def is_usable(self) -> bool:
        """Tell whether the process may open enough descriptors for anybody to be let in."""
        return self._ceiling is None or self._ceiling > _UNSEEN

    @property
    def is_closed(self) -> bool:
        return self._emptied is not None

    @property
    def inside(self) -> list[Inmate]:
        return list(self._inside)

    def admits(self, descriptor: int) -> bool:
        if self._most is not None and len(self._inside) >= self._most:
            return False
        return self._ceiling is None or descriptor < self._ceiling

    def can_be_polite(self, descriptor: int) -> bool:
        """Tell whether there is room for somebody to be told that there is no room."""
        return self._brim is None or descriptor < self._brim

    def enter(self, inmate: Inmate) -> None:
        self._inside.add(inmate)

    def leave(self, inmate: Inmate) -> None:
        self._inside.discard(inmate)
        if self._emptied is not None and not self._inside:
            self._emptied.set()

    def close(self) -> None:
        """Let nobody in any more."""
        self._emptied = asyncio.Event()
        if not self._inside:
            self._emptied.set()

    async def emptied(self, seconds: float) -> None:
        """Return when a closed gate has nobody inside, or after *seconds*."""
        if self._emptied is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._emptied.wait()
        except TimeoutError:
            pass


def _ceiling(spare: int) -> tuple[int | None, int | None]:
    """Return the first descriptor that is refused, and the first that is not told why."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return None, None
    ceiling = most - spare
    return ceiling, ceiling + max(spare - _UNSEEN, 0) // 2
