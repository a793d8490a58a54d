"""The few things the journal asks of a file system, so that tests can make each of them fail."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_LOCK_PAUSE = 0.01
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Files(Protocol):
    """Changes to files. Each method raises `OSError` when it fails; handles are descriptors."""

    def create(self, path: Path) -> int:
        """Open *path* for writing as an empty file that only its owner may read."""

    def open(self, path: Path) -> int:
        """Open the existing file *path* for writing."""

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write *data* at *offset*, perhaps only its beginning; return how many bytes."""

    def sync(self, handle: int) -> None:
        """Return once what was written survives a loss of power (fdatasync)."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to *size* bytes."""

    def close(self, handle: int) -> None:
        """Give *handle* back."""

    def rename(self, old: Path, new: Path) -> None:
        """Give *old* the name *new*, in the place of what had that name."""

    def remove(self, path: Path) -> None:
        """Remove *path*."""

    def sync_directory(self, path: Path) -> None:
        """Return once the names in *path* survive a loss of power."""


class LocalFiles:
    """The files of this machine."""

    def create(self, path: Path) -> int:
        return os.open(path, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o600)

    def open(self, path: Path) -> int:
        return os.open(path, _FLAGS)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def sync(self, handle: int) -> None:
        os.fdatasync(handle)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def close(self, handle: int) -> None:
        os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def remove(self, path: Path) -> None:
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_directory(path: Path) -> None:
    """Make *path*, for its owner only, if it is not there; its name survives a loss of power."""
    if path.is_dir():
        return
    path.mkdir(mode=0o700, parents=True)
    LocalFiles().sync_directory(path.parent)


def size_of(directory: Path) -> int:
    """Return the bytes of all files in *directory*."""
    size = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # removed meanwhile
                size += entry.stat(follow_symlinks=False).st_size
    return size


def lock(path: Path, seconds: float = 0.0) -> int:
    """Lock *path* for as long as the descriptor returned is open.

    Raise `BlockingIOError` if another descriptor, here or in another process, has it and keeps it
    for so many *seconds*. The lock ends with the process, so a crash leaves none behind.
    """
    handle = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    ends = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= ends:
                    raise
                time.sleep(_LOCK_PAUSE)
            else:
                return handle
    except BaseException:
        os.close(handle)
        raise


def write_all(files: Files, handle: int, data: bytes, offset: int) -> None:
    """Write all of *data* at *offset*; raise `OSError` if the disk takes no more."""
    done = 0
    while done < len(data):
        count = files.write(handle, data[done:] if done else data, offset + done)
        if count <= 0:
            raise OSError("nothing was written")
        done += count
