"""Records to append, and ways to look at what was kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from storage.journal import Kind, Limits, Record, read

SMALL = Limits(
    record_bytes=2048,
    segment_bytes=4096,
    total_bytes=2**24,
    retry_first=0.001,
    retry_most=0.002,
    deadline=20,
)
"""Small segments and short pauses, and a deadline that a busy machine does not reach."""


def decision(number: int, **more: str | int | None) -> dict[str, Any]:
    return {"action": "call", "verdict": "allow", "fact_version": number, **more}


def kept(directory: Path, kind: Kind | None = Kind.DECISION) -> list[Record]:
    """Return the records of one kind, or of all."""
    return [record for record in read(directory) if kind in (None, record.kind)]


def ids(directory: Path) -> set[str]:
    return {record.id for record in read(directory)}


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.jsonl"))
