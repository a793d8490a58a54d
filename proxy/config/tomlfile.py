"""Settings from a TOML file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from proxy.config.entries import Given, KeyPath
from proxy.config.positions import key_lines, line_of
from proxy.config.problems import Problem
from proxy.config.shape import shape

MOST_FILE_BYTES = 1024**2

_AT_LINE = re.compile(r"\(at line (?P<line>[0-9]+), column [0-9]+\)")


def read_file(path: Path) -> Given:
    """Return what the file at *path* gives; every way to fail is one of its problems."""
    given = Given(private_file=path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        given.problems.append(Problem("", f"The file cannot be read: {reason}.", str(path)))
        return given
    text = content.decode(errors="replace")
    if len(content) > MOST_FILE_BYTES or text.encode() != content:
        message = "The file has to be TOML in UTF-8, at most 1 MiB."
        given.problems.append(Problem("", message, str(path)))
        return given
    _take_text(given, text.replace("\r\n", "\n"), path)
    return given


def _take_text(given: Given, text: str, path: Path) -> None:
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        given.problems.append(_unreadable(error, text, path))
        return
    lines = key_lines(text)

    def where(key: KeyPath) -> str:
        line = line_of(lines, key)
        return f"{path}:{line}" if line else str(path)

    given.take(table, shape(), (), where)


def _unreadable(error: Exception, text: str, path: Path) -> Problem:
    # tomllib's own sentence is left out: it may repeat a piece of the text.
    found = _AT_LINE.search(str(error))
    line = found["line"] if found else text.rstrip("\n").count("\n") + 1
    where = f"{path}:{line}" if found or "end of document" in str(error) else str(path)
    return Problem("", "This is not TOML. Look for a missing quote, bracket or `=`.", where)
