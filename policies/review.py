"""Whose access changes from one policy to another, over given facts.

Asked are all actors and resources that the facts or either policy name and, of each type, a
stranger that nobody names, by whom a rule about everybody shows. A client of which the facts do
not say that it acts for somebody is taken to act alone, as the gateway would say of its call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import NamedTuple

from policies.actions import actions_of
from policies.bounds import certain_of
from policies.facts import FactSet
from policies.model import Anything, Entity, Fact, Proof
from policies.polar.clauses import Const, args_of
from policies.polar.engine import Engine, Free
from policies.polar.possible import POSSIBLE
from policies.polar.program import Program
from policies.polar.runtime import Limits, Overlay, UnboundedError
from policies.polar.schema import FactError
from policies.polar.source import DEFAULT
from policies.vocabulary import SUPPLIED

_STRANGER = "\0"
_POSSIBLY = f"{POSSIBLE}allow"
_CALLED = frozenset(SUPPLIED["argument_present/2"][0].split("|"))
_PATIENCE = Limits(steps=50_000_000, seconds=60)


class Access(IntEnum):
    """How far a question is allowed: `SOMETIMES` is by rules that look at a call's arguments."""

    NEVER = 0
    SOMETIMES = 1
    ALWAYS = 2


@dataclass(frozen=True, slots=True)
class Other:
    """Every one of a type that neither the facts nor the policies name."""

    type: str

    def __str__(self) -> str:
        return f"any other {self.type}"


Subject = Entity | Anything | Other
"""Who, or what: one, all of a type, or all that are not named."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of access.

    `rules` are the `file:line` of what makes the difference: rules and facts of the new policy by
    which access was gained, or of the old one by which it was had. They are those that the other
    policy does not have; where it has them all, it is the rule that decides.
    """

    actor: Subject
    action: str
    resource: Subject
    before: Access
    after: Access
    rules: tuple[str, ...]

    @property
    def gained(self) -> bool:
        return self.after > self.before


class Move(NamedTuple):
    before: Access
    after: Access


Row = tuple[Subject, str, Subject, Move]
RowOfOne = tuple[Entity, str, Subject, Move]


def review(
    old: tuple[Program, FactSet],
    new: tuple[Program, FactSet],
    now: int,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Change]:
    """Return every change from *old* to *new*, gains first, then by actor, action and resource.

    Each policy comes with the facts that it accepts. *tick* is told, for actors and then for
    changes, how many are done and of how many. A change that all of a type share is one change.
    Raise `UndecidedError` if a question cannot be decided.
    """
    sides = _Side(*old, new[0], now), _Side(*new, old[0], now)
    world = _World.of(old, new)
    everyone = [actor for group in world.actors.values() for actor in group]
    rows: list[RowOfOne] = []
    for done, actor in enumerate(everyone):
        tick(done, len(everyone))
        rows += _rows(sides, world, actor)
    folded = _folded_actors(rows, world.actors)
    changes = []
    for done, row in enumerate(folded):
        tick(done, len(folded))
        changes.append(_change(sides, row))
    return sorted(changes, key=_order)


def _order(change: Change) -> tuple[object, ...]:
    """Return what sorts gains before losses and, in each, everybody before single ones."""
    actor, resource = change.actor, change.resource
    one_actor, one_resource = isinstance(actor, Entity), isinstance(resource, Entity)
    return not change.gained, one_actor, str(actor), change.action, one_resource, str(resource)


@dataclass(frozen=True, slots=True)
class _World:
    """Whom and what to ask about, by type, and the actions that may be allowed on each type."""

    actors: Mapping[str, Sequence[Entity]]
    resources: Mapping[str, Sequence[Entity]]
    actions: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, *policies: tuple[Program, FactSet]) -> _World:
        named = frozenset().union(*(entities(*policy) for policy in policies))
        below = [program.types.below for program, _ in policies]
        resources = _population(named, (types["Resource"] for types in below))
        actions = {
            type_: frozenset().union(*(actions_of(*policy, type_) for policy in policies))
            for type_ in resources
        }
        return cls(_population(named, (types["Actor"] for types in below)), resources, actions)


