"""The file `.env`: variables that the environment lacks, our settings and MCPJungle's alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from proxy.config.mcpjungle import VARIABLES
from proxy.config.problems import Problem, SettingsError
from proxy.config.shape import PREFIX

FILE: Final = Path(".env")

_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_BARE: Final = re.compile(r"([^\s#'\"][^'\"]*?)?(\s+#.*)?\s*")
_QUOTED: Final = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:\#.*)?""")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def read(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the file at *path* that count and are not in *environ*.

    Other programs' variables are passed over, however they are written. Raises `SettingsError` for
    one of ours that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        problem = Problem("", f"The file cannot be read: {reason}.", str(path))
        raise SettingsError([problem]) from None
    found: dict[str, str] = {}
    problems = []
    for number, name, written in _ours(text):
        value = _value(written)
        if value is None:
            message = f"The value of {name} cannot be read; close its quotes."
            problems.append(Problem("", message, f"{path}:{number}"))
        else:
            found[name] = value
    if problems:
        raise SettingsError(problems)
    return {name: value for name, value in found.items() if name not in environ}


def _ours(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is not None and (found[1].startswith(PREFIX) or found[1] in VARIABLES):
            yield number, found[1], found[2].strip()


def _value(written: str) -> str | None:
    """Return what stands behind the equals sign, or None if its quotes do not match."""
    if quoted := _QUOTED.fullmatch(written):
        if quoted[1] is not None:
            return quoted[1]
        return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), quoted[2])
    bare = _BARE.fullmatch(written)
    return None if bare is None else bare[1] or ""
