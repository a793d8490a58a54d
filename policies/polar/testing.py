"""Runs the tests that policy files hold, and finds what in the policy no test exercises."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from policies.model import (
    Answer,
    Fact,
    Failure,
    FailureKind,
    Proof,
    StepKind,
    Value,
    type_name,
    written,
)
from policies.polar.answers import UnlistedError, binding_of, listed
from policies.polar.engine import Engine, Free
from policies.polar.misses import nearest_misses
from policies.polar.possible import POSSIBLE
from policies.polar.program import Program
from policies.polar.reports import (
    ConditionCoverage,
    Coverage,
    FailedAssertion,
    Report,
    RuleCoverage,
    TestResult,
)
from policies.polar.runtime import Limits, Overlay, UndecidedError
from policies.polar.soundness import ground_fact
from policies.polar.source import DEFAULT, Span
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import (
    Assertion,
    Call,
    Literal,
    Parameter,
    PolicyTest,
    Rule,
    Variable,
)
from policies.polar.values import Row, held, told

_MOST_SHOWN = 20
_MISSES_SHOWN = 3
_MISSES_COUNTED = 24


def run_tests(
    program: Program,
    limits: Limits | None = None,
    only: str | None = None,
    *,
    now: int | None = None,
    conditions: bool = True,
) -> Report:
    """Run the tests of *program*, or the one called *only*, and report on them.

    A test sees the facts of its setup and those that the policy states, nothing else. *limits* are
    those of each question an assertion asks; *now* is what `@current_unix_time` is, by default the
    clock's. Without *conditions* the coverage lists rules alone, which takes far less time. Raise
    `LookupError` if no test is called *only*.
    """
    moment = int(time.time()) if now is None else now
    run = _Run(Engine(program, {}, limits), moment, conditions=conditions)
    results = tuple(run.result(test) for test in _chosen(program, only))
    return Report(results, run.coverage())


def _chosen(program: Program, only: str | None) -> list[PolicyTest]:
    tests = [test for test in program.tests if only in (None, test.name)]
    if only is not None and not tests:
        names = [test.name for test in program.tests]
        raise LookupError(f"no test is called {written(only)}. {did_you_mean(only, names)}".strip())
    return tests


@dataclass(frozen=True, slots=True)
class _Goal:
    """The question an assertion asks."""

    predicate: str
    args: tuple[Value | Free, ...]
    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, assertion: Assertion, now: int) -> _Goal:
        args = tuple(_argument(parameter, now) for parameter in assertion.parameters)
        return cls(assertion.predicate, args, assertion.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        """The variable at each place; empty where there is none, or one without a name."""
        terms = (parameter.term for parameter in self.parameters)
        return tuple(
            term.name if isinstance(term, Variable) and term.name != "_" else "" for term in terms
        )

    @property
    def variables(self) -> dict[str, str | None]:
        """The variables with their types, by first occurrence."""
        found: dict[str, str | None] = {}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            if name and found.get(name) is None:
                found[name] = parameter.type
        return found

    def __str__(self) -> str:
        return _head(self.predicate, self.parameters)


def _argument(parameter: Parameter, now: int) -> Value | Free:
    match parameter.term:
        case Literal(value):
            return value
        case Variable():
            return Free(parameter.type)
        case _:
            return now


def _head(predicate: str, parameters: Iterable[Parameter]) -> str:
    return f"{predicate}({', '.join(map(_parameter, parameters))})"


def _parameter(parameter: Parameter) -> str:
    match parameter.term:
        case Literal(value):
            return written(value)
        case Variable(name):
            return f"{name}: {parameter.type}" if parameter.type else name
        case _:
            return "@current_unix_time"


@dataclass(slots=True)
class _Run:
    """One run over tests, with what they have exercised so far."""

    engine: Engine
    now: int
    conditions: bool
    proved: set[tuple[str, Fact]] = field(default_factory=set)
    decisive: set[str] = field(default_factory=set)

    def result(self, test: PolicyTest) -> TestResult:
        start = time.perf_counter()
        own = self.engine.overlay(_setup(self.engine.program, test))
        checked = [self._checked(assertion, own) for assertion in test.assertions]
        failures = tuple(failure for failure in checked if failure is not None)
        return TestResult(test.name, test.span, failures, time.perf_counter() - start)

    def _checked(self, assertion: Assertion, own: Overlay) -> FailedAssertion | None:
        goal = _Goal.of(assertion, self.now)
        try:
            said = self._failure(assertion, goal, own)
        except UndecidedError as error:
            said = (f"`{goal}` could not be decided: {error}.",)
        return FailedAssertion(assertion.span, said[0], tuple(said[1:])) if said else None

    def _failure(self, assertion: Assertion, goal: _Goal, own: Overlay) -> Sequence[str]:
        """Return what is wrong: a sentence, then details; nothing if the assertion is true."""
        found = [
            (row, ruling.proof)
            for row, ruling in self.engine.explain(goal.predicate, goal.args, own, self.now)
            if binding_of(goal.names, row) is not None
        ]
        rows = [row for row, _ in found]
        proofs = [proof for _, proof in found if proof]
        for proof in proofs:
            steps = (step for step in proof.steps if step.kind is StepKind.RULE)
            self.proved.update((step.source, step.claim) for step in steps)
        if assertion.iff is not None:
            return self._differing(assertion, goal, rows)
        if assertion.negated:
            if rows:
                return _held_after_all(goal, rows, proofs)
            if self.conditions:
                self._remember_reasons(goal, own)
            return ()
        return () if rows else self._held_not(goal, own)

    def _differing(
        self, assertion: Assertion, goal: _Goal, rows: Iterable[Sequence[Answer]]
    ) -> Sequence[str]:
        bindings = [binding_of(goal.names, row) for row in rows]
        found = {tuple(binding.values()) for binding in bindings if binding is not None}
        try:
            wanted = set(listed(assertion.iff, goal.variables, self.now))
        except UnlistedError as error:
            return (f"`{goal}` cannot be compared: {error}",)
        if found == wanted:
            return ()
        return (
            f"`{goal}` does not have exactly the answers that the test lists.",
            *_shown("missing", goal, wanted - found),
            *_shown("unexpected", goal, found - wanted),
        )

    def _held_not(self, goal: _Goal, own: Overlay) -> Sequence[str]:
        misses = nearest_misses(
            self.engine, goal.predicate, goal.args, own, self.now, most=_MISSES_SHOWN
        )
        lacks = [" and ".join(map(_lack, miss.failed)) for miss in misses]
        return (
            f"`{goal}` was expected to hold, but nothing makes it hold.",
            *(f"it would hold if {lack}" for lack in lacks),
        )

    def _remember_reasons(self, goal: _Goal, own: Overlay) -> None:
        """Note the conditions each of which alone stands between the denial and an allow."""
        misses = nearest_misses(
            self.engine, goal.predicate, goal.args, own, self.now, most=_MISSES_COUNTED
        )
        alone = (miss.failed[0] for miss in misses if len(miss.failed) == 1)
        self.decisive.update(place for failure in alone for place in failure.conditions)

    def coverage(self) -> Coverage:
        conditions = _conditions(self.engine.program) if self.conditions else {}
        claims: dict[str, list[Fact]] = {}
        for source, claim in self.proved:
            claims.setdefault(source, []).append(claim)
        rules = []
        for rule in sorted(_written(self.engine.program), key=lambda rule: rule.span):
            proved = any(self._is_about(rule, claim) for claim in claims.get(str(rule.span), ()))
            checked = tuple(
                ConditionCoverage(span, _place(span) in self.decisive)
                for span in sorted(conditions.get(rule.span, ()))
            )
            label = _head(rule.predicate, rule.parameters)
            rules.append(RuleCoverage(rule.span, label, proved, checked))
        return Coverage(tuple(rules))

    def _is_about(self, rule: Rule, claim: Fact) -> bool:
        """Tell whether *claim* can be what *rule* concludes, as several rules may share a line."""
        if (rule.predicate, len(rule.parameters)) != (claim.predicate, len(claim.args)):
            return False
        below = self.engine.program.types.below
        for parameter, value in zip(rule.parameters, claim.args, strict=True):
            if parameter.type is not None and type_name(value) not in below[parameter.type]:
                return False
            if isinstance(parameter.term, Literal) and held(parameter.term.value) != held(value):
                return False
        return True


def _setup(program: Program, test: PolicyTest) -> Iterator[tuple[Fact, str]]:
    for step in test.setup:
        calls = (step,) if isinstance(step, Call) else program.fixtures[step.name].facts
        yield from ((ground_fact(call), str(call.span)) for call in calls)


def _written(program: Program) -> list[Rule]:
    return [
        rule
        for rule in program.rules
        if rule.span.file != DEFAULT and not (rule.body is None and _is_ground(rule))
    ]


def _is_ground(rule: Rule) -> bool:
    return all(isinstance(parameter.term, Literal) for parameter in rule.parameters)


def _conditions(program: Program) -> Mapping[Span, set[Span]]:
    """Return the places of the conditions of each rule, by the rule's place."""
    found: dict[Span, set[Span]] = {}
    for predicate, clauses in program.clauses.items():
        for clause in clauses:
            if clause.rule is not None and not predicate.startswith(POSSIBLE):
                spans = {part.span for part in clause.parts} - {clause.rule.span}
                found.setdefault(clause.rule.span, set()).update(spans)
    return found


