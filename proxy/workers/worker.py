"""What a process knows of the others that serve with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_WORKERS: Final = 64


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count` workers, numbered from 0, on the same ports and the same data.

    `directory` is where they meet, for their owner alone; None where there is no other.
    """

    number: int
    count: int
    directory: Path | None

    @property
    def is_alone(self) -> bool:
        return self.directory is None

    def socket(self, number: int) -> Path:
        """Return where the worker of that *number* tells its metrics."""
        return (self.directory or Path()) / f"{number}.sock"


ALONE: Final = Worker(0, 1, None)
