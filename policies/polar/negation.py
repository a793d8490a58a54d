"""Negation of more than one fact, as a rule of its own.

`not (a(x) and b(x, y))` means that no y makes the inside hold. The inside becomes a rule over the
variables it shares with its surroundings, and what is negated is that rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from policies.polar.syntax import (
    And,
    Call,
    Compare,
    Expression,
    Matches,
    Member,
    Not,
    Or,
    Parameter,
    Rule,
    Term,
    Variable,
)


def lift_negations(rules: Sequence[Rule]) -> list[Rule]:
    """Return *rules* so that only calls are negated whose variables all occur outside as well."""
    done: list[Rule] = []
    waiting = list(reversed(rules))
    while waiting:
        rule = waiting.pop()
        added: list[Rule] = []
        if rule.body is not None:
            rule = replace(rule, body=_Lifting(rule, added).lifted(rule.body))
        done.append(rule)
        waiting += added
    return done


class _Lifting:
    def __init__(self, rule: Rule, added: list[Rule]) -> None:
        self.rule = rule
        self.added = added
        outside = [parameter.term for parameter in rule.parameters]
        self.occurrences = Counter(_names([*outside, *terms_of(rule.body)]))

    def lifted(self, body: Expression) -> Expression:
        match body:
            case And(parts, span):
                return And(tuple(map(self.lifted, parts)), span)
            case Or(parts, span):
                return Or(tuple(map(self.lifted, parts)), span)
            case Not(inner) if not self._is_plain(inner):
                return self._extracted(body)
        return body

    def _is_plain(self, inner: Expression) -> bool:
        return isinstance(inner, Call) and not self._local(inner)

    def _local(self, inner: Expression) -> set[str]:
        """Return the variables that occur nowhere but in *inner*."""
        inside = Counter(_names(terms_of(inner)))
        return {
            name for name, uses in inside.items() if name == "_" or uses == self.occurrences[name]
        }

    def _extracted(self, negation: Not) -> Not:
        inner, span = negation.body, negation.span
        shared = sorted(set(_names(terms_of(inner))) - self._local(inner))
        name = f"not#{span.file}#{span.line}#{span.column}"
        variables = [Variable(variable, span) for variable in shared]
        parameters = tuple(Parameter(variable, None, span) for variable in variables)
        self.added.append(Rule(name, parameters, inner, span, shorthand=True))
        return Not(Call(name, tuple(variables), span), span)


def terms_of(expression: Expression | None) -> Iterator[Term]:
    """Yield the terms of *expression* in reading order, those under `not` too."""
    match expression:
        case Call(args=args):
            yield from args
        case Compare(left=left, right=right):
            yield from (left, right)
        case Member(term, options):
            yield from (term, *options)
        case Matches(variable):
            yield variable
        case Not(body):
            yield from terms_of(body)
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms_of(part)


def _names(terms: Iterable[Term]) -> list[str]:
    return [term.name for term in terms if isinstance(term, Variable)]
