"""How long an upstream may take and how much it may send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one pool. Times are in seconds, sizes in bytes."""

    connect: float = 5.0
    """To look up, connect and shake hands."""
    stream_idle: float = 60.0
    """Between two chunks of a stream."""
    stream_life: float = 3600.0
    """From the head of a stream to its end."""
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
    """Open at once, streams among them."""
    waiters: int = 200
    """Requests that wait for a connection at once."""
