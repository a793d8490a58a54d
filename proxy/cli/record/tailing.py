"""`northgate record tail`."""

from __future__ import annotations

import json as json_format
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.text import Text

from proxy.cli.policy import console
from proxy.cli.policy.console import visible
from proxy.cli.policy.endings import Code
from proxy.cli.record.asked import Asked
from proxy.cli.record.filters import wanted
from proxy.cli.record.reading import document, records
from proxy.cli.record.tables import verdict_of
from proxy.cli.record.texts import as_text, local_second, outcome_text, short_name
from storage.journal import Chain, Kind, Position, Record

_SECONDS_BETWEEN_LOOKS: Final = 0.2


def run(data_dir: Path, asked: Asked, lines: int, *, follow: bool, json: bool) -> int:
    tail = Tail(data_dir, wanted(asked, datetime.now(UTC)), print_json if json else print_line)
    tail.show(lines)
    try:
        while follow:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            tail.show()
    except KeyboardInterrupt:
        pass
    return Code.GOOD


class Tail:
    """Shows records that are *wanted*, each once."""

    def __init__(
        self, data_dir: Path, wanted: Callable[[Record], bool], shown: Callable[[Record], None]
    ) -> None:
        self._data_dir = data_dir
        self._wanted = wanted
        self._shown = shown
        self._after: dict[Chain, Position] = {}

    def show(self, most: int | None = None) -> None:
        """Show what is there since the last time, or the last *most* of it."""
        kept: deque[Record] = deque(maxlen=most)
        for record in records(self._data_dir, self._after):
            self._after[record.chain] = record.position
            if self._wanted(record):
                kept.append(record)
        for record in kept:
            self._shown(record)
        sys.stdout.flush()


def print_json(record: Record) -> None:
    sys.stdout.write(json_format.dumps(document(record)) + "\n")


def print_line(record: Record) -> None:
    payload = record.payload
    if record.kind is Kind.OUTCOME:
        about = [outcome_text(payload)]
    elif record.kind is Kind.CHECKPOINT:
        about = [record.chain.node, str(record.chain.worker), str(record.seq)]
    else:
        about = [
            short_name(payload.get("principal", payload.get("who"))),
            as_text(payload.get("action", payload.get("what"))),
            short_name(payload["resource"]) if "resource" in payload else "",
        ]
    line = Text(visible("  ".join([local_second(record.time), *filter(None, about)])))
    if payload.get("verdict"):
        line.append("  ").append_text(verdict_of(payload))
    for word in (payload.get("reason"), payload.get("why")):
        line.append(f"  {visible(as_text(word))}" if word else "")
    console.out().print(line.append("  ").append(record.id, "dim"))
