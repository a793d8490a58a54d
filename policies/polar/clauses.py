"""Rules in the form the engine plans: flat conjunctions over numbered, typed variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

from policies.polar.source import DEFAULT, NOWHERE, Problem, Span
from policies.polar.syntax import (
    And,
    Call,
    Compare,
    Expression,
    Literal,
    Matches,
    Member,
    Not,
    Now,
    Or,
    Rule,
    Term,
    Truth,
    Variable,
)
from policies.polar.types import Types
from policies.polar.values import Held, held, key_of, kind

MAX_ALTERNATIVES = 512
MAX_VARIABLES = 16

FACTS = "@"
"""Before the name of a predicate: its stored facts alone, without what rules derive."""

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


@dataclass(frozen=True, slots=True)
class Ref:
    """The variable with this number in its clause."""

    number: int


@dataclass(frozen=True, slots=True)
class Const:
    value: Held


@dataclass(frozen=True, slots=True)
class Clock:
    """`@current_unix_time`."""


Arg = Ref | Const | Clock


@dataclass(frozen=True, slots=True)
class Atom:
    """A condition that some row of *predicate* (`name/arity`) matches, or with `negated` none."""

    predicate: str
    args: tuple[Arg, ...]
    span: Span
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides are Integers and stand in this order. `=` is left only where one is the clock."""

    operator: str
    left: Arg
    right: Arg
    span: Span


@dataclass(frozen=True, slots=True)
class OneOf:
    arg: Arg
    options: tuple[Held, ...]
    span: Span


Part = Atom | Comparison | OneOf


class Slot(NamedTuple):
    """A variable of a clause: its name in the source and the concrete types it may take."""

    name: str
    types: frozenset[str]


@dataclass(frozen=True, eq=False, slots=True)
class Clause:
    """One alternative of one rule, with `=`, `matches`, `true` and `or` worked away.

    `parts` keeps the order of the source. `rule` is None for the clause that looks the predicate
    up among the facts. Compared by identity.
    """

    predicate: str
    head: tuple[Arg, ...]
    slots: tuple[Slot, ...]
    parts: tuple[Part, ...]
    rule: Rule | None

    @property
    def source(self) -> str:
        """`file:line` of the rule, or `default` for the allow rule the language implies."""
        span = NOWHERE if self.rule is None else self.rule.span
        return DEFAULT if span == NOWHERE else str(span)


def facts_clause(predicate: str, table: str, every: frozenset[str]) -> Clause:
    """Return the clause by which *predicate* holds for the stored facts of *table*."""
    arity = int(predicate.partition("/")[2])
    args = tuple(Ref(number) for number in range(arity))
    slots = tuple(Slot("_", every) for _ in args)
    return Clause(predicate, args, slots, (Atom(FACTS + table, args, NOWHERE),), None)


def conjunctions(body: Expression | None) -> list[list[Expression]]:
    """Return *body* as alternatives of flat conjunctions; raise OverflowError past the limit.

    `not` is left as it stands.
    """
    match body:
        case None:
            return [[]]
        case Or(parts):
            alternatives = [found for part in parts for found in conjunctions(part)]
        case And(parts):
            alternatives = [[]]
            for part in parts:
                choices = conjunctions(part)
                if len(alternatives) * len(choices) > MAX_ALTERNATIVES:
                    raise OverflowError
                pairs = product(alternatives, choices)
                alternatives = [[*before, *after] for before, after in pairs]
        case _:
            alternatives = [[body]]
    if len(alternatives) > MAX_ALTERNATIVES:
        raise OverflowError
    return alternatives