def _rows(sides: tuple[_Side, _Side], world: _World, actor: Entity) -> Iterator[RowOfOne]:
    for type_, actions in world.actions.items():
        for action in actions:
            moves = _moves(sides, actor, action, world.resources[type_])
            for what, move in _folded(moves, world.resources):
                yield actor, action, what, move


class _Side:
    """One of the two policies, ready to be asked how far something is allowed."""

    def __init__(self, program: Program, facts: FactSet, other: Program, now: int) -> None:
        self.program = program
        self.now = now
        self.possible = Engine(program, facts, _PATIENCE)
        certain = certain_of(program)
        self.certain = Engine(certain, facts, _PATIENCE) if certain else self.possible
        self.alone = _places_alone(program, other)
        self._overlays: dict[Entity, Overlay | None] = {}
        self._delegated = {
            fact.args[0] for fact, _ in facts.facts() if fact.predicate == "acts_for" and fact.args
        }

    def reach(
        self, actor: Entity, action: str, resources: Sequence[Entity]
    ) -> tuple[set[Entity], set[Entity]]:
        """Return those of *resources*, all of one type, possibly allowed, and those always."""
        every = self.program.types.every
        if actor.type not in every or resources[0].type not in every:
            return set(), set()
        if not self._looks_at_arguments(resources[0].type):
            allowed = self._allowed(self.possible, "allow", actor, action, resources)
            return allowed, allowed
        possible = self._allowed(self.possible, _POSSIBLY, actor, action, resources)
        if not possible:
            return set(), set()
        return possible, self._allowed(self.certain, "allow", actor, action, resources)

    def _looks_at_arguments(self, type_: str) -> bool:
        return self.certain is not self.possible and type_ in _CALLED

    def _allowed(
        self,
        engine: Engine,
        predicate: str,
        actor: Entity,
        action: str,
        resources: Sequence[Entity],
    ) -> set[Entity]:
        own = self._own(actor)
        type_ = resources[0].type
        try:
            rows = engine.query(predicate, (actor, action, Free(type_)), own, self.now)
        except UnboundedError:
            # What only a negation restricts cannot be listed, but it can be asked one by one.
            possibly = predicate == _POSSIBLY
            return set(engine.select(actor, action, resources, own, self.now, possibly=possibly))
        found = {row[2] for row in rows}
        if Anything(type_) in found:
            return set(resources)
        return {resource for resource in resources if resource in found}

    def _own(self, actor: Entity) -> Overlay | None:
        if actor not in self._overlays:
            self._overlays[actor] = self._assumed(actor)
        return self._overlays[actor]

    def _assumed(self, actor: Entity) -> Overlay | None:
        """Return that *actor* acts alone, where that may be said of it and nothing else is."""
        if actor in self._delegated:
            return None
        try:
            # Good for both engines, whose tables are the same.
            return self.possible.overlay([(Fact("acts_alone", (actor,)), "assumed")])
        except FactError:
            return None

    def proof(self, actor: Entity, action: str, resource: Entity, access: Access) -> Proof | None:
        """Return why the question is allowed as far as *access* says."""
        engine, predicate = self.possible, "allow"
        if self._looks_at_arguments(resource.type):
            engine = self.certain if access is Access.ALWAYS else self.possible
            predicate = "allow" if access is Access.ALWAYS else _POSSIBLY
        own = self._own(actor)
        return engine.holds(predicate, (actor, action, resource), own, self.now).proof


def entities(program: Program, facts: FactSet) -> frozenset[Entity]:
    """Return what the facts and the policy's own text name, its tests aside."""
    values = [value for fact, _ in facts.facts() for value in fact.args]
    values += [value for rows in program.stated.values() for row in rows for value in row]
    for clauses in program.clauses.values():
        for clause in clauses:
            args = [*clause.head, *(arg for part in clause.parts for arg in args_of(part))]
            values += [arg.value for arg in args if isinstance(arg, Const)]
    return frozenset(value for value in values if isinstance(value, Entity))


