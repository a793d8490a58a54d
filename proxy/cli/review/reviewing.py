"""`northgate access review`: what was used in an interval, and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from policies.idle import rules_used
from policies.model import Entity, Fact, Verdict
from policies.recorded import UnreadableError
from policies.usage import Usage
from proxy.cli.policy import console
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError
from proxy.cli.replay.progress import progress
from proxy.cli.review.found import GrantUse, ItemUse, Review, State
from proxy.cli.review.scene import Scene, facts_of, scene, unreadable
from proxy.cli.review.showing import document, print_review
from proxy.question import USES
from proxy.standing import REGISTRY
from storage.journal import Record

_BETWEEN_TICKS: Final = 5_000
_FAIL_ON: Final = ("", "unused")


@dataclass(slots=True)
class _Last:
    """Who used what last: by resource, the time and the actor."""

    found: dict[tuple[str, str], tuple[str, Entity]] = field(default_factory=dict)

    def note(self, record: Record) -> None:
        payload = record.payload
        match payload.get("resource"):
            case {"type": str(type_), "id": str(id_)}:
                is_use = payload.get("action") == USES.get(type_)
                if is_use and payload.get("verdict") == Verdict.ALLOW:
                    who = payload["principal"]
                    self.found[type_, id_] = (record.time, Entity(who["type"], who["id"]))


def run(
    data_dir: Path,
    config: Path | None,
    since: str,
    fail_on: str,
    environ: Mapping[str, str],
    *,
    json: bool,
) -> int:
    if fail_on not in _FAIL_ON:
        raise InputError.saying(f"--fail-on takes unused, not {fail_on}.")
    review = reviewed(scene(data_dir, config, since, environ))
    if json:
        console.print_json(document(review))
    else:
        print_review(console.out(), review)
    return Code.NO if fail_on and review.has_unused else Code.GOOD


def reviewed(of: Scene) -> Review:
    """Return what was used in the interval *of*. Raise `InputError` if there is no decision."""
    usage = Usage(
        of.program,
        of.current,
        of.past.original,
        facts_of(of.stated),
        of.past.revealed,
        of.judge.names_tokens,
    )
    last = _read(of, usage)
    counts = usage.counts
    if not counts:
        raise of.nothing()
    return Review(
        of.judge.grounds.bundle.version,
        of.since,
        of.until,
        counts.total(),
        counts[Verdict.UNDECIDED],
        usage.unlooked,
        rules_used(usage),
        list(_grants(of, usage)),
        list(_items(of, last)),
    )


def _read(of: Scene, usage: Usage) -> _Last:
    last = _Last()
    with progress(of.since, of.until) as tick:
        for count, record in enumerate(of.decisions()):
            last.note(record)
            if record.time < of.since:
                continue
            if count % _BETWEEN_TICKS == 0:
                tick(count, record.time)
            try:
                usage.add(record.payload, record.time)
            except UnreadableError as error:
                raise unreadable(record, error) from error
    return last


def _grants(of: Scene, usage: Usage) -> Iterable[GrantUse]:
    """Yield the facts that somebody stated, those of one actor together, the newest first."""
    counts: Counter[Fact] = Counter()
    needed: set[Fact] = set()
    last: dict[Fact, str] = {}
    for use in usage.uses:
        needed |= use.needed
        for fact in use.facts:
            counts[fact] += use.count
            last[fact] = max(use.last, last.get(fact, ""))
    for life in sorted(of.stated, key=lambda one: (str(one.fact.args[0]), -one.added_at, one.id)):
        fact = life.fact
        if fact in needed:
            state = State.USED
        elif of.is_new(life):
            state = State.TOO_NEW
        else:
            state = State.REPLACEABLE if counts[fact] else State.UNUSED
        yield GrantUse(life, state, counts[fact], last.get(fact, ""))


def _items(of: Scene, last: _Last) -> Iterable[ItemUse]:
    for life in sorted(of.lives, key=lambda one: str(one.fact.args[0])):
        if life.origin != REGISTRY or life.fact.predicate != "has_relation":
            continue
        item = life.fact.args[0]
        if not isinstance(item, Entity) or item.type not in USES or life.fact.args[1] != "server":
            continue
        moment, by = last.found.get((item.type, item.id), ("", None))
        if moment >= of.since:
            state = State.USED
        else:
            state = State.TOO_NEW if of.is_new(life) else State.UNUSED
        yield ItemUse(life, state, moment, by)
