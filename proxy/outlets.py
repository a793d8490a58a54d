"""Event streams that are open towards clients: when each must end, and what it is told in between.

They are connections of this process, so nothing here is a session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from proxy.identity.principal import Principal

MOST_WAITING: Final = 64
"""Blocks that wait for a client to read them; what comes on top is lost."""

LONGEST_SECONDS: Final = 86_400
"""For one stream, whatever its token says."""

REMEMBERED_SECONDS: Final = 3_600
"""For a token that ended: no call takes longer to be answered with a stream."""


class Outlet:
    """One stream. *wake* makes whoever relays it look at `waiting` and `is_over`.

    While it `is_held`, the upstream has the first word.
    """

    __slots__ = ("_end_timer", "_held", "is_held", "is_over", "principal", "waiting", "wake")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self.is_over = False
        self.is_held = False
        self._held: deque[bytes] = deque(maxlen=MOST_WAITING)
        self.wake: Callable[[], None] = lambda: None
        self._end_timer: asyncio.TimerHandle | None = None

    def tell(self, block: bytes) -> None:
        """Send *block*, unless the same is about to be sent anyway."""
        blocks = self._held if self.is_held else self.waiting
        if block not in blocks:
            blocks.append(block)
            self.wake()

    def release(self) -> None:
        """Send what was held back."""
        self.is_held = False
        self.waiting.extend(self._held)
        self.wake()

    def end(self) -> None:
        """End the stream after what waits has been sent."""
        self.is_over = True
        self.wake()

    def end_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._end_timer = loop.call_later(min(max(seconds, 0.0), LONGEST_SECONDS), self.end)

    def close(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()


class Outlets:
    """All streams of this process, each until its token ends. *now* tells the Unix second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._open: dict[str, set[Outlet]] = {}
        self._ended: dict[str, float] = {}
        self._revoked_keys: frozenset[str] = frozenset()

    def open(self, outlet: Outlet) -> None:
        token_id = outlet.principal.token_id
        self._open.setdefault(token_id, set()).add(outlet)
        if token_id in self._ended or outlet.principal.key_id in self._revoked_keys:
            outlet.end()  # while the upstream had not answered yet
        outlet.end_after(outlet.principal.expires_at - self._now())

    def close(self, outlet: Outlet) -> None:
        outlet.close()
        token_id = outlet.principal.token_id
        same = self._open.get(token_id, set())
        same.discard(outlet)
        if not same:
            self._open.pop(token_id, None)

    def end(self, *token_ids: str) -> None:
        """End the streams of tokens which are no longer good, those to come as well."""
        now = self._now()
        oldest = now - REMEMBERED_SECONDS
        self._ended = {one: at for one, at in self._ended.items() if at > oldest}
        self._ended |= dict.fromkeys(token_ids, now)
        for token_id in token_ids:
            for outlet in tuple(self._open.get(token_id, ())):
                outlet.end()

    def end_signed_by(self, key_ids: Iterable[str]) -> None:
        """End the streams of tokens that one of *key_ids* signed, those to come as well."""
        self._revoked_keys |= frozenset(key_ids)
        for outlet in self:
            if outlet.principal.key_id in self._revoked_keys:
                outlet.end()

    def __iter__(self) -> Iterator[Outlet]:
        return iter([outlet for same in self._open.values() for outlet in same])
