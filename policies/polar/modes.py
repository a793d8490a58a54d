"""What binds what: which arguments a predicate may leave open, and which it must be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from policies.polar.clauses import Atom, Clause, Comparison, OneOf, Ref, refs_of

Positions = frozenset[int]
NOWHERE: Positions = frozenset()


@dataclass(frozen=True, slots=True)
class Modes:
    """Binding behaviour of the derived predicates, by predicate.

    At an `open` position an answer may be "any value of the type"; at a `needed` position the
    rules compare or negate what they do not bind, so a caller has to bring the value. Needed
    positions are open ones.
    """

    open: Mapping[str, Positions]
    needed: Mapping[str, Positions]

    def bound(self, clause: Clause) -> set[int]:
        """Return the variables that some condition of *clause* gives a concrete value."""
        return _bound(clause, self.open)

    def demanded(self, clause: Clause) -> set[int]:
        """Return the variables that *clause* compares, negates or must pass on, but never binds."""
        return _demanded(clause, self.needed) - self.bound(clause)


def find_modes(clauses: Mapping[str, Sequence[Clause]]) -> Modes:
    """Return the least modes that fit *clauses*, given by predicate."""
    open_: dict[str, Positions] = dict.fromkeys(clauses, NOWHERE)
    _settle(clauses, open_, lambda clause: refs_of(clause.head) - _bound(clause, open_))
    needed: dict[str, Positions] = dict.fromkeys(clauses, NOWHERE)
    _settle(clauses, needed, lambda clause: _demanded(clause, needed) - _bound(clause, open_))
    return Modes(open_, needed)


def _settle(
    clauses: Mapping[str, Sequence[Clause]],
    positions: dict[str, Positions],
    variables: Callable[[Clause], set[int]],
) -> None:
    """Grow *positions*, the head positions of *variables* of each clause, until nothing changes."""
    callers: dict[str, set[str]] = {}
    for predicate, alternatives in clauses.items():
        for clause in alternatives:
            for part in clause.parts:
                if isinstance(part, Atom):
                    callers.setdefault(part.predicate, set()).add(predicate)
    waiting = dict.fromkeys(clauses)
    while waiting:
        predicate, _ = waiting.popitem()
        found = positions[predicate]
        for clause in clauses[predicate]:
            chosen = variables(clause)
            found |= {
                place
                for place, arg in enumerate(clause.head)
                if isinstance(arg, Ref) and arg.number in chosen
            }
        if found != positions[predicate]:
            positions[predicate] = found
            waiting.update(dict.fromkeys(callers.get(predicate, ())))


def _bound(clause: Clause, open_: Mapping[str, Positions]) -> set[int]:
    found: set[int] = set()
    for part in clause.parts:
        match part:
            case Atom(predicate, args, negated=False):
                left_open = open_.get(predicate, NOWHERE)
                found |= refs_of(arg for place, arg in enumerate(args) if place not in left_open)
            case OneOf(arg):
                found |= refs_of((arg,))
    return found


def _demanded(clause: Clause, needed: Mapping[str, Positions]) -> set[int]:
    found: set[int] = set()
    for part in clause.parts:
        match part:
            case Atom(args=args, negated=True):
                found |= refs_of(args)
            case Atom(predicate, args):
                found |= refs_of(args[place] for place in needed.get(predicate, NOWHERE))
            case Comparison(left=left, right=right):
                found |= refs_of((left, right))
    return found
