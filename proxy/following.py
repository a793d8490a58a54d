"""Keeping one process in step with what others changed in the state that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from proxy.identity.planes import TokenPlane
from proxy.outlets import Outlets
from storage.errors import StateError
from storage.tokens import TokenLedger
from storage.versions import WHATS, What

AGAIN_SECONDS: Final = 0.2
"""Before what could not be read is read again."""


class Following:
    """Reads anew what changed, by the reader of each kind; kinds without one are passed over.

    What cannot be read is read again until it can, for a revocation may stand in it, and until then
    all that is known grows old. *monotonic* tells seconds. *on_failure* is told once what a reader
    raises that is no outage, until that reader has done its work.
    """

    def __init__(
        self,
        readers: Mapping[What, Callable[[], Awaitable[object]]],
        monotonic: Callable[[], float],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._readers = readers
        self._monotonic = monotonic
        self._on_failure = on_failure
        self._changed: set[What] = set()
        self._is_due = asyncio.Event()
        self._behind_since: float | None = None
        self._told: set[What] = set()

    @property
    def behind(self) -> float:
        """The seconds since something changed that was not read yet."""
        since = self._behind_since
        return 0.0 if since is None else self._monotonic() - since

    def changed(self, what: What) -> None:
        """Read *what* anew soon."""
        if what in self._readers:
            if self._behind_since is None:
                self._behind_since = self._monotonic()
            self._changed.add(what)
            self._is_due.set()

    async def follow(self) -> None:
        """Read whatever changed, until cancelled."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            changed, self._changed = self._changed, set()
            for what in WHATS:
                if what in changed:
                    await self._read(what)
            if self._changed:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self._behind_since = None

    async def _read(self, what: What) -> None:
        try:
            await self._readers[what]()
        except Exception as error:  # noqa: BLE001  who stops following would never see a revocation
            self.changed(what)
            if what not in self._told and not isinstance(error, StateError):
                self._told.add(what)
                self._on_failure(error)
        else:
            self._told.discard(what)


class Revoked:
    """Refuses and ends what others revoked. *now* tells the seconds since the epoch."""

    def __init__(
        self,
        tokens: TokenLedger,
        planes: Iterable[TokenPlane],
        outlets: Outlets,
        now: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self._planes = tuple(planes)
        self._outlets = outlets
        self._now = now
        self._known: set[str] = set()

    async def catch_up(self) -> None:
        """Refuse what was revoked by now. Raises `StateError`."""
        known: set[str] = set()
        for plane in self._planes:
            revoked = await self._tokens.revoked(plane.plane.value, self._now())
            fresh = [one for one in revoked if one.jti not in self._known]
            if fresh:
                plane.refuse((one.jti, one.expires_at) for one in fresh)
                self._outlets.end(*(one.jti for one in fresh))
            known |= {one.jti for one in revoked}
        self._known = known
