"""On which line of a TOML text each key stands, which `tomllib` does not tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

KeyPath = tuple[str, ...]

_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}\n=]"
    r"|[^\"'\#\[\]{}\n=]+",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, of each table and key of *text*, which `tomllib` has accepted.

    Keys inside an inline table are left out: they are where its key is.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    head, line, depth, in_value = "", 1, 0, False
    for piece in _PIECE.findall(text + "\n"):
        if in_value:
            depth += (piece in ("[", "{")) - (piece in ("]", "}"))
            in_value = depth > 0 or piece != "\n"
        elif piece == "=":
            lines.setdefault(table + _keys(head), line)
            head, in_value = "", True
        elif piece == "\n":
            if head.strip():
                table = _keys(head.strip().strip("[]"))
                lines.setdefault(table, line)
            head = ""
        elif not piece.startswith("#"):
            head += piece
        line += piece.count("\n")
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of *path*, or of the nearest table around it that has one."""
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((lines[one] for one in around if one in lines), None)


def _keys(text: str) -> KeyPath:
    """Return the parts of a dotted key, read by the same reader as the whole file."""
    try:
        table: Any = tomllib.loads(f"{text} = 0")
    except ValueError:
        return (text.strip(),)
    path = []
    while isinstance(table, dict) and table:
        key, table = next(iter(table.items()))
        path.append(key)
    return tuple(path)