def _place(span: Span) -> str:
    return f"{span.file}:{span.line}:{span.column}"


def _lack(failure: Failure) -> str:
    place = f" ({failure.conditions[-1]})" if failure.conditions else ""
    match failure.kind:
        case FailureKind.MISSING:
            return f"there were {failure.claim}{place}"
        case FailureKind.PRESENT:
            return f"there were no {failure.claim}{place}"
        case FailureKind.COMPARISON:
            return f"{_compared(failure.claim)} were true{place}"


def _compared(claim: Fact) -> str:
    left, *right = map(written, claim.args)
    if claim.predicate == "in":
        return f"{left} in [{', '.join(right)}]"
    return " ".join((left, claim.predicate, *right))


def _held_after_all(
    goal: _Goal, rows: Sequence[Sequence[Answer]], proofs: Sequence[Proof]
) -> Sequence[str]:
    lines = []
    for row, proof in zip(rows, proofs, strict=True):
        rules = [source for source in proof.rules if source != DEFAULT]
        facts = [step.source for step in proof.steps if step.kind is StepKind.FACT]
        answer = f"{Fact(goal.predicate, tuple(row))} " if goal.variables else ""
        lines.append(f"{answer}holds by {', '.join(rules or facts)}")
    return (f"`{goal}` was expected not to hold, but it does.", *_cut(lines))


def _shown(word: str, goal: _Goal, answers: Iterable[Row]) -> Iterator[str]:
    names = goal.variables
    lines = (
        ", ".join(
            f"{name} = {written(told(value))}" for name, value in zip(names, row, strict=True)
        )
        for row in answers
    )
    return _cut([f"{word}: {line or 'yes'}" for line in sorted(lines)])


def _cut(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_MOST_SHOWN]
    if len(lines) > _MOST_SHOWN:
        yield f"... and {len(lines) - _MOST_SHOWN} more"
