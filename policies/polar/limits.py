"""Limits that limit nothing: a condition whose rule another rule makes superfluous.

`"call" if "caller";` beside `has_permission(c, "call", t) if has_role(c, "caller", t) and small(t)`
leaves `small` without effect. Whether that is so is asked of the rules themselves: take the other
conditions of the rule as facts, leave the limit and the rule out, and see whether its head still
follows. What a negation or comparison needs counts as given only where the rule itself says it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from policies.model import Entity, StepKind
from policies.polar.clauses import (
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
    facts_clause,
)
from policies.polar.compiler import Compiler
from policies.polar.plan import Given, Shape
from policies.polar.possible import POSSIBLE, TESTS, dependents
from policies.polar.proofs import proof_of
from policies.polar.runtime import Limits, Node, Question, UndecidedError
from policies.polar.source import NOWHERE, Problem, Severity
from policies.polar.tables import EMPTY
from policies.polar.values import TRUE, Held, Row, kind

Clauses = Mapping[str, Sequence[Clause]]

Head = tuple[tuple[frozenset[str], str | None], ...]
"""The form of a head: for each argument its types, and the string it must be, if any."""

_CLOCK = 2**62
_LIMITS = Limits(steps=20_000, seconds=0.5)
_PERMISSION, _ALLOW = "has_permission/3", "allow/3"


def limits_without_effect(clauses: Clauses, every: frozenset[str]) -> Iterator[Problem]:
    """Yield a warning for each rule that has a limit which another rule lifts."""
    written = {
        predicate: [clause for clause in alternatives if clause.rule is not None]
        for predicate, alternatives in clauses.items()
        if not predicate.startswith(POSSIBLE)
    }
    tested = dependents(written) | TESTS
    rules = _numbered(clause for alternatives in written.values() for clause in alternatives)
    study = _Study(written, rules, every)
    told: set[int] = set()
    for alternatives in written.values():
        for clause in alternatives:
            number = rules[_identity(clause)]
            for part in clause.parts:
                if number not in told and _is_limit(part, tested):
                    lifted_by = study.lifted_by(clause, part)
                    if lifted_by:
                        told.add(number)
                        yield _problem(part, lifted_by)


def _problem(part: Part, rule: str) -> Problem:
    message = (
        f"this limit has no effect: {rule} allows the same without it. Put the limit there too, "
        "or remove that rule."
    )
    return Problem("limit-has-no-effect", message, part.span, Severity.WARNING)


def _is_limit(part: Part, tested: set[str]) -> bool:
    match part:
        case Comparison():
            return True
        case Atom(predicate, negated=negated):
            return negated or predicate in tested
        case OneOf():
            return False


def _identity(clause: Clause) -> int:
    return id(clause.rule)


def _numbered(clauses: Iterable[Clause]) -> dict[int, int]:
    numbers: dict[int, int] = {}
    for clause in clauses:
        numbers.setdefault(_identity(clause), len(numbers))
    return numbers


class _Study:
    """The program with every negation and comparison made a fact, and a switch on every rule."""

    def __init__(self, clauses: Clauses, rules: Mapping[int, int], every: frozenset[str]) -> None:
        self.rules = rules
        switched = {
            predicate: (
                facts_clause(predicate, predicate, every),
                *(self._switched(clause) for clause in alternatives),
            )
            for predicate, alternatives in clauses.items()
        }
        parts = [part for found in switched.values() for clause in found for part in clause.parts]
        atoms = {part.predicate for part in parts if isinstance(part, Atom)}
        self.tables = sorted({name.removeprefix(FACTS) for name in atoms} | set(switched))
        self.numbers = {name: number for number, name in enumerate(self.tables)}
        self.heads = {predicate: _heads(found) for predicate, found in clauses.items()}
        self.compiler = Compiler(switched, every, self.tables)

    def _switched(self, clause: Clause) -> Clause:
        switch = Atom(f"on:{self.rules[_identity(clause)]}/0", (), NOWHERE)
        parts = [_as_fact(part) if not isinstance(part, OneOf) else part for part in clause.parts]
        return replace(clause, parts=(switch, *parts))

    def lifted_by(self, clause: Clause, limit: Part) -> str | None:
        """Return the place of a rule by which the head of *clause* holds without *limit*.

        Only rules for the same predicate can lift a limit, and `allow` one on a permission; each is
        tried with values of the types that it and *clause* both accept.
        """
        goals = [clause.predicate]
        if clause.predicate == _PERMISSION and _ALLOW in self.heads:
            goals.append(_ALLOW)
        met = {
            (goal, values): None
            for goal in goals
            for head, rules in self.heads[goal].items()
            if rules != {_identity(clause)} and (values := _common(clause, head)) is not None
        }
        found = (self._holds(clause, limit, goal, values) for goal, values in met)
        return next((rule for rule in found if rule), None)

    def _holds(self, clause: Clause, limit: Part, goal: str, values: Row) -> str | None:
        frozen = [
            (_as_fact(part).predicate, tuple(_value(arg, values) for arg in args_of(part)))
            for part in clause.parts
            if part is not limit and not isinstance(part, OneOf)
        ]
        own = self.rules[_identity(clause)]
        switches = {f"on:{number}/0" for number in self.rules.values()} - {f"on:{own}/0"}
        over: list[dict[Row, str] | None] = [None] * len(self.tables)
        for predicate, row in [*frozen, *((name, ()) for name in switches)]:
            number = self.numbers[predicate]
            rows = over[number] or {}
            rows[row] = ""
            over[number] = rows
        question = Question([EMPTY] * len(self.tables), over, _CLOCK, _LIMITS)
        return self._ask(question, goal, tuple(_value(arg, values) for arg in clause.head))

    def _ask(self, question: Question, predicate: str, row: Row) -> str | None:
        shape = Shape(predicate, tuple(Given(frozenset({kind(value)})) for value in row))
        try:
            node: Node | None = self.compiler.function(shape)(question, *row)
        except UndecidedError:
            return None
        if node is None:
            return None
        goal = proof_of(node, lambda _table, _row: "").goal
        return goal.source if goal.kind is StepKind.RULE else None


def _as_fact(part: Atom | Comparison) -> Atom:
    if isinstance(part, Comparison):
        return Atom(f"{part.operator}/2", (part.left, part.right), part.span)
    if part.negated:
        return Atom(f"not:{part.predicate}", part.args, part.span)
    return part


def _value(arg: Arg, values: Sequence[Held]) -> Held:
    match arg:
        case Const(value):
            return value
        case Ref(number):
            return values[number]
        case Clock():
            return _CLOCK


def _heads(clauses: Iterable[Clause]) -> dict[Head, set[int]]:
    """Return the forms that the heads of written rules take, with the rules of each."""
    found: dict[Head, set[int]] = {}
    for clause in clauses:
        if clause.rule is not None and clause.rule.span != NOWHERE:
            head = tuple(_accepted(clause, arg) for arg in clause.head)
            found.setdefault(head, set()).add(_identity(clause))
    return found


def _accepted(clause: Clause, arg: Arg) -> tuple[frozenset[str], str | None]:
    """Return the types that *arg* of a head accepts, and the string if it is one."""
    match arg:
        case Ref(number):
            return clause.slots[number].types, None
        case Const(value):
            return frozenset({kind(value)}), value if isinstance(value, str) else None
        case Clock():
            return frozenset({"Integer"}), None


def _common(clause: Clause, rival: Head) -> Row | None:
    """Return values for the variables of *clause* such that its head meets *rival*.

    They are stand-ins, but for a string that *rival* names: where it is about one action, the
    limit on all actions is lifted for that one.
    """
    types = [slot.types for slot in clause.slots]
    named: dict[int, Held] = {}
    for arg, (accepted, text) in zip(clause.head, rival, strict=True):
        if isinstance(arg, Ref):
            types[arg.number] &= accepted
            if text is not None:
                named[arg.number] = text
        elif isinstance(arg, Const) and kind(arg.value) not in accepted:
            return None
    if not all(types):
        return None
    return tuple(named.get(n, _stand_in(n, min(allowed))) for n, allowed in enumerate(types))


def _stand_in(number: int, type_: str) -> Held:
    """Return a value of *type_* that nothing else in the policy is."""
    if type_ == "String":
        return f"\0{number}"
    if type_ == "Integer":
        return _CLOCK + 1 + number
    return TRUE if type_ == "Boolean" else Entity(type_, f"\0{number}")
