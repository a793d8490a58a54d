"""What a policy asks of each call: which argument tests to run, which other facts to supply.

The language has no string functions. A policy names its tests, and the gateway runs exactly those.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from policies.arguments import COMPLEMENTS, ArgumentTest, outcomes
from policies.model import Entity, Fact
from policies.polar.clauses import Arg, Atom, Clause, Const, Ref
from policies.polar.possible import POSSIBLE, TESTS
from policies.polar.program import Program
from policies.polar.tables import EMPTY, Table
from policies.polar.values import Held, name_of
from policies.vocabulary import SUPPLIED

_TESTED_AS = {complement: name for name, complement in COMPLEMENTS.items()}


@dataclass(frozen=True, slots=True)
class StoredPattern:
    """A pattern that facts bring: the argument at `place` of each fact of `table`.

    `fixed` are values that other arguments must have, by place; `resource` is the place, if any,
    where the fact names the tool or prompt that is called.
    """

    table: str
    place: int
    fixed: tuple[tuple[int, Held], ...]
    resource: int | None

    def patterns(self, resource: Entity, facts: Mapping[str, Table]) -> Iterator[str]:
        fixed = dict(self.fixed)
        if self.resource is not None:
            fixed[self.resource] = resource
        places = tuple(sorted(fixed))
        key = tuple(fixed[place] for place in places)
        for row in facts.get(self.table, EMPTY).find(places, key):
            value = row[self.place]
            if isinstance(value, str):
                yield value


@dataclass(frozen=True, slots=True)
class Demand:
    """One argument test as a rule asks for it, of one resource or of every one of some types."""

    predicate: str
    on: Entity | frozenset[str]
    key: str
    pattern: str | StoredPattern | None

    def concerns(self, resource: Entity) -> bool:
        return self.on == resource if isinstance(self.on, Entity) else resource.type in self.on


Asked = tuple[str, str, str | None]
"""Predicate, key and pattern of a fact as a rule asks for it."""


@dataclass(frozen=True, slots=True)
class CallTests:
    """The argument tests to run on every call of one resource, while policy and facts last.

    `asked` are the facts that rules ask for; a test may give its complement, which none asks for.
    `keys` are the argument keys, or JSON Pointers, that are read.
    """

    tests: tuple[ArgumentTest, ...]
    asked: frozenset[Asked]
    keys: tuple[str, ...]

    def outcomes(self, resource: Entity, arguments: Mapping[str, object]) -> list[Fact | None]:
        """Return what each of `tests` says of *arguments*: a fact, or None if it says nothing."""
        return outcomes(self.tests, resource, arguments)

    def wanted(self, found: Iterable[Fact | None]) -> list[Fact]:
        """Return those of *found* that some rule asks for."""
        return [fact for fact in found if fact is not None and _asked(fact) in self.asked]


@dataclass(frozen=True, slots=True)
class Demands:
    """Everything that the text of a policy asks to be supplied with a question.

    `tests` are its argument tests; `named` gives, for each other predicate that the gateway
    supplies, the strings the policy names at each place: the claims, the zones, the globs.
    """

    tests: tuple[Demand, ...]
    named: Mapping[str, Mapping[int, frozenset[str]]]

    @classmethod
    def of(cls, program: Program) -> Demands:
        tests: dict[Demand, None] = {}
        named: dict[str, dict[int, set[str]]] = {}
        for clause, atom in supplied_atoms(program.clauses):
            if atom.predicate in TESTS:
                tests[_demand(clause, atom, program.clauses)] = None
                continue
            places = named.setdefault(name_of(atom.predicate), {})
            for place, arg in enumerate(atom.args):
                if isinstance(arg, Const) and isinstance(arg.value, str):
                    places.setdefault(place, set()).add(arg.value)
        frozen = {
            name: {place: frozenset(values) for place, values in places.items()}
            for name, places in named.items()
        }
        return cls(tuple(tests), frozen)

    def concerning(self, resource: Entity) -> list[Demand]:
        """Return the argument tests that rules ask of *resource*."""
        return [demand for demand in self.tests if demand.concerns(resource)]

    def call_tests(self, resource: Entity, facts: Mapping[str, Table]) -> CallTests:
        """Return the tests that the policy asks of a call to *resource*, in a fixed order.

        *facts* are the stored ones, which may bring patterns.
        """
        asked = {
            (demand.predicate, demand.key, pattern)
            for demand in self.concerning(resource)
            for pattern in _patterns(demand, resource, facts)
        }
        tests = {
            ArgumentTest(_TESTED_AS.get(predicate, predicate), key, pattern)
            for predicate, key, pattern in asked
        }
        return CallTests(
            tuple(sorted(tests, key=repr)), frozenset(asked), tuple(self.keys(resource))
        )

    def keys(self, resource: Entity) -> list[str]:
        """Return the argument keys, or JSON Pointers, that rules read of a call to *resource*."""
        return sorted({demand.key for demand in self.concerning(resource)})

    def worst_case(self, resource: Entity) -> tuple[int, list[str]]:
        """Return how many per-call facts one question about *resource* can need at most.

        The second item names the stored predicates each of whose facts adds one more.
        """
        tests, stored = set(), set()
        for demand in self.concerning(resource):
            if isinstance(demand.pattern, StoredPattern):
                stored.add(name_of(demand.pattern.table))
            else:
                base = _TESTED_AS.get(demand.predicate, demand.predicate)
                tests.add((base, demand.key, demand.pattern))
        others = sum(
            max((len(values) for values in places.values()), default=1)
            for places in self.named.values()
        )
        return len(tests) + others, sorted(stored)


def supplied_atoms(clauses: Mapping[str, Iterable[Clause]]) -> Iterator[tuple[Clause, Atom]]:
    """Yield every condition of *clauses* that only the gateway can make true."""
    for predicate, alternatives in clauses.items():
        if predicate.startswith(POSSIBLE):
            continue
        for clause in alternatives:
            for part in clause.parts:
                if isinstance(part, Atom) and part.predicate in SUPPLIED:
                    yield clause, part


def stored_pattern(
    clause: Clause, variable: Arg, resource: Arg, derived: Container[str]
) -> StoredPattern | None:
    """Return the positive condition on a fact by which *clause* binds *variable*, if it has one.

    *derived* are the predicates that have rules: what they bind is no stored fact.
    """
    for part in clause.parts:
        if (
            isinstance(part, Atom)
            and not part.negated
            and part.predicate not in SUPPLIED
            and part.predicate not in derived
            and variable in part.args
        ):
            fixed = tuple((p, a.value) for p, a in enumerate(part.args) if isinstance(a, Const))
            at = part.args.index(resource) if resource in part.args else None
            at = None if at is None or isinstance(part.args[at], Const) else at
            return StoredPattern(part.predicate, part.args.index(variable), fixed, at)
    return None


def _demand(clause: Clause, atom: Atom, derived: Container[str]) -> Demand:
    resource, key, *rest = atom.args
    name = name_of(atom.predicate)
    pattern: str | StoredPattern | None = None
    if rest and name != "argument":
        stored = stored_pattern(clause, rest[0], resource, derived)
        pattern = str(rest[0].value) if isinstance(rest[0], Const) else stored
    return Demand(name, _concerned(clause, resource), _text(key), pattern)


def _concerned(clause: Clause, resource: Arg) -> Entity | frozenset[str]:
    if isinstance(resource, Const) and isinstance(resource.value, Entity):
        return resource.value
    return clause.slots[resource.number].types if isinstance(resource, Ref) else frozenset()


def _text(arg: Arg) -> str:
    return arg.value if isinstance(arg, Const) and isinstance(arg.value, str) else ""


def _patterns(demand: Demand, resource: Entity, facts: Mapping[str, Table]) -> Iterable[str | None]:
    if isinstance(demand.pattern, StoredPattern):
        return demand.pattern.patterns(resource, facts)
    return [demand.pattern]


def _asked(fact: Fact) -> Asked:
    pattern = fact.args[2] if fact.predicate not in {"argument", "argument_present"} else None
    return fact.predicate, str(fact.args[1]), None if pattern is None else str(pattern)
