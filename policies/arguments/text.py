"""Limits on text, in bytes of UTF-8."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_STRING = 8 * 1024
"""Bytes of a string that is tested against a pattern."""

MAX_FACT = 384
"""Bytes of a string inside a fact: a key, a pattern, a value."""

Check = Callable[[str], bool | None]
"""What one pattern says of one string: it passes, it fails, or it is irregular (`None`)."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def fits(text: str, limit: int) -> bool:
    """Say whether *text* is at most *limit* bytes of UTF-8; a lone surrogate never fits."""
    if len(text) > limit:
        return False
    if text.isascii():
        return True
    try:
        return len(text.encode()) <= limit
    except UnicodeEncodeError:
        return False


def has_controls(text: str) -> bool:
    """Say whether *text* holds a C0 or C1 control, DEL, or a line or paragraph separator."""
    return _CONTROLS.search(text) is not None


def literal_problem(name: str, text: str) -> str | None:
    """Return why *text*, called *name* in the sentence, can be no part of a fact, else `None`."""
    if not text:
        return f"{name} is empty."
    if not fits(text, MAX_FACT):
        return f"{name} is longer than {MAX_FACT} bytes, or is not Unicode text."
    if has_controls(text):
        return f"{name} holds a control character, which no regular text does."
    return None
