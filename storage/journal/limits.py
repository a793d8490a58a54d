"""How much the journal holds, and how long it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

KIB, MIB, GIB = 1024, 1024**2, 1024**3

MOST_RECORD_BYTES = 2 * MIB
BATCH_BYTES = MIB
"""A commit takes records until it holds this much, so it stays below `TAIL_BYTES`."""

TAIL_BYTES = 4 * MIB
"""All that can be undurable at the end of a segment: a commit starts when the last is synced."""

LONGEST_LINE = MOST_RECORD_BYTES + KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one chain. Sizes are in bytes, times in seconds.

    `record_bytes` bounds an encoded payload. `total_bytes` bounds all files of the directory,
    whoever writes them. Of it, `reserve` is kept for records that nobody waits for, so that a
    call that was made gets its outcome written. A segment ends with `segment_bytes`, or once it
    is `segment_seconds` old.
    `waiting` and `waiting_bytes` bound what is queued; `deadline` is how long an append may
    take; `retry_first` and `retry_most` say how long to wait before a failed disk is tried
    again; `checkpoint` is how long a record may stand without a signature after it, and
    `silence` how long nothing may be written before a checkpoint says so. Raise
    `ValueError` for bounds that contradict each other.
    """

    record_bytes: int = MIB
    segment_bytes: int = 64 * MIB
    segment_seconds: float = math.inf
    total_bytes: int = GIB
    waiting: int = 8192
    waiting_bytes: int = 32 * MIB
    deadline: float = 1.0
    retry_first: float = 0.05
    retry_most: float = 2.0
    checkpoint: float = 1.0
    silence: float = math.inf

    def __post_init__(self) -> None:
        if not 0 < self.record_bytes <= MOST_RECORD_BYTES:
            raise ValueError(f"record_bytes must be between 1 and {MOST_RECORD_BYTES}")
        if not 0 < self.segment_bytes <= self.total_bytes:
            raise ValueError("segment_bytes must be positive and at most total_bytes")
        if self.waiting < 1 or self.waiting_bytes < self.record_bytes:
            raise ValueError("at least one record of the largest size must be able to wait")
        if (
            not 0 < self.retry_first <= self.retry_most
            or min(self.deadline, self.checkpoint, self.silence, self.segment_seconds) <= 0
        ):
            raise ValueError("times must be positive, and retry_first at most retry_most")

    @property
    def reserve(self) -> int:
        return self.total_bytes // 16
