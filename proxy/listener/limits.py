"""What one listener grants the peers that connect to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener. Times are in seconds, sizes in bytes."""

    body_bytes: int = 1024 * KIB
    header_bytes: int = 32 * KIB
    """Of the target and all headers of one request."""
    header_seconds: float = 10.0
    """To the end of a request's headers, from its first byte, or at first from the connection."""
    body_seconds: float = 30.0
    """For the rest of a body, once it is asked for."""
    write_seconds: float = 30.0
    """Without one byte taken by a peer that has an answer coming."""
    keep_alive_seconds: float = 15.0
    """Of silence on an event stream before a comment is sent."""
    idle_seconds: float = 75.0
    """Between two requests of one connection."""
    connections: int | None = None
    """Open at once; `None` leaves it to the descriptors."""
    spare_descriptors: int = 256
    """Left for everything else: no connection is admitted that would leave fewer."""
