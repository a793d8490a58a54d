"""On what terms something is allowed: the ways to prove it, each with what it asks of a call.

A search over the rules that look at a call, bounded in work; the rest is asked of the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from policies.model import Anything, Entity, written
from policies.polar.clauses import (
    COMPARE,
    FACTS,
    Arg,
    Atom,
    Clause,
    Clock,
    Comparison,
    Const,
    OneOf,
    Part,
    Ref,
    args_of,
)
from policies.polar.engine import Engine, Free
from policies.polar.possible import POSSIBLE, dependents
from policies.polar.runtime import Overlay, Question, UndecidedError
from policies.polar.tables import EMPTY, Table
from policies.polar.values import Held, kind, name_of, told

_MOST_WORK: Final = 2_000
_MOST_ROWS: Final = 50
_MOST_DEPTH: Final = 12

_CALLER: Final = frozenset({"acts_for/2", "acts_alone/1"})

Way = tuple[str, ...]
"""Conditions as policy text writes them; without any, it is allowed whatever the call is."""

Goal = tuple[Held | None, ...]
Bindings = Mapping[int, Held]


class Terms:
    """Finds on what terms *engine*, which has `possible_` rules of *tests*, allows something.

    *tables* are the facts that it decides by.
    """

    def __init__(self, engine: Engine, tables: Mapping[str, Table], tests: Collection[str]) -> None:
        self._engine = engine
        self._tables = tables
        self._tests = tests
        plain = {
            key: some
            for key, some in engine.program.clauses.items()
            if not key.startswith(POSSIBLE)
        }
        self._tested = dependents(plain, tests)
        self._of_caller = dependents(plain, _CALLER)
        self._known: dict[tuple[str, Goal, int], list[Way]] = {}

    def ways(
        self, actor: Entity, action: str, resource: Entity, own: Overlay, now: int
    ) -> list[Way]:
        """Return the ways that are no more than another with more conditions, shortest first."""
        question = self._engine.question(own, now)
        search = _Search(self._engine, self._tables, question, self._tests, self._tested)
        search.known, search.of_caller = self._known, self._of_caller
        found = search.ways("allow/3", (actor, action, resource), 0)
        return minimal(found)


def minimal(ways: Collection[Way]) -> list[Way]:
    """Return those of *ways* of which no other asks for a part alone, shortest first."""
    kept: list[Way] = []
    for way in sorted({tuple(sorted(set(one))) for one in ways}, key=lambda way: (len(way), way)):
        if not any(set(other) <= set(way) for other in kept):
            kept.append(way)
    return kept


class _Search:
    def __init__(
        self,
        engine: Engine,
        tables: Mapping[str, Table],
        question: Question,
        tests: Collection[str],
        tested: Collection[str],
    ) -> None:
        self.engine = engine
        self.tables = tables
        self.question = question
        self.tests = tests
        self.tested = tested
        self.work = _MOST_WORK
        self.of_caller: Collection[str] = ()
        self.known: dict[tuple[str, Goal, int], list[Way]] = {}

    def ways(self, key: str, goal: Goal, depth: int) -> list[Way]:
        if depth > _MOST_DEPTH:
            return []
        if key in self.of_caller or None in goal:
            return self._found(key, goal, depth)
        # Whomever somebody acts for, it is the same, and asked of each of them.
        place = (key, goal, self.question.now)
        if place not in self.known:
            self.known[place] = self._found(key, goal, depth)
        return self.known[place]

    def _found(self, key: str, goal: Goal, depth: int) -> list[Way]:
        found: list[Way] = []
        for clause in self.engine.program.clauses.get(key, ()):
            bindings = _met(clause, goal)
            if bindings is not None:
                found += self._tries(clause, bindings, clause.parts, (), depth)
        return minimal(found)

    def _tries(
        self, clause: Clause, bindings: Bindings, left: Sequence[Part], way: Way, depth: int
    ) -> Iterator[Way]:
        self.work -= 1
        if self.work < 0:
            return
        if not left:
            yield way
            return
        part = min(left, key=lambda one: self._order(one, bindings))
        rest = [other for other in left if other is not part]
        for more, bound in self._outcomes(clause, bindings, part, depth):
            yield from self._tries(clause, bound, rest, (*way, *more), depth)

    def _order(self, part: Part, bindings: Bindings) -> tuple[bool, bool, int]:
        """Sort what binds variables before what asks about a call, and before comparisons."""
        is_plain = isinstance(part, Atom) and not part.negated and part.predicate not in self.tests
        is_deep = isinstance(part, Atom) and part.predicate in self.tested
        return not is_plain, is_deep, sum(_value(arg, bindings, 0) is None for arg in args_of(part))

    def _outcomes(
        self, clause: Clause, bindings: Bindings, part: Part, depth: int
    ) -> Iterator[tuple[Way, Bindings]]:
        if isinstance(part, Atom):
            if part.predicate in self.tests or (part.negated and part.predicate in self.tested):
                yield (self._said(clause, part, bindings),), bindings
            elif part.negated:
                if not self._rows(part.predicate, self._goal(part, bindings)):
                    yield (), bindings
            else:
                yield from self._atom(clause, bindings, part, depth)
        elif any(_value(arg, bindings, 0) is None for arg in args_of(part)):
            yield (self._said(clause, part, bindings),), bindings
        elif self._is_so(part, bindings):
            yield (), bindings

    def _atom(
        self, clause: Clause, bindings: Bindings, atom: Atom, depth: int
    ) -> Iterator[tuple[Way, Bindings]]:
        goal = self._goal(atom, bindings)
        if atom.predicate not in self.tested:
            for row in self._rows(atom.predicate, goal):
                bound = _bound(clause, bindings, atom, row)
                if bound is not None:
                    yield (), bound
            return
        is_bound = None not in goal
        rows = [goal] if is_bound else self._rows(POSSIBLE + atom.predicate, goal)
        for row in rows:
            bound = _bound(clause, bindings, atom, row)
            if bound is not None:
                for way in self.ways(atom.predicate, self._goal(atom, bound), depth + 1):
                    yield way, bound

    def _goal(self, atom: Atom, bindings: Bindings) -> Goal:
        return tuple(_value(arg, bindings, self.question.now) for arg in atom.args)

    def _rows(self, key: str, goal: Goal) -> Sequence[Goal]:
        if key.startswith(FACTS):
            places = tuple(place for place, value in enumerate(goal) if value is not None)
            given = tuple(value for value in goal if value is not None)
            return list(self.tables.get(key.removeprefix(FACTS), EMPTY).find(places, given))
        args = [Free() if value is None else value for value in goal]
        try:
            return list(islice(self.engine.rows(self.question, key, args), _MOST_ROWS))
        except UndecidedError:
            self.work = 0
            return []

    def _is_so(self, part: Part, bindings: Bindings) -> bool:
        values = [_value(arg, bindings, self.question.now) for arg in args_of(part)]
        if isinstance(part, OneOf):
            return values[0] in part.options
        left, right = values
        is_number = isinstance(left, int) and isinstance(right, int)
        return isinstance(part, Comparison) and is_number and COMPARE[part.operator](left, right)

    def _said(self, clause: Clause, part: Part, bindings: Bindings) -> str:
        now = self.question.now
        words = [_written(clause, arg, bindings, now) for arg in args_of(part)]
        if isinstance(part, Atom):
            text = f"{name_of(part.predicate)}({', '.join(words)})"
            return f"not {text}" if part.negated else text
        if isinstance(part, OneOf):
            return f"{words[0]} in [{', '.join(written(told(one)) for one in part.options)}]"
        return f"{words[0]} {part.operator} {words[1]}"


def _met(clause: Clause, goal: Sequence[Held | None]) -> dict[int, Held] | None:
    """Return the variables that *goal* binds in the head, or None if the two never meet."""
    return _unified(clause, clause.head, goal, {})


def _bound(
    clause: Clause, bindings: Bindings, atom: Atom, row: Sequence[Held | None]
) -> dict[int, Held] | None:
    return _unified(clause, atom.args, row, bindings)


def _unified(
    clause: Clause, args: Sequence[Arg], row: Sequence[Held | None], bindings: Bindings
) -> dict[int, Held] | None:
    found = dict(bindings)
    for arg, value in zip(args, row, strict=True):
        if value is None or isinstance(value, Anything):
            continue
        if isinstance(arg, Const) and arg.value != value:
            return None
        if isinstance(arg, Ref):
            if kind(value) not in clause.slots[arg.number].types:
                return None
            if found.setdefault(arg.number, value) != value:
                return None
    return found


def _value(arg: Arg, bindings: Bindings, now: int) -> Held | None:
    match arg:
        case Const(value):
            return value
        case Ref(number):
            return bindings.get(number)
        case Clock():
            return now


def _written(clause: Clause, arg: Arg, bindings: Bindings, now: int) -> str:
    value = _value(arg, bindings, now)
    if value is not None:
        return written(told(value))
    return clause.slots[arg.number].name if isinstance(arg, Ref) else "_"
