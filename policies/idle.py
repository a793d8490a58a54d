"""Which rules of a policy decided nothing, and which parts of the others never mattered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.model import written
from policies.polar.clauses import Arg, Clause, Const, Ref
from policies.polar.source import DEFAULT, Span
from policies.polar.syntax import Rule
from policies.polar.values import told
from policies.usage import Usage


@dataclass(frozen=True, slots=True)
class RuleUse:
    """How a rule was used.

    Of one that decided something, `branches` are the first conditions of alternatives that no proof
    took, and `conditions` those that no denial rested on alone.
    """

    span: Span
    head: str
    is_used: bool
    branches: tuple[Span, ...] = ()
    conditions: tuple[Span, ...] = ()


def rules_used(usage: Usage) -> list[RuleUse]:
    """Return every written rule of the policy in force, in reading order."""
    used = frozenset(clause for use in usage.uses for clause in use.clauses)
    decisive = frozenset(place for use in usage.uses for place in use.decisive)
    rules: dict[Rule, list[Clause]] = {}
    for clause in usage.alternatives.all:
        if clause.rule is not None and clause.rule.span.file != DEFAULT:
            rules.setdefault(clause.rule, []).append(clause)
    found = []
    for rule, clauses in sorted(rules.items(), key=lambda one: one[0].span):
        taken = [clause for clause in clauses if clause in used]
        head = _head(clauses[0])
        if not taken:
            found.append(RuleUse(rule.span, head, is_used=False))
            continue
        left = [clause for clause in clauses if clause not in used]
        idle = [span for span in _spans(taken, rule) if place(span) not in decisive]
        found.append(
            RuleUse(rule.span, head, True, tuple(_branches(left, taken, rule)), tuple(idle))  # noqa: FBT003  named in the class
        )
    return found


def place(span: Span) -> str:
    return f"{span.file}:{span.line}:{span.column}"


def _branches(left: Sequence[Clause], taken: Sequence[Clause], rule: Rule) -> list[Span]:
    """Return the first condition of each of *left* that none of *taken* has."""
    known = set(_spans(taken, rule))
    own = ([span for span in _spans([clause], rule) if span not in known] for clause in left)
    return sorted({spans[0] for spans in own if spans})


def _spans(clauses: Iterable[Clause], rule: Rule) -> list[Span]:
    return sorted({part.span for clause in clauses for part in clause.parts} - {rule.span})


def _head(clause: Clause) -> str:
    predicate = clause.predicate.partition("/")[0]
    return f"{predicate}({', '.join(_word(clause, arg) for arg in clause.head)})"


def _word(clause: Clause, arg: Arg) -> str:
    match arg:
        case Const(value):
            return written(told(value))
        case Ref(number):
            return clause.slots[number].name
    return "_"
