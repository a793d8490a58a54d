r"""Absolute POSIX paths, compared as they are written.

Nothing is resolved or normalised, so a path is regular only if it has one reading. These make it
irregular: not beginning with `/`; an empty segment (so `//`, a slash at the end, and `/` itself);
a `.` or `..` segment; a backslash, `%` or `~` anywhere; a character that is not printable (any
control, bidirectional mark, zero-width or unassigned character, any white space but U+0020);
text that is not in NFC; a character that NFKC turns into one of `/ . \ % ~`.

Case counts. Links, mounts and file systems that ignore case are beyond what text can tell.
"""

from __future__ import annotations

import re
from unicodedata import is_normalized, normalize

from policies.arguments.text import Check

_EMPTY_OR_DOTS = re.compile(r"/\.{0,2}(?:/|\Z)")
_REREAD = re.compile(r"[\\%~]")
_STRUCTURE = "/.\\%~"


def path_problem(path: str) -> str | None:
    """Return in one sentence why *path* is irregular, else `None`."""
    if not path.startswith("/"):
        return "The path is not absolute: begin it with a slash."
    if _EMPTY_OR_DOTS.search(path):
        return "The path has an empty, `.` or `..` segment, such as a slash at its end makes."
    if _REREAD.search(path):
        return "The path holds a backslash, `%` or `~`, which may be read as something else."
    if not path.isprintable():
        return "The path holds an invisible, control or bidirectional character."
    if not path.isascii() and not _is_composed(path):
        return "The path is not in NFC, or holds a character that resembles `/`, `.` or the like."
    return None


def under_check(directory: str) -> Check:
    """Return the check for *directory*, a path without problems: equal to it, or below it."""
    below = directory + "/"

    def check(path: str) -> bool | None:
        if path_problem(path) is not None:
            return None
        return path == directory or path.startswith(below)

    return check


def _is_composed(path: str) -> bool:
    if not is_normalized("NFC", path):
        return False
    compatible = normalize("NFKC", path)
    return all(compatible.count(mark) == path.count(mark) for mark in _STRUCTURE)
