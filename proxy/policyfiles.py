"""The policy in a directory: seeded with the shipped rules, read whole, followed as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from policies import bundle, watch
from policies.bundle import ActiveBundle, Bundle, Sources, read_sources
from policies.watch import Found

SHIPPED: Final = "rules"

RETRY_SECONDS: Final = 1.0
"""Between two attempts to adopt a policy that is right in itself."""


def seed(directory: Path) -> bool:
    """Fill *directory* with the policy we ship, unless it exists; tell whether that was done."""
    if directory.exists():
        return False
    with as_file(files("policies") / SHIPPED) as shipped:
        contents = read_sources([shipped])
    directory.mkdir(mode=0o700, parents=True)
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return True


def load(directory: Path, *, portable: bool) -> Bundle:
    """Return the policy in *directory*. Raises what `policies.bundle.load` raises."""
    return bundle.load(read_sources([directory]), portable=portable)


class Follower:
    """Follows a directory: each policy that it comes to hold is adopted, or refused whole.

    *adopt* makes a policy decide; *refused* is told why one does not. Both run in the event loop.
    """

    def __init__(
        self,
        first: Bundle,
        adopt: Callable[[Bundle], Awaitable[None]],
        refused: Callable[[Exception], None],
        *,
        portable: bool,
    ) -> None:
        self._active = ActiveBundle(first, partial(_load, portable=portable))
        self._adopt = adopt
        self._refused = refused

    async def follow(self, directory: Path) -> None:
        """Follow *directory* until cancelled."""
        loop = asyncio.get_running_loop()

        def on_change(found: Found) -> None:
            # In a thread, since reading and testing a policy takes its time.
            before = self._active.current
            self._active.follow(found)
            after = self._active.current
            if self._active.failure is not None:
                loop.call_soon_threadsafe(self._refused, self._active.failure)
            elif after is not before:
                asyncio.run_coroutine_threadsafe(self._taken(after), loop).result()

        await watch.watch(directory, on_change, self._active.current.version)

    async def _taken(self, fresh: Bundle) -> None:
        """Adopt *fresh*, as often as it takes: what is stored with it may be out of reach."""
        while True:
            try:
                await self._adopt(fresh)
            except Exception as error:  # noqa: BLE001  whoever follows outlives every failure
                self._refused(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


def _load(sources: Sources, *, portable: bool) -> Bundle:
    return bundle.load(sources, portable=portable)
