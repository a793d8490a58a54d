"""What could be allowed for some arguments: a `possible_` copy of every rule that tests them.

The copy leaves out the argument tests, and the comparisons, negations and calls that then lack a
value, so it holds whenever some call could be allowed. It may hold a little more often: where two
tests contradict each other, the item is listed and every call of it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policies.polar.clauses import Atom, Clause, Comparison, Part, args_of, refs_of
from policies.polar.modes import NOWHERE, Modes, find_modes

POSSIBLE = "possible_"

COMPLEMENTS = {
    "argument_matches": "argument_not_matches",
    "argument_under": "argument_not_under",
    "argument_host": "argument_not_host",
}
TESTS = frozenset(
    {"argument_present/2", "argument/3"}
    | {f"{name}/3" for pair in COMPLEMENTS.items() for name in pair}
)
"""The predicates that are tests of a call's arguments, as `name/arity`."""

Clauses = Mapping[str, Sequence[Clause]]


def dependents(clauses: Clauses) -> set[str]:
    """Return the predicates that some argument test decides, directly or through others."""
    callers: dict[str, set[str]] = {}
    for predicate, alternatives in clauses.items():
        for clause in alternatives:
            for part in clause.parts:
                if isinstance(part, Atom):
                    callers.setdefault(part.predicate, set()).add(predicate)
    found: set[str] = set()
    waiting = [caller for test in TESTS for caller in callers.get(test, ())]
    while waiting:
        predicate = waiting.pop()
        if predicate not in found:
            found.add(predicate)
            waiting.extend(callers.get(predicate, ()))
    return found


def possible_clauses(clauses: Clauses) -> dict[str, tuple[Clause, ...]]:
    """Return the derived rules, by their own predicates."""
    tested = dependents(clauses)
    modes = find_modes(clauses)
    copies = {
        POSSIBLE + predicate: [_copy(clause, tested) for clause in clauses[predicate]]
        for predicate in sorted(tested)
    }
    originals = {
        POSSIBLE + predicate: [modes.demanded(clause) for clause in clauses[predicate]]
        for predicate in tested
    }
    while _loosen(copies, originals, find_modes({**clauses, **copies})):
        pass
    return {predicate: tuple(alternatives) for predicate, alternatives in copies.items()}


def _copy(clause: Clause, tested: set[str]) -> Clause:
    """Return *clause* without argument tests, asking the copies of what depends on them."""
    parts: list[Part] = []
    for part in clause.parts:
        if not isinstance(part, Atom) or part.predicate not in tested | TESTS:
            parts.append(part)
        elif part.predicate in tested and not part.negated:
            parts.append(replace(part, predicate=POSSIBLE + part.predicate))
    return replace(clause, predicate=POSSIBLE + clause.predicate, parts=tuple(parts))


def _loosen(
    copies: dict[str, list[Clause]], originals: Mapping[str, list[set[int]]], modes: Modes
) -> bool:
    """Drop from *copies* what needs a value that nothing binds any more; return whether any was."""
    changed = False
    for predicate, alternatives in copies.items():
        for index, clause in enumerate(alternatives):
            lost = modes.demanded(clause) - originals[predicate][index]
            if lost:
                kept = tuple(part for part in clause.parts if not _needs(part, modes) & lost)
                alternatives[index] = replace(clause, parts=kept)
                changed = True
    return changed


def _needs(part: Part, modes: Modes) -> set[int]:
    """Return the variables that *part* cannot do without."""
    match part:
        case Comparison() | Atom(negated=True):
            return refs_of(args_of(part))
        case Atom(predicate, args):
            return refs_of(args[place] for place in modes.needed.get(predicate, NOWHERE))
    return set()
