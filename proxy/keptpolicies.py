"""Every policy that ever decided, kept under its name, since records cite it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from policies.bundle import Bundle, BundleError, read_sources, version_of

DIRECTORY: Final = "policies-kept"
"""Where they are, below the data directory."""

_PREFIX: Final = "sha256:"


class KeptPolicies:
    """The policies in *directory*, each in a directory of its own, which is never changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, bundle: Bundle) -> None:
        """Keep the files of *bundle*, durably, unless they are. Raise `OSError`."""
        place = self._place(bundle.version)
        if place is None:
            return
        if self.find(bundle.version) is not None:
            self.used(bundle.version, time.time())
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._directory))
        try:
            for name, text in bundle.sources.items():
                _write(draft / name, text.encode())
            if place.exists():
                # What does not have the content of its name is of no use to anybody.
                shutil.rmtree(place)
            _rename(draft, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def find(self, version: str) -> dict[str, bytes] | None:
        """Return the files of the policy *version*; None if they are not here as they were."""
        place = self._place(version)
        if place is None or not place.is_dir():
            return None
        try:
            sources = read_sources([place])
        except BundleError:
            return None
        return sources if version_of(sources) == version else None

    def used(self, version: str, now: float) -> None:
        """Note that the policy *version* decides at *now*, seconds since the epoch."""
        place = self._place(version)
        with suppress(FileNotFoundError):
            # A clock that went back does not make it older than what it decided.
            if place is not None and place.stat().st_mtime < now:
                os.utime(place, (now, now))

    def unused_since(self, moment: float) -> list[str]:
        """Return the versions that decided nothing after *moment*."""
        if not self._directory.is_dir():
            return []
        return sorted(
            f"{_PREFIX}{place.name}"
            for place in self._directory.iterdir()
            if place.name.isalnum() and place.stat().st_mtime < moment
        )

    def forget(self, version: str) -> None:
        """Remove the policy *version*. Raise `OSError`, after which it may be tried again."""
        place = self._place(version)
        if place is not None and place.is_dir():
            shutil.rmtree(place)

    def _place(self, version: str) -> Path | None:
        name = version.removeprefix(_PREFIX)
        is_name = version.startswith(_PREFIX) and name.isascii() and name.isalnum()
        return self._directory / name if is_name else None


def _rename(draft: Path, place: Path) -> None:
    try:
        draft.rename(place)
    except OSError:
        # Another process that keeps the same policy was first.
        if not place.is_dir():
            raise
    descriptor = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