def clauses_of(rule: Rule, types: Types, problems: list[Problem]) -> list[Clause]:
    """Return the alternatives of *rule* that can hold at all.

    A rule none of whose alternatives can hold is told in *problems*, as is one with too many.
    """
    try:
        alternatives = conjunctions(rule.body)
    except OverflowError:
        message = (
            f"this rule has more than {MAX_ALTERNATIVES} alternatives once every `or` is written "
            "out; name a part of it with a rule of its own."
        )
        problems.append(Problem("rule-too-large", message, rule.span, text=rule.predicate))
        return []
    found = [_Flattening(rule, types).clause(parts) for parts in alternatives]
    possible = [clause for clause in found if clause is not None]
    if any(len(clause.slots) > MAX_VARIABLES for clause in possible):
        message = (
            f"this rule has more than {MAX_VARIABLES} variables; name a part of it with a rule of "
            "its own."
        )
        problems.append(Problem("rule-too-large", message, rule.span, text=rule.predicate))
        return []
    if not possible:
        message = "this rule can never hold: its conditions contradict each other."
        problems.append(Problem("never-holds", message, rule.span, text=rule.predicate))
    return possible


class _ContradictionError(Exception):
    """The conjunction holds for no values."""


class _Flattening:
    """Turns one conjunction into a clause: unification by substitution, types by intersection."""

    def __init__(self, rule: Rule, types: Types) -> None:
        self.rule = rule
        self.types = types
        self.names: list[str] = []
        self.allowed: list[frozenset[str]] = []
        self.numbers: dict[str, int] = {}
        self.equal: dict[int, Arg] = {}

    def clause(self, conjunction: Sequence[Expression]) -> Clause | None:
        try:
            head = [
                self._parameter(parameter.term, parameter.type)
                for parameter in self.rule.parameters
            ]
            parts = [part for condition in conjunction for part in self._parts(condition)]
            flat = [self._settled(part) for part in parts]
            self._demand(held=all(settled(part) is not False for part in flat))
            # A comparison that constants settle stays: a proof shows it.
            left = [part for part in flat if settled(part) is None or isinstance(part, Comparison)]
            return self._renumbered([self._resolved(arg) for arg in head], left)
        except _ContradictionError:
            return None

    def _parameter(self, term: Term, type_: str | None) -> Arg:
        arg = self._arg(term)
        if type_ is not None:
            self._narrow(arg, self.types.below[type_])
        return arg

    def _arg(self, term: Term) -> Arg:
        match term:
            case Literal(value):
                return Const(held(value))
            case Now():
                return Clock()
            case Variable("_"):
                return self._fresh("_")
            case Variable(name):
                if name not in self.numbers:
                    self.numbers[name] = self._fresh(name).number
                return Ref(self.numbers[name])

    def _fresh(self, name: str) -> Ref:
        self.names.append(name)
        self.allowed.append(self.types.every)
        return Ref(len(self.names) - 1)

    def _parts(self, condition: Expression) -> list[Part]:
        match condition:
            case Truth(value):
                self._demand(held=value)
                return []
            case Matches(variable, type_):
                self._narrow(self._arg(variable), self.types.below[type_])
                return []
            case Compare("=", left, right):
                return self._unify(self._arg(left), self._arg(right), condition.span)
            case Compare(operator, left, right):
                return [self._comparison(operator, left, right, condition.span)]
            case Member(term, options):
                values = tuple(held(o.value) for o in options if isinstance(o, Literal))
                return [OneOf(self._arg(term), tuple(dict.fromkeys(values)), condition.span)]
            case Not(Call() as call):
                return [self._atom(call, negated=True)]
            case Call():
                return [self._atom(condition, negated=False)]
            case _:
                raise AssertionError(condition)

    def _atom(self, call: Call, *, negated: bool) -> Atom:
        args = tuple(self._arg(term) for term in call.args)
        return Atom(key_of(call.predicate, len(args)), args, call.span, negated)

    def _comparison(self, operator: str, left: Term, right: Term, span: Span) -> Comparison:
        sides = self._arg(left), self._arg(right)
        for side in sides:
            self._narrow(side, self.types.below["Integer"])
        return Comparison(operator, *sides, span)

    def _demand(self, *, held: bool) -> None:
        if not held:
            raise _ContradictionError

    def _narrow(self, arg: Arg, types: frozenset[str]) -> None:
        arg = self._resolved(arg)
        if isinstance(arg, Ref):
            self.allowed[arg.number] &= types
            self._demand(held=bool(self.allowed[arg.number]))
        else:
            self._demand(held=_kind(arg) in types)

    def _unify(self, left: Arg, right: Arg, span: Span) -> list[Part]:
        left, right = self._resolved(left), self._resolved(right)
        if left == right:
            return []
        if isinstance(left, Ref):
            self._narrow(right, self.allowed[left.number])
            self.equal[left.number] = right
            return []
        if isinstance(right, Ref):
            return self._unify(right, left, span)
        self._demand(held=Clock() in (left, right) and _kind(left) == _kind(right))
        return [Comparison("=", left, right, span)]

    def _resolved(self, arg: Arg) -> Arg:
        while isinstance(arg, Ref) and arg.number in self.equal:
            arg = self.equal[arg.number]
        return arg

    def _settled(self, part: Part) -> Part:
        match part:
            case Atom(predicate, args, span, negated):
                return Atom(predicate, tuple(map(self._resolved, args)), span, negated)
            case Comparison(operator, left, right, span):
                return Comparison(operator, self._resolved(left), self._resolved(right), span)
            case OneOf(arg, options, span):
                arg = self._resolved(arg)
                self._narrow(arg, frozenset(map(kind, options)))
                return OneOf(arg, options, span)

    def _renumbered(self, head: Sequence[Arg], parts: Sequence[Part]) -> Clause:
        """Return the clause, its variables numbered by first occurrence."""
        head, parts = self._without_clock(head, parts)
        numbers: dict[int, int] = {}
        for arg in (*head, *(arg for part in parts for arg in args_of(part))):
            if isinstance(arg, Ref):
                numbers.setdefault(arg.number, len(numbers))
        slots = tuple(Slot(self.names[old], self.allowed[old]) for old in numbers)

        def renamed(arg: Arg) -> Arg:
            return Ref(numbers[arg.number]) if isinstance(arg, Ref) else arg

        predicate = key_of(self.rule.predicate, len(head))
        flat = tuple(substituted(part, renamed) for part in parts)
        return Clause(predicate, tuple(map(renamed, head)), slots, flat, self.rule)

    def _without_clock(
        self, head: Sequence[Arg], parts: Sequence[Part]
    ) -> tuple[Sequence[Arg], Sequence[Part]]:
        """Move `@current_unix_time` out of *head* into a comparison with a new variable."""
        span = self.rule.span
        moved = {place: self._fresh("_") for place, arg in enumerate(head) if arg == Clock()}
        for ref in moved.values():
            self.allowed[ref.number] = self.types.below["Integer"]
        equal = [Comparison("=", ref, Clock(), span) for ref in moved.values()]
        return [moved.get(place, arg) for place, arg in enumerate(head)], [*parts, *equal]


def _kind(arg: Const | Clock) -> str:
    return kind(arg.value) if isinstance(arg, Const) else "Integer"


def args_of(part: Part) -> tuple[Arg, ...]:
    match part:
        case Atom(args=args):
            return args
        case Comparison(left=left, right=right):
            return (left, right)
        case OneOf(arg=arg):
            return (arg,)


def substituted(part: Part, change: Callable[[Arg], Arg]) -> Part:
    """Return *part* with *change* made to each of its arguments."""
    match part:
        case Atom(predicate, args, span, negated):
            return Atom(predicate, tuple(map(change, args)), span, negated)
        case Comparison(operator, left, right, span):
            return Comparison(operator, change(left), change(right), span)
        case OneOf(arg, options, span):
            return OneOf(change(arg), options, span)


def settled(part: Part) -> bool | None:
    """Return whether *part* holds if constants alone decide that, else None."""
    match part:
        case Comparison(operator, Const(left), Const(right)):
            return COMPARE[operator](left, right)
        case OneOf(Const(value), options):
            return value in options
    return None


def refs_of(args: Iterable[Arg]) -> set[int]:
    return {arg.number for arg in args if isinstance(arg, Ref)}
