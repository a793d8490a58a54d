"""Making a candidate the policy in force, in the directory that it is read from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from proxy import replacing
from proxy.replacing import ReplacingError

ADOPTED_SECONDS: Final = 10.0
"""Within which a policy that lies in the directory must have come into force."""

_LOOK_SECONDS: Final = 0.02


class NotAdoptedError(Exception):
    """The candidate did not come into force in time; the policy before lies there again."""


class Promoting:
    """Puts policies into *directory*. *in_force* tells the version that decides."""

    def __init__(self, directory: Path, in_force: Callable[[], str]) -> None:
        self._directory = directory
        self._in_force = in_force
        self._turn = asyncio.Lock()

    async def promote(
        self,
        version: str,
        sources: Mapping[str, str],
        before: Mapping[str, str],
        record: Callable[[], Awaitable[object]],
    ) -> None:
        """Return once the policy *version* of *sources* decides, in place of that of *before*.

        *record* is called before anything is changed. Raise what it raises, `ReplacingError`, and
        `NotAdoptedError`; then the policy of before stays in force.
        """
        # What has begun is brought to its end, even if whoever wanted it has left.
        work = self._promoted(version, sources, before, record)
        await asyncio.shield(asyncio.ensure_future(work))

    async def _promoted(
        self,
        version: str,
        sources: Mapping[str, str],
        before: Mapping[str, str],
        record: Callable[[], Awaitable[object]],
    ) -> None:
        async with self._turn:
            was = self._in_force()
            await asyncio.to_thread(replacing.check, self._directory, was)
            await record()
            await asyncio.to_thread(replacing.replace, self._directory, was, sources)
            try:
                async with asyncio.timeout(ADOPTED_SECONDS):
                    while self._in_force() != version:  # noqa: ASYNC110  the follower has no event
                        await asyncio.sleep(_LOOK_SECONDS)
            except TimeoutError:
                await self._back(version, before)
                raise NotAdoptedError from None

    async def _back(self, version: str, before: Mapping[str, str]) -> None:
        try:
            await asyncio.to_thread(replacing.replace, self._directory, version, before)
        except ReplacingError as error:
            raise NotAdoptedError from error
