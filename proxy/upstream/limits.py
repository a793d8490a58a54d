"""How long an upstream may take and how much it may send."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one pool. Times are in seconds, sizes in bytes."""

    connect: float = 5.0
    """To look up, connect and shake hands."""
    stream_idle: float = 60.0
    """Between two chunks of a stream."""
    stream_life: float = 3600.0
    """From the head of a stream to its end."""
    endless_idle: float = math.inf
    """Between two chunks of an endless stream, which by default only its life bounds: an upstream
    need not say a word until something happens."""
    endless_life: float = 86_400.0
    """From the head of an endless stream to its end."""
    keep: float = 4.0
    """For an unused connection; common servers hang up after five seconds, and a request that
    meets their goodbye is lost."""
    header_bytes: int = 32 * 1024
    """Of headers, interim answers, trailers and framing between two pieces of a body."""
    body_bytes: int = 4 * 1024 * 1024
    """Of a body that is not a stream."""
    held_bytes: int = 256 * 1024
    """Of a stream, waiting for its reader; beyond it the upstream is made to wait."""
    connections: int = 100
    """Open at once, streams that are not endless among them."""
    endless_streams: int = 9_000
    """Connections of endless streams at once, which are not of the `connections`."""
    waiters: int = 200
    """Requests that wait for a connection at once."""

    def of_endless(self) -> Limits:
        """Return what bounds an endless stream; all but its times are those of any other."""
        return replace(self, stream_idle=self.endless_idle, stream_life=self.endless_life)
