"""Whose access changes from one policy to another, over given facts.

Asked are all actors and resources that the facts or either policy name and, of each type, a
stranger that nobody names, by whom a rule about everybody shows. A client of which the facts do
not say that it acts for somebody is taken to act alone, as the gateway would say of its call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from policies.actions import actions_of
from policies.facts import FactSet
from policies.model import Anything, Entity, Fact, Proof
from policies.polar.clauses import DEFAULT, Atom, Clause, Const, args_of
from policies.polar.compiler import Compiler
from policies.polar.engine import Engine, Free
from policies.polar.possible import POSSIBLE, TESTS, dependents
from policies.polar.program import Program
from policies.polar.runtime import Limits, Overlay, UnboundedError
from policies.polar.schema import FactError
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


class Other(NamedTuple):
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


class Step(NamedTuple):
    before: Access
    after: Access


Row = tuple[Subject, str, Subject, Step]
RowOfOne = tuple[Entity, str, Subject, Step]


def review(
    old: tuple[Program, FactSet],
    new: tuple[Program, FactSet],
    now: int,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Change]:
    """Return every change from *old* to *new*, gains first, then by actor, action and resource.

    Each policy comes with the facts that it accepts. *tick* is told how many actors are done, and
    of how many. A change that all of a type share is one change. Raise `UndecidedError` if a
    question cannot be decided.
    """
    sides = _Side(*old, new[0], now), _Side(*new, old[0], now)
    entities = frozenset().union(*(_entities(*one) for one in (old, new)))
    actors = _population(entities, (program.types.below["Actor"] for program, _ in (old, new)))
    resources = _population(
        entities, (program.types.below["Resource"] for program, _ in (old, new))
    )
    everyone = [actor for group in actors.values() for actor in group]
    actions = {
        type_: actions_of(old[0], old[1], type_) | actions_of(new[0], new[1], type_)
        for type_ in resources
    }
    rows: list[RowOfOne] = []
    for done, actor in enumerate(everyone):
        tick(done, len(everyone))
        for type_, words in actions.items():
            for action in words:
                steps = _steps(sides, actor, action, resources[type_])
                rows += [(actor, action, what, step) for what, step in _folded(steps, resources)]
    folded = _folded_actors(rows, actors)
    changes = [_change(sides, row) for row in folded]
    return sorted(
        changes, key=lambda one: (not one.gained, *map(str, (one.actor, one.action, one.resource)))
    )


class _Side:
    """One of the two policies, ready to be asked how far something is allowed."""

    def __init__(self, program: Program, facts: FactSet, other: Program, now: int) -> None:
        self.program = program
        self.now = now
        self.possible = Engine(program, facts, _PATIENCE)
        certain = _certain(program)
        self.certain = Engine(certain, facts, _PATIENCE) if certain else self.possible
        self.alone = _places_alone(program, other)
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
        own = self._own(engine, actor)
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

    def _own(self, engine: Engine, actor: Entity) -> Overlay | None:
        if actor in self._delegated:
            return None
        try:
            return engine.overlay([(Fact("acts_alone", (actor,)), "assumed")])
        except FactError:
            return None

    def proof(self, actor: Entity, action: str, resource: Entity, access: Access) -> Proof | None:
        """Return why the question is allowed as far as *access* says."""
        engine, predicate = self.possible, "allow"
        if self._looks_at_arguments(resource.type):
            engine = self.certain if access is Access.ALWAYS else self.possible
            predicate = "allow" if access is Access.ALWAYS else _POSSIBLY
        own = self._own(engine, actor)
        return engine.holds(predicate, (actor, action, resource), own, self.now).proof


def _certain(program: Program) -> Program | None:
    """Return *program* without the rules that look at arguments, or None if none does."""
    tested = dependents(program.clauses)
    if "allow/3" not in tested:
        return None

    def is_open(clause: Clause) -> bool:
        return any(
            isinstance(part, Atom)
            and (part.predicate in TESTS or (part.negated and part.predicate in tested))
            for part in clause.parts
        )

    kept = {
        predicate: tuple(clause for clause in clauses if not is_open(clause))
        for predicate, clauses in program.clauses.items()
    }
    compiler = Compiler(kept, program.types.every, program.compiler.tables)
    return replace(program, clauses=kept, compiler=compiler)


def _entities(program: Program, facts: FactSet) -> frozenset[Entity]:
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


def _steps(
    sides: tuple[_Side, _Side], actor: Entity, action: str, resources: Sequence[Entity]
) -> dict[Entity, Step]:
    """Return how access to each of *resources* changes, where it does."""
    before, after = (side.reach(actor, action, resources) for side in sides)
    if before == after:
        return {}
    steps = {
        resource: Step(_access(resource, before), _access(resource, after))
        for resource in resources
    }
    return {resource: step for resource, step in steps.items() if step.before != step.after}


def _access(resource: Entity, reach: tuple[set[Entity], set[Entity]]) -> Access:
    possible, certain = reach
    if resource in certain:
        return Access.ALWAYS
    return Access.SOMETIMES if resource in possible else Access.NEVER


def _folded(
    steps: Mapping[Entity, Step], population: Mapping[str, Sequence[Entity]]
) -> Iterator[tuple[Subject, Step]]:
    """Yield *steps*, those of a type as one where its whole *population* takes the same."""
    for type_ in dict.fromkeys(entity.type for entity in steps):
        group = {entity: steps[entity] for entity in population[type_] if entity in steps}
        if len(group) == len(population[type_]) and len(set(group.values())) == 1:
            yield Anything(type_), next(iter(group.values()))
            continue
        for entity, step in group.items():
            yield (Other(type_) if entity.id == _STRANGER else entity), step


def _folded_actors(
    rows: Iterable[RowOfOne], population: Mapping[str, Sequence[Entity]]
) -> list[Row]:
    grouped: dict[tuple[str, Subject], dict[Entity, Step]] = {}
    for actor, action, resource, step in rows:
        grouped.setdefault((action, resource), {})[actor] = step
    return [
        (actor, action, resource, step)
        for (action, resource), steps in grouped.items()
        for actor, step in _folded(steps, population)
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
