"""Records as lines of a table; two lines for each where the terminal is too narrow for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from proxy.cli.policy.console import print_columns, visible
from proxy.cli.record.asked import KindName
from proxy.cli.record.reading import Entry
from proxy.cli.record.texts import (
    as_text,
    compact,
    is_observed,
    local_second,
    short_name,
    was_done,
)
from proxy.wire.names import SEPARATOR
from storage.journal import Record

VERDICT_STYLES: Final = {"allow": "green", "deny": "red", "undecided": "yellow"}

_GAP: Final = 2
_NARROWEST: Final = 4

_HEADINGS: Final[dict[KindName, tuple[str, str]]] = {
    "decision": ("TIME WHO SERVER ACTION RESOURCE VERDICT", "REASON RULE STATUS MS"),
    "change": ("TIME WHO WHAT WHY", "BEFORE AFTER"),
    "outcome": ("TIME STATUS ERROR BYTES MS", "DECISION"),
    "checkpoint": ("TIME NODE WORKER SEQ", "CONTENT"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One record: the cells of its first line, what follows on the second, and its id."""

    upper: tuple[Text, ...]
    lower: tuple[Text, ...]
    id: Text

    @property
    def whole(self) -> tuple[Text, ...]:
        return (*self.upper, *self.lower, self.id)


def print_table(console: Console, kind: KindName, entries: Sequence[Entry]) -> None:
    """Write *entries*, all of *kind*, as a table. Whatever is cut for want of room, no id is."""
    upper, lower = _HEADINGS[kind]
    headings = Row(
        tuple(Text(word, "bold") for word in upper.split()),
        tuple(Text(word, "bold") for word in lower.split()),
        Text("ID", "bold"),
    )
    rows = [headings, *(_row(kind, entry) for entry in entries)]
    if sum(_widths([row.whole for row in rows])) + _GAP * len(rows[0].whole) <= console.width:
        print_columns(console, [row.whole for row in rows])
    else:
        _print_in_pairs(console, rows)


def _print_in_pairs(console: Console, rows: Sequence[Row]) -> None:
    widths = _fitted(_widths([row.upper for row in rows]), console.width)
    for row in rows:
        line = Text()
        for cell, width in zip(row.upper, widths, strict=True):
            line.append_text(_cut(cell, width)).append(" " * _GAP)
        line.rstrip()
        console.print(line)
        indented = Text(" " * _GAP).append_text(row.id)
        after = Text(" " * _GAP).join([Text(), *(cell for cell in row.lower if cell)])
        after.truncate(max(console.width - indented.cell_len, 0), overflow="ellipsis")
        console.print(indented.append_text(after))


def _widths(rows: Sequence[Sequence[Text]]) -> list[int]:
    return [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]


def _fitted(widths: Sequence[int], room: int) -> list[int]:
    """Return *widths*, the widest of them lessened until they fit into *room*.

    The first stays: it is the time.
    """
    first, *others = widths
    while first + sum(others) + _GAP * len(others) > room and max(others) > _NARROWEST:
        others[others.index(max(others))] -= 1
    return [first, *others]


def _cut(cell: Text, width: int) -> Text:
    shown = cell.copy()
    shown.truncate(width, overflow="ellipsis", pad=True)
    return shown


def _row(kind: KindName, entry: Entry) -> Row:
    record = entry.record
    time, id_ = _cell(local_second(record.time)), _cell(record.id, "dim")
    match kind:
        case "decision":
            upper, lower = _decision(entry)
        case "change":
            upper, lower = _change(record)
        case "outcome":
            upper, lower = _outcome(record)
        case "checkpoint":
            upper, lower = _checkpoint(record)
    return Row((time, *upper), lower, id_)


Cells = tuple[tuple[Text, ...], tuple[Text, ...]]
"""Those of the first line after the time, and those of the second after the id."""


def _decision(entry: Entry) -> Cells:
    payload = entry.record.payload
    server = as_text(payload.get("server"))
    upper = (
        _cell(short_name(payload.get("principal"))),
        _cell(server),
        _cell(as_text(payload.get("action"))),
        _cell(_own_name(payload.get("resource"), server)),
        verdict_of(payload),
    )
    outcome = {} if entry.outcome is None else entry.outcome.payload
    nothing = "unknown" if was_done(payload) else ""
    lower = (
        _cell(as_text(payload.get("reason"))),
        _cell(_deciding(payload.get("rules")), "cyan"),
        _cell(as_text(outcome.get("status", nothing))),
        _cell(_milliseconds(outcome.get("ms"))),
    )
    return upper, lower


def verdict_of(payload: Mapping[str, Any]) -> Text:
    """Return the verdict of a decision, and that it was not enforced if it was not."""
    verdict = as_text(payload.get("verdict"))
    if is_observed(payload):
        return Text(visible(f"{verdict} (observed)"), "yellow")
    return Text(visible(verdict), VERDICT_STYLES.get(verdict, ""))


def _own_name(resource: object, server: str) -> str:
    """Return how *resource* is called on its *server*, which stands beside it."""
    match resource:
        case {"id": str(id_)}:
            return id_.removeprefix(f"{server}{SEPARATOR}").removeprefix(f"{server}|")
    return as_text(resource)


def _deciding(rules: object) -> str:
    """Return the first of *rules*, and how many more there are."""
    if not isinstance(rules, list) or not rules:
        return ""
    return f"{as_text(rules[0])} +{len(rules) - 1}" if len(rules) > 1 else as_text(rules[0])


def _milliseconds(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, int | float) else as_text(value)


def _change(record: Record) -> Cells:
    payload = record.payload
    upper = (
        _cell(short_name(payload.get("who"))),
        _cell(as_text(payload.get("what"))),
        _cell(as_text(payload.get("why"))),
    )
    return upper, tuple(_cell(as_text(payload.get(key))) for key in ("before", "after"))


def _outcome(record: Record) -> Cells:
    payload = record.payload
    upper = (
        *(_cell(as_text(payload.get(key))) for key in ("status", "is_error", "bytes")),
        _cell(_milliseconds(payload.get("ms"))),
    )
    return upper, (_cell(as_text(payload.get("decision"))),)


def _checkpoint(record: Record) -> Cells:
    chain = record.chain
    upper = (_cell(chain.node), _cell(str(chain.worker)), _cell(str(record.seq)))
    return upper, (_cell(compact(dict(record.payload))),)


def _cell(text: str, style: str = "") -> Text:
    return Text(visible(text), style)
