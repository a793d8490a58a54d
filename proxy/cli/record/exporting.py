"""`northgate record export`."""

from __future__ import annotations

import csv
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from proxy.cli.policy import console
from proxy.cli.policy.console import counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.record.asked import Asked, FormName, KindName
from proxy.cli.record.filters import beginning, wanted
from proxy.cli.record.progress import progress
from proxy.cli.record.reading import Entry, decision_of, journal_of, records
from proxy.cli.record.texts import compact, was_done
from storage.journal import Chain, Kind, Position, Record
from storage.shipping.rows import document

_MOST_WAITING: Final = 20_000

_FRAME: Final = ("id", "time", "node", "worker", "seq")
_NAMES: Final = frozenset(("principal", "who", "resource"))
"""Keys whose parts have columns of their own."""
_COLUMNS: Final[Mapping[KindName, tuple[str, ...]]] = {
    "decision": (
        *_FRAME,
        *("principal.type", "principal.id", "principal.issuer", "principal.client"),
        *("principal.token_id", "principal.acts_for", "server", "method", "action"),
        *("resource.type", "resource.id", "verdict", "reason", "enforced", "rules", "policy"),
        *("fact_version", "now", "facts", "silent_tests", "withheld", "args_digest", "arguments"),
        *("outcome.status", "outcome.is_error", "outcome.bytes", "outcome.ms"),
    ),
    "change": (*_FRAME, "who.type", "who.id", "what", "why", "before", "after"),
    "outcome": (*_FRAME, "decision", "status", "is_error", "bytes", "ms"),
    "checkpoint": (*_FRAME, "prev", "key", "chains", "signature"),
}
_OUTSIDE: Final = frozenset(("v", "kind", "prev"))
"""Keys that every record has and no table needs."""

_FORMULA: Final = tuple("=+-@\t\r")


def run(data_dir: Path, asked: Asked, form: FormName) -> int:
    now = datetime.now(UTC)
    check, since = wanted(asked, now), beginning(asked, now)
    late: list[str] = []
    with progress("Exporting", journal_of(data_dir), since) as tick:
        found = joined(_told(records(data_dir, since=since), tick), check, late)
        if form == "csv":
            _write_csv(asked.kind, found)
        else:
            for entry in found:
                sys.stdout.write(json.dumps(entry.document) + "\n")
    if late:
        console.err().print(
            f"{counted(len(late), 'decision')} were written before their outcome was read; "
            "`northgate record export --kind outcome` has it."
        )
    return Code.GOOD


def joined(
    found: Iterable[Record],
    check: Callable[[Record], bool],
    late: list[str],
    most: int = _MOST_WAITING,
) -> Iterator[Entry]:
    """Yield those of *found* that *check* wants, in their order, each decision with its outcome.

    At most *most* wait for one. The ids of those whose outcome came after that are put on *late*.
    """
    waiting: OrderedDict[str, Entry] = OrderedDict()
    open_: set[str] = set()
    given_up: set[str] = set()
    for record in found:
        decision = decision_of(record)
        if decision in open_:
            open_.remove(decision)
            waiting[decision] = Entry(waiting[decision].record, record)
        elif decision in given_up:
            late.append(decision)
        if check(record):
            waiting[record.id] = Entry(record)
            if record.kind is Kind.DECISION and was_done(record.payload):
                open_.add(record.id)
        while waiting and (next(iter(waiting)) not in open_ or len(waiting) > most):
            id_, entry = waiting.popitem(last=False)
            if id_ in open_:
                open_.remove(id_)
                given_up.add(id_)
            yield entry
    yield from waiting.values()


def _told(found: Iterable[Record], tick: Callable[[int], None]) -> Iterator[Record]:
    """Yield *found*, and tell of the bytes that were read for each."""
    last: dict[Chain, Position] = {}
    for record in found:
        before, position = last.get(record.chain), record.position
        is_same = before is not None and before.segment == position.segment
        tick(position.offset - (before.offset if before and is_same else 0))
        last[record.chain] = position
        yield record


def _write_csv(kind: KindName, found: Iterable[Entry]) -> None:
    columns = _COLUMNS[kind]
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(columns)
    left_out: set[str] = set()
    for entry in found:
        row = dict(_flat(entry))
        left_out.update(row.keys() - columns - _OUTSIDE)
        table.writerow([_cell(row.get(name)) for name in columns])
    if left_out:
        names = ", ".join(visible(name) for name in sorted(left_out)[:20])
        console.err().print(f"Left out, as csv has no column for it: {names}. jsonl has all.")


def _flat(entry: Entry) -> Iterator[tuple[str, Any]]:
    for key, value in document(entry.record).items():
        if key in _NAMES and isinstance(value, dict):
            yield from ((f"{key}.{part}", one) for part, one in value.items())
        else:
            yield key, value
    if entry.outcome is not None:
        for key, value in entry.outcome.payload.items():
            if key != "decision":
                yield f"outcome.{key}", value


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return compact(value)
    # A spreadsheet would work out what stands in a name that a caller chose.
    return f"'{value}" if value.startswith(_FORMULA) else value
