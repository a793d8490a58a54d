"""The name somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the closest of *known*, or an empty string."""
    close = get_close_matches(name, sorted(set(known) - {name}), n=1, cutoff=0.7)
    return f"Did you mean `{close[0]}`?" if close else ""
