"""Follows a directory of policy files: each state it comes to rest in, never one in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from watchfiles import awatch

from policies.bundle import BundleError, find_sources, read_sources, version_of

QUIET_SECONDS = 0.2
"""How long nothing may change before what a directory holds counts as whole."""

_LOOK_MILLISECONDS = 300
_GATHER_MILLISECONDS = 50

REPLACING: Final = ".replacing"
"""The file that is in a directory while its policy is being replaced: what else is there counts for
nothing until it is gone."""

Found = dict[str, bytes] | BundleError
"""What a directory holds, or why that is no policy."""

Signature = tuple[object, ...]


async def watch(directory: Path, on_change: Callable[[Found], None], known: str = "") -> None:
    """Call *on_change* with what *directory* holds whenever that has changed and come to rest.

    Runs until cancelled. *known* is the version that the caller has already. *on_change* runs in a
    thread, one call at a time. Files that are written with pauses longer than `QUIET_SECONDS` are
    taken as they are in a pause: rename a finished file into its place to be safe.
    """
    seen: Signature | None = None
    told = known
    async with aclosing(_moments(directory)) as moments:
        async for _ in moments:
            if await asyncio.to_thread(_signature, directory) == seen:
                continue
            found, signature = await settled(directory)
            if isinstance(found, BundleError):
                # What cannot be read now may be readable at the next look.
                seen, name = None, str(found)
            else:
                seen, name = signature, version_of(found)
            if name != told:
                told = name
                await asyncio.to_thread(on_change, found)


async def settled(
    directory: Path, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> tuple[Found, Signature]:
    """Wait until *directory* is the same before and after a pause, and return what it holds."""
    before = await asyncio.to_thread(_look, directory)
    while True:
        await pause(QUIET_SECONDS)
        after = await asyncio.to_thread(_look, directory)
        if before is not None and after is not None and _same(before, after):
            return after
        before = after


def _same(before: tuple[Found, Signature], after: tuple[Found, Signature]) -> bool:
    contents = [found for found, _ in (before, after) if not isinstance(found, BundleError)]
    return before[1] == after[1] and contents[:1] == contents[1:]


async def _moments(directory: Path) -> AsyncGenerator[None, None]:
    """Yield now, soon after each change, and now and then in between.

    The last because notifications end without a word when the directory itself is replaced, never
    come from some file systems, and cannot be had where there is no directory yet.
    """
    while True:
        yield
        with suppress(OSError, RuntimeError):
            async with aclosing(_changes(directory)) as changes:
                async for _ in changes:
                    yield
        # Where no notification can be had, this is how often to look.
        await asyncio.sleep(_LOOK_MILLISECONDS / 1000)


def _changes(directory: Path) -> AsyncGenerator[object, None]:
    return awatch(
        directory,
        watch_filter=None,
        debounce=_GATHER_MILLISECONDS,
        step=_GATHER_MILLISECONDS // 2,
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
    )


def _look(directory: Path) -> tuple[Found, Signature] | None:
    """Return what *directory* holds; None while that is being replaced."""
    signature = _signature(directory)
    found: Found
    try:
        found = read_sources([directory])
    except BundleError as error:
        found = error
    # Asked last: whoever replaces a policy takes the file away when all else is done.
    return None if (directory / REPLACING).exists() else (found, signature)


def _signature(directory: Path) -> Signature:
    """Return what changes whenever a policy file may have changed."""
    try:
        files = find_sources([directory])
    except BundleError as error:
        return (str(error),)
    return tuple((name, *_state(path)) for name, path in files.items())


def _state(path: Path) -> tuple[object, ...]:
    try:
        stat = path.stat()
    except OSError as error:
        return (str(error),)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
