"""Keeping one process in step with what others changed in the state that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.catalogues import Catalogues
from proxy.identity.planes import TokenPlane
from proxy.outlets import Outlets
from proxy.standing import Standing
from storage.errors import StateError
from storage.tokens import TokenLedger
from storage.versions import What

AGAIN_SECONDS: Final = 0.2
"""Before what could not be read is read again."""


class Following:
    """Reads anew what changed. *now* tells the seconds since the epoch."""

    def __init__(
        self,
        standing: Standing,
        catalogues: Catalogues,
        tokens: TokenLedger,
        planes: tuple[TokenPlane, ...],
        outlets: Outlets,
        now: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self._planes = planes
        self._outlets = outlets
        self._now = now
        self._revoked_ids: set[str] = set()
        self._changed: dict[What, None] = {}
        self._is_due = asyncio.Event()
        self._readers: Mapping[What, Callable[[], Awaitable[None]]] = {
            "tokens": self._revoked,
            "facts": standing.catch_up,
            "definitions": catalogues.catch_up,
        }

    def changed(self, what: What) -> None:
        """Read *what* anew soon."""
        self._changed[what] = None
        self._is_due.set()

    async def follow(self) -> None:
        """Read whatever changed, until cancelled."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            changed, self._changed = self._changed, {}
            for what in changed:
                try:
                    await self._readers[what]()
                except StateError:
                    self.changed(what)
            if self._changed:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _revoked(self) -> None:
        known: set[str] = set()
        for plane in self._planes:
            revoked = await self._tokens.revoked(plane.plane.value, self._now())
            fresh = [one for one in revoked if one.jti not in self._revoked_ids]
            if fresh:
                plane.refuse((one.jti, one.expires_at) for one in fresh)
                self._outlets.end(*(one.jti for one in fresh))
            known |= {one.jti for one in revoked}
        self._revoked_ids = known
