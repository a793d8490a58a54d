"""What a policy means, computed the plain way: ground everything, and repeat until nothing is new.

Types have no end of values, so besides every value that is mentioned anywhere, each type has a
few strangers that stand for all the others. Whatever holds for the strangers holds for them all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

from policies.model import Answer, Fact, Value
from policies.polar.syntax import (
    Call,
    Compare,
    Literal,
    Matches,
    Member,
    Module,
    Not,
    Rule,
    Term,
    Truth,
    Variable,
)
from tests.reference.cells import ALL, Arbitrary, Cell, Row, Stranger, answer, cell, compared
from tests.reference.expansion import Branch, Types, branches, expand, terms
from tests.reference.ordering import (
    Absence,
    Action,
    Each,
    Plan,
    Signature,
    absence,
    arranged,
    components,
    signature,
)

STRANGERS: Final = 2
"""Two per type, so that a rule that wants one value twice differs from one that takes any two."""

LARGEST: Final = 2**63 - 1

Environment = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Free:
    """An argument that is asked for: any value, or those of exactly one concrete type."""

    type: str | None = None


class InexpressibleError(Exception):
    """The answer has no finite form in values and `Anything`, such as "all but these"."""


class Reference:
    """Answers about one policy, one set of facts and one moment.

    *mentioned* are values that questions will name; it only saves time.
    """

    def __init__(
        self,
        modules: Sequence[Module],
        facts: Iterable[Fact],
        now: int,
        *,
        mentioned: Iterable[Value] = (),
    ) -> None:
        self._program = Program(expand(modules), Types(modules), tuple(facts), now)
        self._mentioned = frozenset(map(cell, mentioned))
        self._model = Model(self._program, self._mentioned)

    def holds(self, predicate: str, args: tuple[Value, ...]) -> bool:
        row = tuple(map(cell, args))
        return row in self._knowing(row).rows[predicate, len(row)]

    def query(self, predicate: str, args: tuple[Value | Free, ...]) -> set[tuple[Answer, ...]]:
        """Return the fewest tuples that cover the answers.

        To Python True is 1: where a `Free()` may be either, ask for `cells`.
        Raises `InexpressibleError`.
        """
        return {tuple(map(answer, row)) for row in self.cells(predicate, args)}

    def cells(self, predicate: str, args: tuple[Value | Free, ...]) -> set[Row]:
        """Return what `query` does, each value as a `cell`."""
        pattern = [arg if isinstance(arg, Free) else cell(arg) for arg in args]
        model = self._knowing(part for part in pattern if not isinstance(part, Free))
        rows = {row for row in model.rows[predicate, len(args)] if _fits(row, pattern)}
        open_ = [place for place, part in enumerate(pattern) if isinstance(part, Free)]
        found = _covered(rows, open_, model.domain)
        if any(part in model.strangers for row in found for part in row):
            raise InexpressibleError(f"{predicate}: the answer is neither values nor all values")
        return found

    def refutes(self, negation: Not, known: Mapping[str, Cell]) -> bool:
        """Say whether *negation* holds where its variables are *known*; any others are its own.

        A known value may be `Arbitrary`, then it must hold for every value of that type; or
        `ALL`, then for some value.
        """
        model = self._knowing(part for part in known.values() if not _is_open(part))
        return model.refutes(negation, dict(known))

    def _knowing(self, values: Iterable[Cell]) -> Model:
        unknown = {value for value in values if value not in self._model.domain[value[0]]}
        if unknown:
            self._mentioned |= unknown
            self._model = Model(self._program, self._mentioned)
        return self._model


def _is_open(part: Cell) -> bool:
    return part[1] == ALL or isinstance(part[1], Arbitrary)


def _fits(row: Row, pattern: Sequence[Cell | Free]) -> bool:
    return all(
        wanted.type in (None, part[0]) if isinstance(wanted, Free) else wanted == part
        for part, wanted in zip(row, pattern, strict=True)
    )


def _with(row: Row, place: int, part: Cell) -> Row:
    return (*row[:place], part, *row[place + 1 :])


def _covered(rows: set[Row], places: Iterable[int], domain: Mapping[str, set[Cell]]) -> set[Row]:
    """Write ALL wherever all of a type is there, and drop rows that such a row covers."""
    found = set(rows)
    for place in places:
        alike: dict[Row, int] = Counter(_with(row, place, (row[place][0], ALL)) for row in found)
        found |= {row for row, size in alike.items() if size == len(domain[row[place][0]])}
    return {
        row
        for row in found
        if not any(
            row[place][1] != ALL and _with(row, place, (row[place][0], ALL)) in found
            for place in range(len(row))
        )
    }


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that an answer depends on."""

    rules: list[Rule]
    types: Types
    facts: tuple[Fact, ...]
    now: int


