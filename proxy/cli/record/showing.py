"""`northgate record show`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.text import Text

from proxy.cli.policy import console
from proxy.cli.policy.console import counted, print_columns, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError
from proxy.cli.record.reading import Entry, outcome_of, sought
from proxy.cli.record.sheet import lines
from proxy.cli.record.texts import as_text, local_second, short_name
from storage.journal import Record

_ID: Final = re.compile(r"[0-9a-f-]{8,36}")
_MOST_CANDIDATES: Final = 20


@dataclass(slots=True)
class _Found:
    """The records whose ids begin alike: how many, and the first of them."""

    records: list[Record] = field(default_factory=list)
    count: int = 0


def run(data_dir: Path, text: str, *, json: bool) -> int:
    prefix = text.strip().lower()
    if _ID.fullmatch(prefix) is None:
        raise InputError.saying(
            f"{text}: this is no id, nor 8 or more of its first letters; "
            "`northgate record list` shows ids."
        )
    found = _search(sought(data_dir, prefix))
    if found.count > 1:
        return _ambiguous(found, prefix, json=json)
    if not found.records:
        if json:
            console.print_json({"record": None, "outcome": None})
        else:
            console.err().print(f"No record has an id that begins with {prefix}.")
        return Code.NO
    record = found.records[0]
    entry = Entry(record, outcome_of(data_dir, record))
    if json:
        console.print_json(entry.document)
    else:
        out = console.out()
        for line in lines(entry):
            out.print(line)
    return Code.GOOD


def _search(every: Iterable[Record]) -> _Found:
    found = _Found()
    for record in every:
        found.count += 1
        if len(found.records) < _MOST_CANDIDATES:
            found.records.append(record)
    return found


def _ambiguous(found: _Found, prefix: str, *, json: bool) -> int:
    sentence = f"{counted(found.count, 'record')} have ids that begin with {prefix}; give more."
    if json:
        errors = [{"code": "ambiguous-id", "message": sentence}]
        ids = [record.id for record in found.records]
        console.print_json({"errors": errors, "candidates": ids})
    err = console.err()
    err.print(sentence)
    print_columns(err, [_candidate(record) for record in found.records])
    if found.count > len(found.records):
        err.print(f"and {counted(found.count - len(found.records), 'more record')}.")
    return Code.UNUSABLE


def _candidate(record: Record) -> list[Text]:
    payload = record.payload
    resource = payload.get("resource")
    about = [
        short_name(payload.get("principal", payload.get("who"))),
        as_text(payload.get("action", payload.get("what"))),
        short_name(resource) if resource else as_text(payload.get("decision")),
        as_text(payload.get("verdict")),
    ]
    cells = [record.id, local_second(record.time), record.kind.value, " ".join(filter(None, about))]
    return [Text(visible(cell)) for cell in cells]
