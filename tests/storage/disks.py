"""Disks that fail: at the n-th operation, while they are full, or by a loss of power."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from storage.journal.files import LocalFiles


class QuickFiles(LocalFiles):
    """Syncs nothing, for tests in which no power is lost."""

    def sync(self, handle: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class FailingFiles(QuickFiles):
    """Fails the writes and syncs, counted together from 1, whose numbers are in `failing`.

    A write that fails has written half. `misused` counts writes and syncs of a descriptor after
    one of it had failed.
    """

    def __init__(self, failing: Sequence[int], error: int) -> None:
        self.failing = frozenset(failing)
        self.error = error
        self.count = 0
        self.failed = 0
        self.misused = 0
        self._spoilt: set[int] = set()

    def write(self, handle: int, data: bytes, offset: int) -> int:
        if self._fails(handle):
            super().write(handle, data[: len(data) // 2], offset)
            raise OSError(self.error, os.strerror(self.error))
        return super().write(handle, data, offset)

    def sync(self, handle: int) -> None:
        if self._fails(handle):
            raise OSError(self.error, os.strerror(self.error))

    def close(self, handle: int) -> None:
        self._spoilt.discard(handle)
        super().close(handle)

    def _fails(self, handle: int) -> bool:
        self.misused += handle in self._spoilt
        self.count += 1
        if self.count not in self.failing:
            return False
        self.failed += 1
        self._spoilt.add(handle)
        return True


class FullFiles(QuickFiles):
    """Takes no byte while `is_full`."""

    is_full = False

    def write(self, handle: int, data: bytes, offset: int) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, data, offset)


class HeldFiles(QuickFiles):
    """Syncs nothing until `go` is set, as a disk that hangs; `reached` says that one waits."""

    def __init__(self) -> None:
        self.go = Event()
        self.go.set()
        self.reached = Event()

    def sync(self, handle: int) -> None:  # noqa: ARG002  whatever is synced waits
        self.reached.set()
        self.go.wait()


class ShortFiles(QuickFiles):
    """Writes at most seven bytes at a time, as a disk may."""

    def write(self, handle: int, data: bytes, offset: int) -> int:
        return super().write(handle, data[:7], offset)


@dataclass
class _Content:
    live: bytes = b""
    synced: bytes = b""


@dataclass(frozen=True)
class Moment:
    """What a disk held before one operation: names with synced and with live bytes, twice.

    `durable` are the names that were synced, `visible` those that programs saw; `acknowledged`
    counts what had been promised by then.
    """

    durable: dict[str, tuple[bytes, bytes]]
    visible: dict[str, tuple[bytes, bytes]]
    acknowledged: int

    def survive(self, directory: Path, chance: random.Random) -> None:
        """Write into *directory* one of the states in which a loss of power may leave it."""
        directory.mkdir()
        for name, content in chance.choice((self.durable, self.visible)).items():
            (directory / name).write_bytes(_survivor(*content, chance))


def _survivor(synced: bytes, live: bytes, chance: random.Random) -> bytes:
    if not live.startswith(synced):
        return chance.choice((synced, live))
    start, end = sorted(chance.randint(len(synced), len(live)) for _ in range(2))
    hole = bytes(end - start)
    noise = chance.randbytes(len(live) - start)
    # Cut short; the length kept, but not the content; or pages that came in another order.
    return live[:start] + chance.choice((b"", bytes(len(noise)), noise, hole + live[end:]))


class PowerCutFiles(LocalFiles):
    """Remembers, before each operation, what a loss of power at that moment would leave."""

    def __init__(self, promised: Callable[[], int]) -> None:
        self.moments: list[Moment] = []
        self._promised = promised
        self._visible: dict[str, _Content] = {}
        self._durable: dict[str, _Content] = {}
        self._open: dict[int, _Content] = {}

    def know(self, directory: Path) -> None:
        """Take what is in *directory* as durable."""
        for path in directory.glob("*.jsonl"):
            self._visible[path.name] = _Content(path.read_bytes(), path.read_bytes())
        self._durable = dict(self._visible)

    def create(self, path: Path) -> int:
        self._moment()
        handle = super().create(path)
        self._visible[path.name] = self._open[handle] = _Content()
        return handle

    def open(self, path: Path) -> int:
        handle = super().open(path)
        self._open[handle] = self._visible[path.name]
        return handle

    def write(self, handle: int, data: bytes, offset: int) -> int:
        self._moment()
        content = self._open[handle]
        content.live = content.live[:offset] + data + content.live[offset + len(data) :]
        return super().write(handle, data, offset)

    def sync(self, handle: int) -> None:
        self._moment()
        self._open[handle].synced = self._open[handle].live

    def truncate(self, handle: int, size: int) -> None:
        self._moment()
        self._open[handle].live = self._open[handle].live[:size]
        super().truncate(handle, size)

    def rename(self, old: Path, new: Path) -> None:
        self._moment()
        self._visible[new.name] = self._visible.pop(old.name)
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self._moment()
        del self._visible[path.name]
        super().remove(path)

    def sync_directory(self, path: Path) -> None:  # noqa: ARG002  there is one
        self._moment()
        self._durable = dict(self._visible)

    def _moment(self) -> None:
        # What was promised is read first: more may be promised while the rest is copied.
        promised = self._promised()
        self.moments.append(Moment(_image(self._durable), _image(self._visible), promised))


def _image(names: dict[str, _Content]) -> dict[str, tuple[bytes, bytes]]:
    return {name: (content.synced, content.live) for name, content in names.items()}


class ForgetfulFiles(PowerCutFiles):
    """Syncs only what was written since the last sync, and forgets it when a sync fails.

    So does Linux: a page whose writing failed counts as written, and shows its content until the
    power is lost.
    """

    fails = False

    def __init__(self, promised: Callable[[], int]) -> None:
        super().__init__(promised)
        self._unwritten: list[tuple[_Content, int, int]] = []

    def write(self, handle: int, data: bytes, offset: int) -> int:
        self._unwritten.append((self._open[handle], offset, offset + len(data)))
        return super().write(handle, data, offset)

    def sync(self, handle: int) -> None:  # noqa: ARG002  one file is written at a time
        unwritten, self._unwritten = self._unwritten, []
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        for content, start, end in unwritten:
            synced = content.synced.ljust(end, b"\0")
            content.synced = synced[:start] + content.live[start:end] + synced[end:]

    def durable(self) -> dict[str, bytes]:
        """Return what a loss of power now would leave."""
        return {name: content.synced for name, content in self._durable.items()}
