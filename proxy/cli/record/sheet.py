"""All that one record holds, line by line. What no line is made for is shown as it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from rich.text import Text

from policies.model import Entity
from proxy.cli.policy.console import visible
from proxy.cli.record.reading import Entry, file_of
from proxy.cli.record.tables import VERDICT_STYLES
from proxy.cli.record.texts import (
    as_text,
    compact,
    fact_text,
    is_observed,
    local,
    outcome_text,
    value_text,
)
from storage.journal import Kind, Record

UNKNOWN: Final = "unknown: no outcome was recorded"
NOTHING: Final = "none: nothing was forwarded"
OBSERVED: Final = "not enforced: the server is observed"

_LABEL: Final = 12

Lines = Iterator[tuple[str, str]]
"""Labels and what stands beside them."""


def lines(entry: Entry) -> Iterator[Text]:
    """Yield the lines of *entry*."""
    record = entry.record
    verdict = record.payload.get("verdict") if record.kind is Kind.DECISION else None
    for label, text in _labelled(entry):
        style = VERDICT_STYLES.get(str(verdict), "") if label == "verdict" else ""
        heading = Text(f"{visible(label):<{_LABEL}} ", "bold")
        yield heading.append(visible(text), f"not bold {style}".rstrip())


def _labelled(entry: Entry) -> Lines:
    record, rest = entry.record, dict(entry.record.payload)
    yield record.kind.value, record.id
    moment = local(record.time)
    yield "time", record.time if moment is None else f"{moment.isoformat(' ')} ({record.time})"
    match record.kind:
        case Kind.DECISION:
            yield from _decision(rest)
            yield from _remaining(rest)
            yield from _outcome(entry)
        case Kind.OUTCOME:
            yield "decision", as_text(rest.pop("decision", None))
            yield "outcome", outcome_text(rest)
        case Kind.CHANGE | Kind.CHECKPOINT:
            who = rest.pop("who", None)
            if who is not None:
                yield "who", value_text(who)
            yield from _remaining(rest)
    yield from _place(record)


def _decision(rest: dict[str, Any]) -> Lines:
    """Yield what is known of decisions, and take it out of *rest*."""
    resource = value_text(rest.pop("resource", None))
    observed = f", {OBSERVED}" if is_observed(rest) else ""
    yield "verdict", f"{_taken(rest, 'verdict')}, {_taken(rest, 'reason')}{observed}"
    if observed:
        del rest["enforced"]
    yield from _principal(rest)
    yield "asked", f"{_taken(rest, 'action')} {resource}"
    yield "by", f"{_taken(rest, 'method')}, on server {_taken(rest, 'server')}"
    yield "policy", _taken(rest, "policy")
    yield "facts", f"version {_taken(rest, 'fact_version')}"
    yield "at second", _taken(rest, "now")
    yield from _each("of the call", rest, "facts", fact_text)
    yield from _each("said nothing", rest, "silent_tests", lambda row: _silent(row, resource))
    yield from _each("rules", rest, "rules", as_text)


def _principal(rest: dict[str, Any]) -> Lines:
    match rest.get("principal"):
        case {"type": str(type_), "id": str(id_), **more}:
            del rest["principal"]
        case _:
            return
    user = more.pop("acts_for", None)
    delegation = f", acting for {as_text(user)}" if user else ""
    yield "who", f"{Entity(type_, id_)}{delegation}"
    yield "known by", ", ".join(f"{key} {as_text(value)}" for key, value in more.items())


def _each(label: str, rest: dict[str, Any], key: str, text: Callable[[Any], str]) -> Lines:
    """Yield the items of the list *key*, one a line, and take it out of *rest*."""
    items = rest.get(key)
    if not isinstance(items, list):
        return
    del rest[key]
    for number, item in enumerate(items):
        yield "" if number else label, text(item)


def _silent(row: object, resource: str) -> str:
    """Return the test that *row* is, of which a value gave neither the fact nor its opposite."""
    match row:
        case [str(predicate), *args]:
            values = [value_text(arg) for arg in args if arg is not None]
            return f"{predicate}({', '.join([resource, *values])})"
    return compact(row)


def _remaining(rest: dict[str, Any]) -> Lines:
    for key, value in rest.items():
        yield key, as_text(value)


def _outcome(entry: Entry) -> Lines:
    if entry.outcome is not None:
        payload = dict(entry.outcome.payload)
        payload.pop("decision", None)
        yield "outcome", f"{outcome_text(payload)} (record {entry.outcome.id})"
    else:
        asked = entry.record.payload
        is_refused = asked.get("verdict") in ("deny", "undecided") and not is_observed(asked)
        yield "outcome", NOTHING if is_refused else UNKNOWN


def _place(record: Record) -> Lines:
    chain = record.chain
    yield "chain", f"node {chain.node}, worker {chain.worker}, record {record.seq}"
    yield "file", file_of(record)
    yield "after", record.prev


def _taken(rest: dict[str, Any], key: str) -> str:
    return as_text(rest.pop(key, None))
