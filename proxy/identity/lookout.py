"""Looking again for what another process may have changed, however many ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

PAUSE_SECONDS: Final = 1.0
"""From one look to the next."""

PATIENCE_SECONDS: Final = 3.0
"""For whoever waits for a look, which may have to wait for the one before."""


class Lookout:
    """Does *look* for all who wait: one at a time, and never twice within *pause* seconds."""

    def __init__(
        self,
        look: Callable[[], Awaitable[object]],
        *,
        pause: float = PAUSE_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._look = look
        self._pause = pause
        self._patience = patience
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._due_at = 0.0

    async def look_again(self) -> None:
        """Return after a look that began since this was called, or when patience is at its end.

        Raises what *look* raises.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._looked())
        # Whoever leaves does not take the look from the others.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await asyncio.shield(self._next)

    async def _looked(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(max(0.0, self._due_at - loop.time()))
            # Who comes from here on needs a later one.
            self._next = None
            self._due_at = loop.time() + self._pause
            await self._look()
