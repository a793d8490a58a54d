"""What every database can keep of a text, so that all of them keep the same."""

from __future__ import annotations

from typing import Final

from storage.errors import TextRefusedError

MOST_BYTES: Final = 2_600
"""Of UTF-8 in what tells a row from others. PostgreSQL's indexes take hardly more."""


def is_text(*texts: str) -> bool:
    """Tell whether *texts* can be kept: PostgreSQL has no NUL, and UTF-8 no half characters."""
    return all("\0" not in one and _size(one) is not None for one in texts)


def is_name(*texts: str) -> bool:
    """Tell whether *texts* can be kept, and together be what tells a row from others."""
    return is_text(*texts) and sum(_size(one) or 0 for one in texts) <= MOST_BYTES


def check_text(*texts: str) -> None:
    """Raise `TextRefusedError` if *texts* cannot be kept."""
    if not is_text(*texts):
        raise TextRefusedError("NUL, or half a character")


def check_name(*texts: str) -> None:
    """Raise `TextRefusedError` if *texts* cannot be kept as what tells a row from others."""
    check_text(*texts)
    if not is_name(*texts):
        raise TextRefusedError(f"a name of more than {MOST_BYTES} bytes")


def _size(text: str) -> int | None:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None
