"""What could be allowed for some arguments: a `possible_` copy of every rule that tests them.

The copy leaves out the argument tests, and the comparisons, negations and calls that then lack a
value, so it holds whenever some call could be allowed. It may hold a little more often: where two
tests contradict each other, the item is listed and every call of it is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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

_MAX_ROUNDS = 100


def dependents(clauses: Clauses, tests: Collection[str] = TESTS) -> set[str]:
    """Return the predicates that one of *tests* decides, directly or through others."""
    callers: dict[str, set[str]] = {}
    for predicate, alternatives in clauses.items():
        for clause in alternatives:
            for part in clause.parts:
                if isinstance(part, Atom):
                    callers.setdefault(part.predicate, set()).add(predicate)
    found: set[str] = set()
    waiting = [caller for test in tests for caller in callers.get(test, ())]
    while waiting:
        predicate = waiting.pop()
        if predicate not in found:
            found.add(predicate)
            waiting.extend(callers.get(predicate, ()))
    return found


def possible_clauses(
    clauses: Clauses, tests: Collection[str] = TESTS
) -> dict[str, tuple[Clause, ...]]:
    """Return the derived rules, by their own predicates, in which none of *tests* is asked for."""
    copies = _Copies(clauses, dependents(clauses, tests), tests)
    rounds = 0
    while copies.loosened(find_modes({**clauses, **copies.clauses}), patient=rounds < _MAX_ROUNDS):
        rounds += 1
    return {predicate: tuple(found) for predicate, found in copies.clauses.items()}


def _copy(clause: Clause, tested: set[str], tests: Collection[str]) -> Clause:
    """Return *clause* without *tests*, asking the copies of what depends on them."""
    parts: list[Part] = []
    for part in clause.parts:
        if not isinstance(part, Atom) or not (part.predicate in tested or part.predicate in tests):
            parts.append(part)
        elif part.predicate in tested and not part.negated:
            parts.append(replace(part, predicate=POSSIBLE + part.predicate))
    return replace(clause, predicate=POSSIBLE + clause.predicate, parts=tuple(parts))


class _Copies:
    """The copies, from which conditions are taken that lack a value without the tests.

    A variable of a head keeps its conditions as long as every caller brings a value for it. Where
    one does not, the predicate it calls is copied too, if it was not, and loosened there.
    """

    def __init__(self, originals: Clauses, tested: set[str], tests: Collection[str]) -> None:
        self.originals = originals
        self.tests = tests
        self.clauses = {
            POSSIBLE + predicate: [_copy(clause, tested, tests) for clause in originals[predicate]]
            for predicate in sorted(tested)
        }

    def loosened(self, modes: Modes, *, patient: bool) -> bool:
        """Take away what needs a value that nothing brings; return whether anything did.

        Unless *patient*, calls that need one go whole, so that this comes to an end.
        """
        changed = False
        for predicate, alternatives in list(self.clauses.items()):
            for index, clause in enumerate(alternatives):
                lost = modes.demanded(clause) - refs_of(clause.head)
                if lost:
                    changed = True
                    if patient:
                        self._loosen(predicate, index, lost, modes)
                    else:
                        kept = tuple(p for p in clause.parts if not _needs(p, modes) & lost)
                        alternatives[index] = replace(clause, parts=kept)
        return changed

    def _loosen(self, predicate: str, index: int, lost: set[int], modes: Modes) -> None:
        """Take from one clause what needs the variables *lost*, or loosen what it calls."""
        clause = self.clauses[predicate][index]
        kept = []
        for part in clause.parts:
            if not _needs(part, modes) & lost:
                kept.append(part)
            elif isinstance(part, Atom) and not part.negated:
                needed = modes.needed[part.predicate]
                places = {place for place in needed if refs_of((part.args[place],)) & lost}
                copied = replace(part, predicate=self._copied(part.predicate))
                kept.append(copied)
                self._open(copied.predicate, places, modes)
        self.clauses[predicate][index] = replace(clause, parts=tuple(kept))

    def _copied(self, predicate: str) -> str:
        if predicate in self.clauses:
            return predicate
        name = POSSIBLE + predicate
        if name not in self.clauses:
            self.clauses[name] = [
                _copy(clause, set(), self.tests) for clause in self.originals[predicate]
            ]
        return name

    def _open(self, predicate: str, places: set[int], modes: Modes) -> None:
        """Let *predicate* do without values at *places* of its head."""
        if not places:
            return
        open_ = _without_need(modes, predicate, places)
        for index, clause in enumerate(self.clauses[predicate]):
            lost = refs_of(clause.head[place] for place in places) & modes.demanded(clause)
            if lost:
                self._loosen(predicate, index, lost, open_)


def _without_need(modes: Modes, predicate: str, places: set[int]) -> Modes:
    """Return *modes* in which *predicate* no longer needs values at *places*."""
    left = modes.needed.get(predicate, NOWHERE) - places
    return replace(modes, needed={**modes.needed, predicate: left})


def _needs(part: Part, modes: Modes) -> set[int]:
    """Return the variables that *part* cannot do without."""
    match part:
        case Comparison() | Atom(negated=True):
            return refs_of(args_of(part))
        case Atom(predicate, args):
            return refs_of(args[place] for place in modes.needed.get(predicate, NOWHERE))
    return set()
