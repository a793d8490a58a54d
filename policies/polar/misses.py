"""Why not: the ways in which a denied question came nearest to being allowed.

A search over the rules, bounded in work, for the smallest sets of conditions whose change would
have made the answer yes. It runs when somebody asks, never on the way of a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from policies.model import Anything, Fact, Failure, FailureKind, Miss, Value
from policies.polar.clauses import (
    COMPARE,
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
    refs_of,
)
from policies.polar.engine import Engine, Free
from policies.polar.runtime import Overlay, Question, UnboundedError, UndecidedError
from policies.polar.source import DEFAULT
from policies.polar.values import Held, Row, fact, held, key_of, kind, name_of

_MAX_WORK = 3000
_MAX_DEPTH = 12
_MAX_FAILURES = 4
_MAX_BRANCHES = 6
_MAX_ROWS = 1000
_NEVER_STORED = frozenset({"allow", "has_permission"})

Goal = tuple[Held | None, ...]
"""The arguments asked for; None where any value will do."""

Bindings = Mapping[int, Held]


@dataclass(frozen=True, slots=True)
class _Attempt:
    rules: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    satisfied: int = 0
    relied: frozenset[tuple[FailureKind, Fact]] = frozenset()

    @property
    def rank(self) -> tuple[int, int, int]:
        return len(self.failed), len(self.rules), -self.satisfied

    def under(self, clause: Clause) -> _Attempt:
        return replace(self, rules=(clause.source, *self.rules))

    def within(self, condition: str) -> _Attempt:
        if condition.startswith(f"{DEFAULT}:"):
            return self
        failed = tuple(one._replace(conditions=(condition, *one.conditions)) for one in self.failed)
        return replace(self, failed=failed)

    def joined(self, other: _Attempt) -> _Attempt:
        known = {(one.kind, one.claim) for one in self.failed}
        more = tuple(one for one in other.failed if (one.kind, one.claim) not in known)
        return _Attempt(
            (*self.rules, *other.rules),
            (*self.failed, *more),
            self.satisfied + other.satisfied,
            self.relied | other.relied,
        )

    @property
    def is_consistent(self) -> bool:
        """Whether mending the failures leaves what held as it was."""
        return not any((one.kind, one.claim) in self.relied for one in self.failed)


def nearest_misses(
    engine: Engine,
    predicate: str,
    args: Sequence[Value | Free],
    own: Overlay | None = None,
    now: int | None = None,
    *,
    most: int = 3,
) -> list[Miss]:
    """Return at most *most* ways in which the question failed, the nearest first.

    Nothing is returned where it holds, or where no rule is about such a question at all. The search
    is bounded, so there may be a nearer one. With its failures mended a miss becomes an allow,
    except where it leaves a value open (`Anything`) that further conditions would have to accept.
    """
    search = _Search(engine, engine.question(own, now), most)
    goal = tuple(None if isinstance(arg, Free) else held(arg) for arg in args)
    key = key_of(predicate, len(args))
    if search.answers(key, goal):
        return []
    found = search.attempts(key, goal, ())
    return [Miss(attempt.rules, attempt.failed) for attempt in found]


class _Search:
    def __init__(self, engine: Engine, question: Question, most: int) -> None:
        self.engine = engine
        self.question = question
        self.most = most
        self.work = _MAX_WORK

    def attempts(self, key: str, goal: Goal, path: tuple[tuple[str, Goal], ...]) -> list[_Attempt]:
        """Return the nearest attempts at *goal*, which does not hold."""
        if (key, goal) in path or len(path) > _MAX_DEPTH:
            return []
        found = []
        clauses = [c for c in self.engine.program.clauses.get(key, ()) if c.rule is not None]
        if self._may_be_stored(key, derived=bool(clauses)):
            found.append(_Attempt((), (self._missing(key, goal),)))
        deeper = (*path, (key, goal))
        for clause in clauses:
            bindings = self._met(clause, goal)
            if bindings is not None:
                tries = self._tries(clause, bindings, clause.parts, _Attempt(), deeper)
                found += [attempt.under(clause) for attempt in tries]
        return self._nearest(found)

    def answers(self, key: str, goal: Goal) -> list[Row]:
        """Return some rows that hold and agree with *goal*."""
        args = [Free() if value is None else value for value in goal]
        try:
            rows = self.engine.rows(self.question, key, args)
        except UndecidedError as error:
            if not isinstance(error, UnboundedError):
                self.work = 0
            return []
        return sorted(islice(rows, _MAX_ROWS), key=repr)[:_MAX_BRANCHES]

    def _nearest(self, found: Iterable[_Attempt]) -> list[_Attempt]:
        nearest: dict[tuple[Failure, ...], _Attempt] = {}
        for attempt in sorted(found, key=lambda attempt: attempt.rank):
            claims = tuple(one._replace(conditions=()) for one in attempt.failed)
            nearest.setdefault(claims, attempt)
        return list(islice(nearest.values(), self.most))

    def _may_be_stored(self, key: str, *, derived: bool) -> bool:
        declared = key in self.engine.program.schema.declared
        return not derived or (declared and name_of(key) not in _NEVER_STORED)

    def _missing(self, key: str, goal: Goal) -> Failure:
        return Failure(FailureKind.MISSING, fact(name_of(key), _whole(goal)), ())

    def _met(self, clause: Clause, goal: Goal) -> dict[int, Held] | None:
        """Return the variables that *goal* binds in the head, or None if the two never meet."""
        bindings: dict[int, Held] = {}
        for arg, value in zip(clause.head, goal, strict=True):
            if value is None:
                continue
            if isinstance(arg, Const):
                if arg.value != value:
                    return None
            elif isinstance(arg, Ref) and not self._bind(clause, arg.number, value, bindings):
                return None
        return bindings

    def _bind(self, clause: Clause, number: int, value: Held, into: dict[int, Held]) -> bool:
        if kind(value) not in clause.slots[number].types:
            return False
        return into.setdefault(number, value) == value

    def _tries(
        self,
        clause: Clause,
        bindings: Bindings,
        left: Sequence[Part],
        so_far: _Attempt,
        path: tuple[tuple[str, Goal], ...],
    ) -> Iterator[_Attempt]:
        """Yield what became of the conditions *left*, most telling order first."""
        self.work -= 1
        if self.work < 0 or len(so_far.failed) > _MAX_FAILURES:
            return
        if not left:
            if so_far.failed and so_far.is_consistent:
                yield so_far
            return
        part = min(
            left, key=lambda part: (len(_unbound(part, bindings)), not isinstance(part, Atom))
        )
        rest = [other for other in left if other is not part]
        for attempt, bound in self._outcomes(clause, bindings, part, path):
            yield from self._tries(clause, bound, rest, so_far.joined(attempt), path)

    def _outcomes(
        self, clause: Clause, bindings: Bindings, part: Part, path: tuple[tuple[str, Goal], ...]
    ) -> Iterator[tuple[_Attempt, Bindings]]:
        """Yield how *part* turns out, each with the bindings to go on with."""
        place = f"{part.span.file}:{part.span.line}:{part.span.column}"
        match part:
            case Atom(predicate, args, negated=False):
                goal = tuple(self._value(arg, bindings) for arg in args)
                yield from self._atom(clause, bindings, predicate, args, goal, place, path)
            case _ if _unbound(part, bindings):
                yield _Attempt(), bindings
            case Atom():
                yield self._absence(part, bindings, place), bindings
            case _:
                yield self._comparison(part, bindings, place), bindings

    def _atom(
        self,
        clause: Clause,
        bindings: Bindings,
        predicate: str,
        args: Sequence[Arg],
        goal: Goal,
        place: str,
        path: tuple[tuple[str, Goal], ...],
    ) -> Iterator[tuple[_Attempt, Bindings]]:
        met = False
        for row in self.answers(predicate, goal):
            bound = dict(bindings)
            if all(
                not isinstance(arg, Ref)
                or isinstance(value, Anything)
                or self._bind(clause, arg.number, value, bound)
                for arg, value in zip(args, row, strict=True)
            ):
                met = True
                present = (FailureKind.PRESENT, fact(name_of(predicate), row))
                yield _Attempt(satisfied=1, relied=frozenset({present})), bound
        if not met:
            for attempt in self.attempts(predicate, goal, path):
                yield attempt.within(place), bindings

    def _absence(self, atom: Atom, bindings: Bindings, place: str) -> _Attempt:
        goal = tuple(self._value(arg, bindings) for arg in atom.args)
        rows = self.answers(atom.predicate, goal)
        if not rows:
            absent = (FailureKind.MISSING, fact(name_of(atom.predicate), _whole(goal)))
            return _Attempt(satisfied=1, relied=frozenset({absent}))
        claim = fact(name_of(atom.predicate), rows[0])
        return _Attempt((), (Failure(FailureKind.PRESENT, claim, (place,)),))

    def _comparison(self, part: Part, bindings: Bindings, place: str) -> _Attempt:
        values = [self._value(arg, bindings) for arg in args_of(part)]
        if isinstance(part, Comparison):
            left, right = values
            held_ = isinstance(left, int) and isinstance(right, int)
            if held_ and COMPARE[part.operator](left, right):
                return _Attempt(satisfied=1)
            claim = fact(part.operator, tuple(value for value in values if value is not None))
        elif isinstance(part, OneOf):
            if values[0] in part.options:
                return _Attempt(satisfied=1)
            claim = fact("in", (*(value for value in values if value is not None), *part.options))
        return _Attempt((), (Failure(FailureKind.COMPARISON, claim, (place,)),))

    def _value(self, arg: Arg, bindings: Bindings) -> Held | None:
        match arg:
            case Const(value):
                return value
            case Ref(number):
                return bindings.get(number)
            case Clock():
                return self.question.now


def _whole(goal: Goal) -> Row:
    return tuple(Anything("value") if value is None else value for value in goal)


def _unbound(part: Part, bindings: Bindings) -> set[int]:
    return refs_of(args_of(part)) - set(bindings)
