"""In which order to take the conditions of a rule, and its rules one after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.polar.syntax import Call, Compare, Matches, Member, Not, Term, Truth, Variable
from tests.reference.expansion import Atom, Branch, terms, variables, ways

Signature = tuple[str, int]

_STUCK: Final = 1000
"""The rank of a condition that needs its variables bound; `Each` then binds one."""


@dataclass(frozen=True, slots=True)
class Each:
    """Let *variable* be every value there is."""

    variable: str


@dataclass(frozen=True, slots=True)
class Absence:
    """No way to take *ways* leads anywhere. *outer* are the variables from outside."""

    ways: tuple[Plan, ...]
    outer: frozenset[str]


Action = Call | Compare | Member | Matches | Truth | Each | Absence

Plan = tuple[tuple[Action, tuple[str, ...]], ...]
"""Actions in order, each with the variables that still matter once it is taken."""


def signature(branch: Branch) -> Signature:
    return branch.rule.predicate, len(branch.head)


def _calls(atoms: Iterable[Atom]) -> Iterator[tuple[Signature, bool]]:
    """Yield each predicate that *atoms* ask for, and whether under `not`."""
    for atom in atoms:
        if isinstance(atom, Call):
            yield (atom.predicate, len(atom.args)), False
        elif isinstance(atom, Not):
            for way in ways(atom.body):
                yield from ((name, True) for name, _ in _calls(way))


def components(program: Sequence[Branch]) -> list[list[Branch]]:
    """Group branches whose predicates need each other; what a group needs comes before it."""
    needs: dict[Signature, set[Signature]] = defaultdict(set)
    for branch in program:
        needs[signature(branch)] |= {name for name, _ in _calls(branch.atoms)}
    reach = {name: _reachable(name, needs) for name in {signature(b) for b in program}}
    for branch in program:
        for name, negated in _calls(branch.atoms):
            recursive = negated and signature(branch) in _reachable(name, needs)
            assert not recursive, f"{branch.rule.span}: negation through recursion has no meaning"
    groups: dict[frozenset[Signature], list[Branch]] = defaultdict(list)
    for branch in program:
        groups[reach[signature(branch)]].append(branch)
    return [groups[names] for names in sorted(groups, key=len)]


def _reachable(
    start: Signature, needs: Mapping[Signature, Iterable[Signature]]
) -> frozenset[Signature]:
    found, todo = {start}, [start]
    while todo:
        fresh = set(needs.get(todo.pop(), ())) - found
        found |= fresh
        todo += fresh
    return frozenset(found)


def arranged(branch: Branch) -> Plan:
    """Put the conditions in an order in which each finds bound what it needs."""
    rule = branch.rule
    written = (*(parameter.term for parameter in rule.parameters), *terms(rule.body))
    return _Order(Counter(variables(written))).of(branch.atoms, branch.head, frozenset())


def absence(negation: Not, outer: Iterable[str]) -> Absence:
    """Return *negation* as an action, where *outer* variables are bound and no others exist."""
    bound = frozenset(outer)
    occurrences = Counter([*variables(terms(negation)), *bound])
    return Absence(_Order(occurrences).refuted(negation, bound), bound)


@dataclass
class _Order:
    """Orders the conditions of one rule. *occurrences* counts its variables, wherever they are."""

    occurrences: Mapping[str, int]

    def of(self, atoms: Sequence[Atom], head: Sequence[Term], bound: frozenset[str]) -> Plan:
        waiting, done, outside = list(atoms), list[Action](), bound
        while waiting:
            best = min(waiting, key=lambda atom: self.rank(atom, bound))
            if self.rank(best, bound) == _STUCK:
                variable = min(self.needed(best) - bound)
                done.append(Each(variable))
                bound |= {variable}
                continue
            waiting.remove(best)
            done.append(self.action(best, bound))
            bound |= self.needed(best)
        done += (Each(name) for name in sorted(set(variables(head)) - bound))
        return _plan(done, frozenset(variables(head)), outside)

    def action(self, atom: Atom, bound: frozenset[str]) -> Action:
        if isinstance(atom, Not):
            return Absence(self.refuted(atom, bound), self.needed(atom))
        return atom

    def refuted(self, negation: Not, bound: frozenset[str]) -> tuple[Plan, ...]:
        return tuple(self.of(way, (), bound) for way in ways(negation.body))

    def needed(self, atom: Atom) -> frozenset[str]:
        """Return the variables of *atom*, without those that live only inside a `not`."""
        inside = Counter(variables(terms(atom)))
        if not isinstance(atom, Not):
            return frozenset(inside)
        return frozenset(name for name in inside if inside[name] < self.occurrences[name])

    def rank(self, atom: Atom, bound: frozenset[str]) -> int:
        """Return how soon to take *atom*: tests first, then what binds most cheaply."""
        free = self.needed(atom) - bound
        match atom:
            case _ if not free:
                return 0
            case Compare("=", left, right) if len(free) == 1 and not _same(left, right):
                return 1
            case Member(term=Variable(name)) if free == {name}:
                return 2
            case Call():
                return 3 + sum(1 for name in variables(atom.args) if name in free)
            case Matches():
                return _STUCK - 1
            case _:
                return _STUCK


def _plan(actions: Sequence[Action], head: frozenset[str], outside: frozenset[str]) -> Plan:
    """Say after each action which variables a later one or the head still asks for."""
    uses = [_used(action) for action in actions]
    plan = []
    for place, action in enumerate(actions):
        bound = outside.union(*uses[: place + 1])
        later = head.union(*uses[place + 1 :])
        plan.append((action, tuple(sorted(bound & later))))
    return tuple(plan)


def _used(action: Action) -> frozenset[str]:
    if isinstance(action, Each):
        return frozenset([action.variable])
    return action.outer if isinstance(action, Absence) else frozenset(variables(terms(action)))


def _same(left: Term, right: Term) -> bool:
    return isinstance(left, Variable) and isinstance(right, Variable) and left.name == right.name
