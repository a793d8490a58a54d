"""Grants in the place of another: on what it was used for, and on no more than it gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.model import Entity, Fact, Verdict
from policies.polar.schema import FactError
from policies.polar.tables import EMPTY
from policies.reach import BEHIND_CONNECT
from policies.recorded import Recorded
from policies.replay import Bench
from policies.vocabulary import ACTIONS

_MOST_IN_PLACE: Final = 25
"""Grants in the place of one: more are harder to look after than one that is too wide."""

_SEEN: Final = frozenset({"connect", "list"})
_VIEWER: Final = "viewer"
_ORIGIN: Final = "proposal"


@dataclass(slots=True)
class Question:
    """A recorded allow, how often it was given alike, and the grants that its proof rests on now.

    `verdict` is that of the facts of now, undecided where nobody can tell.
    """

    of: Recorded
    count: int = 0
    verdict: Verdict = Verdict.DENY
    grants: frozenset[Fact] = frozenset()


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a proposal that stands by itself: what to withdraw, and what to grant instead."""

    remove: frozenset[Fact]
    add: tuple[Fact, ...] = ()


def in_place(
    group: frozenset[Fact], questions: Sequence[Question], bench: Bench, now: int
) -> Iterator[Piece]:
    """Yield grants that may do what *questions* needed *group* for, the narrowest first."""
    fact = max(group, key=_lasting)
    actor, role, target, *rest = fact.args
    roles = [role]
    if role != _VIEWER and {one.of.action for one in questions} <= _SEEN:
        roles = [_VIEWER, role]
    targets = _targets(target, questions, bench)
    for one in roles:
        for some in (targets, [target]):
            add = tuple(_grant(actor, one, to, rest) for to in some)
            is_same = set(add) == {fact}
            if add and not is_same and all(_is_less(bench, new, role, now) for new in add):
                yield Piece(group, add)


def _targets(target: object, questions: Sequence[Question], bench: Bench) -> list[Any]:
    """Return what *questions* were about, where that is less than *target*."""
    if isinstance(target, Entity) and target.type not in ("Server", "Toolset"):
        return []
    resources = {one.of.resource for one in questions}
    items = {one for one in resources if one.type in BEHIND_CONNECT}
    servers = {one.of.server for one in questions if one.of.resource.type == "Server"}
    if isinstance(target, Entity) and target.type == "Server":
        # Whoever may use something on a server may connect to it, and do nothing else there.
        acts = {one.of.action for one in questions if one.of.resource.type == "Server"}
        if not items or acts - {"connect"}:
            return []
        rows = bench.grounds.facts.get("has_relation/3", EMPTY).find((1, 2), ("server", target))
        offered = {row[0] for row in rows}
        if offered <= items:
            return []
    else:
        on = {one.of.server for one in questions if one.of.resource in items}
        items |= {Entity("Server", name) for name in servers - on}
    return sorted(items) if len(items) <= _MOST_IN_PLACE else []


def _grant(actor: Any, role: Any, target: Any, rest: Sequence[Any]) -> Fact:  # noqa: ANN401  what a fact holds
    if rest:
        return Fact("lease", (actor, role, target, *rest))
    name = "has_role" if isinstance(target, Entity) else "has_role_matching"
    return Fact(name, (actor, role, target))


def _is_less(bench: Bench, new: Fact, role: object, now: int) -> bool:
    """Tell whether *new*, in the place of a grant of *role*, gives nothing that was not given."""
    program = bench.grounds.bundle.program
    actor, its_role, target, *_ = new.args
    if isinstance(target, Entity) and its_role not in program.types.roles(target.type):
        return False
    try:
        program.schema.check(new)
    except FactError:
        return False
    if its_role != role:
        return not _gained(bench, new, now)
    if not (isinstance(target, Entity) and isinstance(actor, Entity) and isinstance(role, str)):
        return False
    return bool(bench.grounds.engine.holds("has_role", (actor, role, target), now=now))


def _gained(bench: Bench, new: Fact, now: int) -> bool:
    """Tell whether *new* alone lets its actor, or a member of it, do what was not allowed."""
    actor, _, target, *_ = new.args
    if not isinstance(target, Entity) or not isinstance(actor, Entity):
        return True
    relations = bench.grounds.facts.get("has_relation/3", EMPTY)
    members = [row[0] for row in relations.find((1, 2), ("team", actor))]
    reached: dict[str, list[Entity]] = {target.type: [target]}
    for row in relations.find((2,), (target,)):
        if isinstance(row[0], Entity) and row[1] in ("server", "toolset"):
            reached.setdefault(row[0].type, []).append(row[0])
    after = changed_by(bench, [Piece(frozenset(), (new,))])
    return any(
        not _given(after, who, action, some, now) <= _given(bench, who, action, some, now)
        for who in [actor, *members]
        if isinstance(who, Entity)
        for type_, some in reached.items()
        for action in ACTIONS.get(type_, ())
    )


def _given(
    bench: Bench, actor: Entity, action: str, some: Sequence[Entity], now: int
) -> set[Entity]:
    alone = bench.own([Fact("acts_alone", (actor,))] if actor.type == "Client" else [])
    return set(bench.grounds.engine.select(actor, action, some, alone, now, possibly=True))


def _lasting(fact: Fact) -> float:
    """Return the second at which *fact* ends, for ever being the latest."""
    end = fact.args[-1]
    return float(end) if fact.predicate == "lease" and isinstance(end, int) else float("inf")


def changed_by(bench: Bench, pieces: Iterable[Piece]) -> Bench:
    """Return *bench* over facts to which all *pieces* were done."""
    facts, version = bench.grounds.facts, bench.grounds.facts.version
    for piece in pieces:
        for fact in piece.remove:
            for origin in facts.origins(fact):
                facts = facts.changed(origin, remove=[fact])
        facts = facts.changed(_ORIGIN, add=piece.add)
    return bench.over(facts.numbered(version))
