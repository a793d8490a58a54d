"""The file of a backup: there whole, or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from proxy.cli.control.endings import CommandError

STDOUT: Final = Path("-")


@contextmanager
def written(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Give a file to write to, which is at *path*, durably and for its owner alone, after that.

    If the block raises there is nothing new. Raises `CommandError` if something is at *path*,
    unless *force* says that it may be lost, and if it cannot be written.
    """
    if path == STDOUT:
        with _stdout() as stdout:
            yield stdout
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _check_free(path, force=force)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_free(path, force=force)
        fresh.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise unusable(path, error) from error
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def read(path: Path) -> Iterator[BinaryIO]:
    """Give the file at *path* to read. Raises `CommandError` if it cannot be."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> CommandError:
    return CommandError("file", f"{path} cannot be used: {error.strerror or error}.")


def _check_free(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise CommandError("file-exists", f"{path} is a directory.", "Name a file in it.")
    if not force and os.path.lexists(path):
        raise CommandError(
            "file-exists", f"{path} exists.", "Name another file, or lose this one with --force."
        )


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    if sys.stdout.isatty():
        raise CommandError(
            "stdout", "A terminal is no place for a backup.", "Name a file, or send stdout to one."
        )
    try:
        yield sys.stdout.buffer
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unusable(STDOUT, error) from error


def _sync(directory: Path) -> None:
    found = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(found)
    finally:
        os.close(found)
