"""Checks on items and rules as they are written: names, arities, variables, portability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from policies.model import Entity
from policies.polar.blocks import RELATED
from policies.polar.negation import terms_of
from policies.polar.possible import POSSIBLE
from policies.polar.schema import Supplied
from policies.polar.source import Problem, Severity, Span
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import (
    And,
    Assertion,
    Call,
    Compare,
    Declare,
    Expression,
    Fixture,
    Literal,
    Matches,
    Member,
    Module,
    Not,
    Or,
    Parameter,
    PolicyTest,
    Rule,
    RuleType,
    Term,
    Truth,
    Variable,
)
from policies.polar.types import Types, unknown_type


def walk(expression: Expression | None) -> Iterator[Expression]:
    """Yield *expression* and every condition inside it, in reading order."""
    if expression is None:
        return
    yield expression
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from walk(part)
        case Not(body):
            yield from walk(body)


def check_items(modules: Sequence[Module], types: Types, problems: list[Problem]) -> None:
    """Check what stands at the top level beside blocks and rules."""
    items = [item for module in modules for item in module.items]
    for declare in (item for item in items if isinstance(item, Declare)):
        problems.extend(
            unknown_type(word.text, word.span, types.below)
            for word in declare.types
            if word.text not in types.below
        )
    for item in items:
        if isinstance(item, RuleType):
            message = (
                "rule types add nothing to what `declare` and typed parameters say; remove this."
            )
            problems.append(Problem("rule-type", message, item.span, Severity.WARNING))
    fixtures = [item for item in items if isinstance(item, Fixture)]
    tests = [item for item in items if isinstance(item, PolicyTest)]
    _check_unique("fixture", fixtures, problems)
    _check_unique("test", tests, problems)
    for fixture in fixtures:
        for fact in fixture.facts:
            _check_terms(fact.args, types, problems)
    known = {fixture.name for fixture in fixtures}
    for test in tests:
        _check_test(test, known, types, problems)


def _check_unique(
    kind: str, items: Iterable[Fixture | PolicyTest], problems: list[Problem]
) -> None:
    seen: dict[str, Span] = {}
    for item in items:
        if item.name in seen:
            message = f"there is already a {kind} of this name at {seen[item.name]}; rename one."
            problems.append(Problem(f"duplicate-{kind}", message, item.span, text=item.name))
        seen.setdefault(item.name, item.span)


def _check_test(
    test: PolicyTest, fixtures: set[str], types: Types, problems: list[Problem]
) -> None:
    for step in test.setup:
        if isinstance(step, Call):
            _check_terms(step.args, types, problems)
        elif step.name not in fixtures:
            message = (
                f"there is no fixture `{step.name}`; write `test fixture {step.name} {{ ... }}`."
            )
            hint = did_you_mean(step.name, fixtures)
            problems.append(
                Problem("unknown-fixture", message, step.span, hint=hint, text=step.name)
            )
    for assertion in test.assertions:
        _check_parameters(assertion.parameters, types, problems)
        _check_assertion(assertion, problems)
        for part in walk(assertion.iff):
            _check_part(part, types, problems)


def _check_assertion(assertion: Assertion, problems: list[Problem]) -> None:
    """`iff` lists the answers for the variables of the goal, and for no others."""
    free = {p.term.name for p in assertion.parameters if isinstance(p.term, Variable)}
    if assertion.iff is None:
        return
    if assertion.negated:
        message = "`iff` lists all answers, so it goes with `assert`, not with `assert_not`."
        problems.append(Problem("bad-iff", message, assertion.span))
    for part in walk(assertion.iff):
        if not isinstance(part, And | Or | Truth | Member) and not (
            isinstance(part, Compare) and part.operator == "="
        ):
            message = 'after `iff`, list the answers: `action in ["read", "write"]`.'
            problems.append(Problem("bad-iff", message, part.span))
            return
    for term in terms_of(assertion.iff):
        if isinstance(term, Variable) and term.name not in free:
            message = f"`{term.name}` is not a variable of the assertion."
            hint = did_you_mean(term.name, free)
            problems.append(
                Problem("unbound-variable", message, term.span, hint=hint, text=term.name)
            )


def check_rules(
    rules: Sequence[Rule],
    types: Types,
    supplied: Supplied,
    problems: list[Problem],
    *,
    portable: bool,
) -> list[Rule]:
    """Check each rule on its own, and return those that may be looked at further."""
    sound = []
    for rule in rules:
        found: list[Problem] = []
        _check_name(rule, supplied, found)
        _check_parameters(rule.parameters, types, found)
        for part in walk(rule.body):
            _check_part(part, types, found)
            if portable:
                _check_portable(part, found)
        _check_occurrences(rule, found)
        # A relation to no type was told where it is declared, not wherever a shorthand uses it.
        told = [one for one in found if not (rule.shorthand and one.code == "undeclared-type")]
        problems.extend(told)
        if all(problem.severity is Severity.WARNING for problem in found):
            sound.append(rule)
    return sound


def _check_name(rule: Rule, supplied: Supplied, problems: list[Problem]) -> None:
    if rule.predicate.startswith(POSSIBLE):
        message = f"names that begin with `{POSSIBLE}` are those of derived rules; choose another."
        problems.append(Problem("reserved-name", message, rule.span, text=rule.predicate))
    if f"{rule.predicate}/{len(rule.parameters)}" in supplied:
        message = (
            f"`{rule.predicate}` is supplied by the gateway for each call; a rule may ask for it "
            "but not define it."
        )
        problems.append(Problem("reserved-name", message, rule.span, text=rule.predicate))


def _check_parameters(
    parameters: Iterable[Parameter], types: Types, problems: list[Problem]
) -> None:
    for parameter in parameters:
        if parameter.type is not None and parameter.type not in types.below:
            problems.append(unknown_type(parameter.type, parameter.span, types.below))
        _check_terms([parameter.term], types, problems)


def _check_part(part: Expression, types: Types, problems: list[Problem]) -> None:
    if isinstance(part, Matches) and part.type not in types.below:
        problems.append(unknown_type(part.type, part.span, types.below))
    if isinstance(part, Call | Compare | Member):
        _check_terms(terms_of(part), types, problems)


def _check_terms(terms: Iterable[Term], types: Types, problems: list[Problem]) -> None:
    for term in terms:
        if isinstance(term, Literal) and isinstance(term.value, Entity):
            name = term.value.type
            if name not in types.blocks or not name:
                problems.append(unknown_type(name, term.span, types.blocks))


def _check_portable(part: Expression, problems: list[Problem]) -> None:
    """Refuse what Oso documents differently, or not at all."""
    match part:
        case Not(body) if not isinstance(body, Call):
            message = (
                "only a single fact can be negated; give the inside a name, or negate its parts."
            )
            problems.append(Problem("not-portable", message, part.span))
        case Not(Call(_, args)) if any(
            isinstance(arg, Variable) and arg.name == "_" for arg in args
        ):
            message = "a negated fact needs a bound variable or a value in each place, not `_`."
            problems.append(Problem("not-portable", message, part.span))
        case Member(_, options):
            others = [
                o for o in options if not (isinstance(o, Literal) and isinstance(o.value, str))
            ]
            if others:
                message = "a list after `in` holds strings; write the others with `=` and `or`."
                problems.append(Problem("not-portable", message, others[0].span))


def _check_occurrences(rule: Rule, problems: list[Problem]) -> None:
    """Tell of variables that occur once: they say nothing, and are most often misspelt."""
    head = [p.term for p in rule.parameters if isinstance(p.term, Variable)]
    body = [term for term in terms_of(rule.body) if isinstance(term, Variable)]
    uses = Counter(term.name for term in (*head, *body))
    for term in (*head, *body):
        if uses[term.name] != 1 or term.name.startswith("_"):
            continue
        if rule.shorthand and (term in head or RELATED in term.name):
            continue
        others = [name for name in uses if name != term.name]
        hint = did_you_mean(term.name, others)
        if term in head:
            message = (
                f"`{term.name}` is not used in the body, so any value will do; write `_` if so."
            )
            severity = Severity.WARNING
        else:
            message = f"`{term.name}` occurs only once; write `_` if any value will do."
            severity = Severity.ERROR
        problems.append(
            Problem("singleton-variable", message, term.span, severity, hint, term.name)
        )
