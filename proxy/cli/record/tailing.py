"""`northgate record tail`."""

from __future__ import annotations

import json as json_format
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from proxy.cli.policy import console
from proxy.cli.policy.console import visible
from proxy.cli.policy.endings import Code
from proxy.cli.record.asked import Asked
from proxy.cli.record.filters import beginning, wanted
from proxy.cli.record.reading import decision_of, records
from proxy.cli.record.tables import verdict_of
from proxy.cli.record.texts import as_text, local_second, outcome_text, short_name
from storage.journal import Chain, Kind, Position, Record
from storage.shipping.rows import document

_SECONDS_BETWEEN_LOOKS: Final = 0.2
_MOST_OPEN: Final = 20_000


def run(data_dir: Path, asked: Asked, lines: int, *, follow: bool, json: bool) -> int:
    now = datetime.now(UTC)
    check = Following(wanted(asked, now))
    tail = Tail(data_dir, check, print_json if json else print_line, beginning(asked, now))
    tail.show(lines)
    try:
        while follow:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            tail.show()
    except KeyboardInterrupt:
        pass
    return Code.GOOD


class Following:
    """Tells whether a record is *wanted*, or is the outcome of a decision that was."""

    def __init__(self, wanted: Callable[[Record], bool]) -> None:
        self._wanted = wanted
        self._open: OrderedDict[str, None] = OrderedDict()

    def __call__(self, record: Record) -> bool:
        decision = decision_of(record)
        if decision in self._open:
            del self._open[decision]
            return True
        if not self._wanted(record):
            return False
        if record.kind is Kind.DECISION:
            self._open[record.id] = None
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return True


class Tail:
    """Shows records that are *wanted*, each once; none that is older than *since*."""

    def __init__(
        self,
        data_dir: Path,
        wanted: Callable[[Record], bool],
        shown: Callable[[Record], None],
        since: str = "",
    ) -> None:
        self._data_dir = data_dir
        self._wanted = wanted
        self._shown = shown
        self._since = since
        self._after: dict[Chain, Position] = {}

    def show(self, most: int | None = None) -> None:
        """Show what is there since the last time, or the last *most* of it."""
        kept: deque[Record] = deque(maxlen=most)
        for record in records(self._data_dir, self._after, since=self._since):
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
        about = [f"outcome of {as_text(payload.get('decision'))}", outcome_text(_rest(payload))]
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


def _rest(outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in outcome.items() if key != "decision"}
