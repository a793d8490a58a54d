"""What the record says about a call, and what in the policy decided it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.grounds import Grounds
from policies.model import Entity, Fact, Failure, StepKind, Value
from policies.polar.misses import nearest_misses
from policies.polar.runtime import Overlay
from storage.journal import Chain, Kind, Position, Record, read


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the policy: `place` is `file:line`."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One decision as it was recorded, with the lines of the policy that made it.

    `facts` are those that the policy states; of a denial, `lacked` is what the nearest way to an
    allow lacked, each with the condition that asks for it, if it is in the policy.
    """

    record: Record
    rules: tuple[Line, ...] = ()
    facts: tuple[Line, ...] = ()
    lacked: tuple[tuple[Failure, Line | None], ...] = ()

    @property
    def verdict(self) -> str:
        return str(self.record.payload["verdict"])

    @property
    def reason(self) -> str:
        return str(self.record.payload["reason"])


class RecordReader:
    """Reads the journal at *directory*, which another writes, for what was done by one token."""

    def __init__(self, directory: Path, token_id: str) -> None:
        self._directory = directory
        self._token_id = token_id
        self._read: dict[Chain, Position] = {}

    def decisions(self, method: str) -> list[Record]:
        """Return the decisions about *method* since the last call."""
        return [record for record in self._fresh() if record.payload["method"] == method]

    def _fresh(self) -> Iterator[Record]:
        for record in read(self._directory, dict(self._read)):
            self._read[record.chain] = record.position
            if record.kind is Kind.DECISION and self._is_of_token(record):
                yield record

    def _is_of_token(self, record: Record) -> bool:
        return bool(record.payload["principal"]["token_id"] == self._token_id)


def evidence(record: Record, grounds: Grounds) -> Evidence:
    """Return *record* with what in *grounds*, on which it was decided, brought it about."""
    payload = record.payload
    rules = tuple(line_at(place, grounds) for place in payload["rules"])
    question = (entity(payload["principal"]), payload["action"], entity(payload["resource"]))
    own = _overlay(payload, grounds)
    ruling = grounds.engine.decide(*question, own, payload["now"])
    if ruling.proof is None:
        lacked = tuple(_lacked(question, own, payload["now"], grounds))
        return Evidence(record, rules, lacked=lacked)
    stated = (step.source for step in ruling.proof.steps if step.kind is StepKind.FACT)
    places = dict.fromkeys(place for place in stated if _is_in_policy(place, grounds))
    return Evidence(record, rules, tuple(line_at(place, grounds) for place in places))


def line_at(place: str, grounds: Grounds) -> Line:
    """Return the line of the policy at *place*, `file:line` with or without a column.

    Raises `LookupError` if the policy has no such line.
    """
    file, number = place.split(":")[:2]
    text = grounds.bundle.sources[file].splitlines()[int(number) - 1]
    return Line(f"{file}:{number}", text.strip())


def entity(document: Mapping[str, Any]) -> Entity:
    return Entity(document["type"], document["id"])


def _lacked(
    question: tuple[Value, ...], own: Overlay, now: int, grounds: Grounds
) -> Iterator[tuple[Failure, Line | None]]:
    # The search is bounded: where it ends before it found anything, the smaller question is left.
    for predicate in ("allow", "has_permission"):
        misses = nearest_misses(grounds.engine, predicate, question, own, now, most=1)
        if misses:
            break
    for failure in misses[0].failed if misses else ():
        asking = line_at(failure.conditions[-1], grounds) if failure.conditions else None
        yield failure, asking


def _overlay(payload: Mapping[str, Any], grounds: Grounds) -> Overlay:
    """Return the facts that the record keeps of the call, as far as the policy has a use for."""
    facts = [fact for row in payload["facts"] if (fact := _fact(row)) is not None]
    return grounds.engine.overlay(((fact, "the call") for fact in facts), only_useful=True)


def _fact(row: list[Any]) -> Fact | None:
    """Return the fact in *row*, None if it has a value of which only a digest is kept."""
    predicate, *args = row
    if any(isinstance(arg, dict) and "digest" in arg for arg in args):
        return None
    return Fact(predicate, tuple(entity(arg) if isinstance(arg, dict) else arg for arg in args))


def _is_in_policy(place: str, grounds: Grounds) -> bool:
    return place.partition(":")[0] in grounds.bundle.sources