class Model:
    """The least set of rows that the program makes true, over a finite domain."""

    def __init__(self, program: Program, mentioned: Iterable[Cell]) -> None:
        self.types = program.types
        self.now: Cell = ("Integer", program.now)
        self.domain: dict[str, set[Cell]] = defaultdict(set)
        self.strangers: set[Cell] = set()
        self.rows: dict[Signature, set[Row]] = defaultdict(set)
        self._indexes: dict[tuple[Signature, tuple[int, ...]], dict[Row, list[Row]]] = {}
        self._populate(program, mentioned)
        for fact in program.facts:
            self.rows[fact.predicate, len(fact.args)].add(tuple(map(cell, fact.args)))
        for component in components([b for rule in program.rules for b in branches(rule)]):
            self._saturate(component)

    def _populate(self, program: Program, mentioned: Iterable[Cell]) -> None:
        known = {self.now, ("Boolean", True), ("Boolean", False), *mentioned}
        known |= {cell(value) for fact in program.facts for value in fact.args}
        for rule in program.rules:
            written = (*(parameter.term for parameter in rule.parameters), *terms(rule.body))
            known |= {cell(term.value) for term in written if isinstance(term, Literal)}
        for value in known:
            self.domain[value[0]].add(value)
        for type_ in self.types.concrete - {"Integer", "Boolean"}:
            self.strangers |= {(type_, Stranger(n + 1)) for n in range(STRANGERS)}
        self.strangers |= _unmentioned(self.domain["Integer"])
        for value in self.strangers:
            self.domain[value[0]].add(value)

    def _saturate(self, component: Sequence[Branch]) -> None:
        planned = [(branch, arranged(branch)) for branch in component]
        while True:
            new: dict[Signature, set[Row]] = defaultdict(set)
            for branch, plan in planned:
                name = signature(branch)
                for found in self.solve(plan, {}):
                    row = tuple(self._value(term, found) for term in branch.head)
                    if row not in self.rows[name]:
                        new[name].add(row)  # type: ignore[arg-type]
            if not new:
                return
            for name, rows in new.items():
                self.rows[name] |= rows
            self._indexes = {key: kept for key, kept in self._indexes.items() if key[0] not in new}

    def refutes(self, negation: Not, known: Environment) -> bool:
        for name, (type_, value) in known.items():
            if _is_open((type_, value)):
                quantify = all if isinstance(value, Arbitrary) else any
                return quantify(
                    self.refutes(negation, {**known, name: each}) for each in self.domain[type_]
                )
        return self._passes(absence(negation, known), known)

    def _value(self, term: Term, found: Environment) -> Cell | None:
        if isinstance(term, Variable):
            return found.get(term.name)
        return cell(term.value) if isinstance(term, Literal) else self.now

    def solve(self, plan: Plan, start: Environment) -> list[Environment]:
        """Return each way to take all actions, with the variables that matter in the end."""
        found = [start]
        for action, kept in plan:
            distinct: dict[Row, Environment] = {}
            for environment in found:
                for more in self._take(action, environment):
                    values = tuple(more[name] for name in kept)
                    distinct[values] = dict(zip(kept, values, strict=True))
            found = list(distinct.values())
        return found

    def _take(self, action: Action, found: Environment) -> Iterator[Environment]:
        match action:
            case Call():
                return self._call(action, found)
            case Compare(operator="="):
                return self._equal(action.left, action.right, found)
            case Member():
                choices = (self._equal(action.term, option, found) for option in action.options)
                return chain.from_iterable(choices)
            case Matches():
                return self._match(action, found)
            case Each():
                values = chain.from_iterable(self.domain.values())
                return ({**found, action.variable: value} for value in values)
            case _:
                return iter([found] if self._passes(action, found) else [])

    def _passes(self, action: Compare | Truth | Absence, found: Environment) -> bool:
        match action:
            case Compare():
                return self._compare(action, found)
            case Truth():
                return action.value
            case Absence():
                return not any(self.solve(way, found) for way in action.ways)

    def _call(self, call: Call, found: Environment) -> Iterator[Environment]:
        wanted = [self._value(term, found) for term in call.args]
        known = tuple(place for place, value in enumerate(wanted) if value is not None)
        key = tuple(value for value in wanted if value is not None)
        for row in self._index((call.predicate, len(wanted)), known).get(key, ()):
            more = dict(found)
            if all(
                more.setdefault(term.name, value) == value
                for term, value in zip(call.args, row, strict=True)
                if isinstance(term, Variable)
            ):
                yield more

    def _index(self, name: Signature, known: tuple[int, ...]) -> dict[Row, list[Row]]:
        if (name, known) not in self._indexes:
            index: dict[Row, list[Row]] = defaultdict(list)
            for row in self.rows[name]:
                index[tuple(row[place] for place in known)].append(row)
            self._indexes[name, known] = index
        return self._indexes[name, known]

    def _equal(self, left: Term, right: Term, found: Environment) -> Iterator[Environment]:
        here, there = self._value(left, found), self._value(right, found)
        if here is None and isinstance(left, Variable) and there is not None:
            yield {**found, left.name: there}
        elif there is None and isinstance(right, Variable) and here is not None:
            yield {**found, right.name: here}
        elif here == there:
            yield found

    def _compare(self, compare: Compare, found: Environment) -> bool:
        left, right = self._value(compare.left, found), self._value(compare.right, found)
        assert left is not None
        assert right is not None
        return compared(compare.operator, left, right)

    def _match(self, matches: Matches, found: Environment) -> Iterator[Environment]:
        value = found.get(matches.variable.name)
        if value is not None:
            if self.types.accepts(matches.type, value[0]):
                yield found
            return
        for type_ in list(self.domain):
            if self.types.accepts(matches.type, type_):
                for each in self.domain[type_]:
                    yield {**found, matches.variable.name: each}


def _unmentioned(integers: Iterable[Cell]) -> set[Cell]:
    """Return some Integers below, above and between those mentioned."""
    known = sorted(value for _, value in integers if isinstance(value, int))
    found = {known[0] - 2, known[0] - 1, known[-1] + 1, known[-1] + 2}
    for low, high in pairwise(known):
        found |= {low + 1, high - 1}
    return {("Integer", n) for n in found - set(known) if -LARGEST - 1 <= n <= LARGEST}
