"""Replacing the policy in a directory: all of it, or nothing, whatever happens on the way.

While files are moved a marker lies beside them that holds the policy as it was. Whoever follows the
directory waits until it is gone, and a gateway that starts where one was killed puts that back.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from policies.bundle import BundleError, Sources, find_sources, read_sources, version_of
from policies.watch import REPLACING


class ReplacingError(Exception):
    """The directory still holds what it held. `detail` says what is in the way."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class OtherPolicyError(ReplacingError):
    """The directory holds another policy than the one that was to be replaced."""


def replace(directory: Path, before: str, sources: Sources) -> None:
    """Make *sources* the policy in *directory*, where the version *before* is now.

    Raise `OtherPolicyError`, and `ReplacingError` where it cannot be written. Blocks.
    """
    try:
        finish(directory)
        held = _held(directory, before)
        with _marker(directory, held):
            try:
                _put(directory, sources)
            except BaseException:
                # If this fails too the marker stays, and with it the policy in force.
                _put(directory, held)
                _unmark(directory)
                raise
            _unmark(directory)
    except (OSError, ValueError, BundleError) as error:
        raise _cannot(error) from error


def check(directory: Path, before: str) -> None:
    """Raise what `replace` would, as far as that can be told without changing anything."""
    try:
        finish(directory)
        _held(directory, before)
        probe = directory / f"{REPLACING}.{uuid4().hex}"
        probe.touch()
        probe.unlink()
    except (OSError, BundleError) as error:
        raise _cannot(error) from error


def finish(directory: Path) -> None:
    """Put the policy back that somebody was replacing when he was killed. Raise `OSError`."""
    marker = directory / REPLACING
    with suppress(FileNotFoundError), marker.open(encoding="utf-8") as file:
        # Whoever is alive holds it, and is done in a moment.
        fcntl.flock(file, fcntl.LOCK_EX)
        if marker.exists() and os.path.samestat(marker.stat(), os.fstat(file.fileno())):
            _put(directory, json.load(file))
            _unmark(directory)


def _held(directory: Path, version: str) -> dict[str, bytes]:
    held = read_sources([directory])
    if version_of(held) != version:
        raise OtherPolicyError("it was edited meanwhile, and is not in force")
    return held


def _cannot(error: Exception) -> ReplacingError:
    reason = error.strerror if isinstance(error, OSError) else None
    return ReplacingError(reason or str(error))


@contextmanager
def _marker(directory: Path, held: Mapping[str, bytes]) -> Iterator[None]:
    """Lay the marker with *held* in *directory*, and hold it until the block ends."""
    draft = directory / f"{REPLACING}.{uuid4().hex}"
    content = json.dumps({name: text.decode() for name, text in held.items()})
    with draft.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            # A rename would take the place of the marker of somebody else.
            (directory / REPLACING).hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
        _synced(directory)
        yield


def _unmark(directory: Path) -> None:
    # What was moved is on the disk before the marker is gone from it.
    (directory / REPLACING).unlink()
    _synced(directory)


def _put(directory: Path, sources: Sources) -> None:
    """Make the policy files of *directory* those of *sources*."""
    places = {name: directory / name for name in sources}
    drafts = {place: place.with_name(f".{place.name}.draft") for place in places.values()}
    try:
        for name, text in sources.items():
            place = places[name]
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(drafts[place], text.encode() if isinstance(text, str) else text)
        for place, draft in drafts.items():
            draft.replace(place)
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)
    for name, path in find_sources([directory]).items():
        if name not in sources:
            path.unlink()
    for one in {place.parent for place in places.values()}:
        _synced(one)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _synced(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
