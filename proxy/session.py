"""A session of a legacy upstream, which lives in the id that its client holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """The upstream's own id of a session, and the version that was agreed on when it began."""

    id: str
    version: str