def _population(
    entities: Iterable[Entity], types: Iterable[frozenset[str]]
) -> dict[str, list[Entity]]:
    """Return those of *entities* that have one of *types*, by type, a stranger at the end."""
    found: dict[str, list[Entity]] = {type_: [] for type_ in sorted(frozenset().union(*types))}
    for entity in sorted(entities):
        if entity.type in found:
            found[entity.type].append(entity)
    return {type_: [*group, Entity(type_, _STRANGER)] for type_, group in found.items()}


def _moves(
    sides: tuple[_Side, _Side], actor: Entity, action: str, resources: Sequence[Entity]
) -> dict[Entity, Move]:
    """Return how access to each of *resources* changes, where it does."""
    before, after = (side.reach(actor, action, resources) for side in sides)
    if before == after:
        return {}
    moves = {
        resource: Move(_access(resource, before), _access(resource, after))
        for resource in resources
    }
    return {resource: move for resource, move in moves.items() if move.before != move.after}


def _access(resource: Entity, reach: tuple[set[Entity], set[Entity]]) -> Access:
    possible, certain = reach
    if resource in certain:
        return Access.ALWAYS
    return Access.SOMETIMES if resource in possible else Access.NEVER


def _folded(
    moves: Mapping[Entity, Move], population: Mapping[str, Sequence[Entity]]
) -> Iterator[tuple[Subject, Move]]:
    """Yield *moves*, those of a type as one where its whole *population* takes the same."""
    for type_ in dict.fromkeys(entity.type for entity in moves):
        group = {entity: moves[entity] for entity in population[type_] if entity in moves}
        if len(group) == len(population[type_]) and len(set(group.values())) == 1:
            yield Anything(type_), next(iter(group.values()))
            continue
        for entity, move in group.items():
            yield (Other(type_) if entity.id == _STRANGER else entity), move


def _folded_actors(
    rows: Iterable[RowOfOne], population: Mapping[str, Sequence[Entity]]
) -> list[Row]:
    grouped: dict[tuple[str, Subject], dict[Entity, Move]] = {}
    for actor, action, resource, move in rows:
        grouped.setdefault((action, resource), {})[actor] = move
    return [
        (actor, action, resource, move)
        for (action, resource), moves in grouped.items()
        for actor, move in _folded(moves, population)
    ]


def _change(sides: tuple[_Side, _Side], row: Row) -> Change:
    actor, action, resource, (before, after) = row
    side = sides[after > before]
    proof = side.proof(_example(actor), action, _example(resource), max(before, after))
    rules = _telling(proof, side.alone) if proof else ()
    return Change(actor, action, resource, before, after, rules)


def _example(subject: Subject) -> Entity:
    return subject if isinstance(subject, Entity) else Entity(subject.type, _STRANGER)


def _telling(proof: Proof, alone: frozenset[str]) -> tuple[str, ...]:
    """Return the places that *proof* rests on and *alone* has, else the rule that decides."""
    told = dict.fromkeys(step.source for step in reversed(proof.steps) if step.source in alone)
    rules = [rule for rule in proof.rules if rule != DEFAULT] or proof.rules
    return tuple(told) or tuple(rules[:1])


def _places_alone(program: Program, other: Program) -> frozenset[str]:
    """Return where *program* has rules and facts that *other* has nowhere."""
    known = {_unplaced(rule) for rule in other.rules}
    rules = {str(rule.span) for rule in program.rules if _unplaced(rule) not in known}
    facts = {
        place
        for predicate, rows in program.stated.items()
        for row, place in rows.items()
        if row not in other.stated.get(predicate, {})
    }
    return frozenset(rules | facts)


def _unplaced(node: object) -> object:
    """Return *node*, a part of a syntax tree, as a value that does not depend on its place."""
    if isinstance(node, tuple) and not isinstance(node, Entity):
        return tuple(map(_unplaced, node))
    if not is_dataclass(node):
        # By type as well, for to Python True equals 1.
        return type(node), node
    names = [field.name for field in fields(node) if field.name != "span"]
    return type(node), tuple(_unplaced(getattr(node, name)) for name in names)
