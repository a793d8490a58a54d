"""Planning: the order in which a clause's conditions are asked, and how each is.

What narrows most for least work comes first; what may be answered by "anything at all" comes last,
when most of its variables are bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from policies.model import Entity
from policies.polar.clauses import (
    Arg,
    Atom,
    Clause,
    Clock,
    Comparison,
    Const,
    OneOf,
    Ref,
    args_of,
    refs_of,
)
from policies.polar.entry import Entry, enter
from policies.polar.modes import NOWHERE, Modes
from policies.polar.plan import (
    Alike,
    Among,
    Ask,
    Choose,
    Compare,
    First,
    Form,
    Given,
    Known,
    Lookup,
    Plan,
    Same,
    Scan,
    Shape,
    Sought,
    Split,
    Step,
    Stuck,
    Typed,
    Unused,
)
from policies.polar.values import kind


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the clauses of a program, given by predicate."""

    clauses: Mapping[str, Sequence[Clause]]
    modes: Modes
    every: frozenset[str]

    def plans(self, shape: Shape) -> list[Plan]:
        """Return the plans, one or more for every clause that can answer *shape*."""
        met = (enter(clause, shape) for clause in self.clauses[shape.predicate])
        return [
            _Ordering(self, entry, set(entry.bound)).plan(range(len(entry.parts)), entry.steps)
            for entry in met
            if entry is not None
        ]


_MAX_SPLITS = 64


class _Rank(IntEnum):
    """How soon a condition is asked: what narrows most for least work comes first."""

    FILTER = 0
    LOOKUP = 1
    CHECK = 2
    KEYED_SCAN = 3
    CHOICE = 4
    KEYED_ASK = 5
    SCAN = 6
    ASK = 7
    OPEN_ASK = 8
    NEEDY_ASK = 9


@dataclass(frozen=True, slots=True)
class _Ordering:
    """Orders the conditions of one entry, given the variables already bound.

    `splits` are those of the whole plan, shared by its branches.
    """

    planner: Planner
    entry: Entry
    bound: set[int]
    shown: set[int] = field(default_factory=set)
    wild: frozenset[int] = frozenset()
    splits: list[int] = field(default_factory=list)

    def plan(self, left: Iterable[int], steps: Sequence[Step]) -> Plan:
        """Return the plan that takes *steps* and then the conditions *left*."""
        waiting, taken = list(left), list(steps)
        while waiting:
            ranked = [
                (rank, len(self._unbound(part)), part)
                for part in waiting
                if (rank := self._rank(part)) is not None
            ]
            if not ranked:
                taken.append(Stuck(waiting[0]))
                break
            part = min(ranked)[-1]
            waiting.remove(part)
            taken += self._steps(part)
            open_ = self._left_open(part)
            fresh = self._unbound(part)
            self.shown.update(fresh & self.entry.loose)
            self.bound.update(fresh - self.entry.loose)
            taken += [Alike(variable) for variable in sorted(fresh & self.wild)]
            if open_:
                return self.finished(taken, self.split(sorted(open_), waiting))
        return self.finished(taken, None)

    def finished(self, steps: Sequence[Step], split: Split | None) -> Plan:
        entry = self.entry
        unbound = frozenset(refs_of(entry.head) - self.bound - self.shown - self.wild)
        return Plan(
            entry.clause,
            entry.head,
            entry.slots,
            entry.parts,
            tuple(steps),
            split,
            unbound,
            self.wild - self.bound,
        )

    def split(self, variables: Sequence[int], waiting: Sequence[int]) -> Split:
        first, *others = variables

        def rest(bound: set[int], wild: frozenset[int]) -> Plan:
            ordering = replace(self, bound=bound, shown=set(self.shown), wild=wild)
            if others:
                return ordering.finished((), ordering.split(others, waiting))
            return ordering.plan(waiting, ())

        if len(self.splits) < _MAX_SPLITS:
            self.splits.append(first)
            wild = rest(self.bound - {first}, self.wild | {first})
        else:
            # Several open variables at once double the code each. Past this many splits of one
            # plan, "anything" stays unanswered.
            wild = self.finished([Stuck(0)], None)
        return Split(first, wild, bound=rest(set(self.bound), self.wild - {first}))

    def _left_open(self, number: int) -> set[int]:
        """Return the unbound variables that this condition may answer with anything at all."""
        part = self.entry.parts[number]
        if not isinstance(part, Atom):
            return set()
        places = self.planner.modes.open.get(part.predicate, NOWHERE)
        return refs_of(part.args[place] for place in places) - self.bound - self.entry.loose

    def _unbound(self, number: int) -> set[int]:
        return refs_of(args_of(self.entry.parts[number])) - self.bound

    def _rank(self, number: int) -> _Rank | None:
        part = self.entry.parts[number]
        unbound = self._unbound(number)
        match part:
            case Comparison():
                return None if unbound else _Rank.FILTER
            case OneOf():
                return _Rank.CHOICE if unbound else _Rank.FILTER
            case Atom(predicate, args, negated=negated):
                derived = predicate in self.planner.clauses
                if not unbound:
                    return _Rank.CHECK if derived else _Rank.LOOKUP
                if negated:
                    return None
                return self._rank_of_search(predicate, args, unbound)

    def _rank_of_search(self, predicate: str, args: Sequence[Arg], unbound: set[int]) -> _Rank:
        keyed = any(
            arg.number in self.bound if isinstance(arg, Ref) else isinstance(arg.value, Entity)
            for arg in args
            if not isinstance(arg, Clock)
        )
        derived = predicate in self.planner.clauses
        modes = self.planner.modes
        if derived and unbound & refs_of(args[place] for place in modes.needed[predicate]):
            return _Rank.NEEDY_ASK
        if unbound <= self.entry.loose and (derived or keyed):
            return _Rank.CHECK
        if not derived:
            return _Rank.KEYED_SCAN if keyed else _Rank.SCAN
        if unbound & refs_of(args[place] for place in modes.open[predicate]):
            return _Rank.OPEN_ASK
        return _Rank.KEYED_ASK if keyed else _Rank.ASK

    def _steps(self, number: int) -> list[Step]:
        part = self.entry.parts[number]
        match part:
            case Comparison():
                return [Compare(number, part)]
            case OneOf(Ref(variable), options) if variable not in self.bound:
                types = self.entry.slots[variable].types
                fitting = tuple(option for option in options if kind(option) in types)
                return [Choose(number, variable, fitting)]
            case OneOf():
                return [Among(number, part)]
            case Atom(predicate) if predicate in self.planner.clauses:
                return [self._ask(number, part)]
            case Atom():
                return self._search(number, part)

    def _search(self, number: int, atom: Atom) -> list[Step]:
        binds, repeats = self._fresh(atom.args)
        if not binds:
            return [Lookup(number, atom)]
        places = {place for _, place in (*binds, *repeats)}
        keys = tuple(place for place in range(len(atom.args)) if place not in places)
        every, slots = self.planner.every, self.entry.slots
        typed = [pair for pair in binds if slots[pair[0]].types != every]
        if {variable for variable, _ in binds} <= self.entry.loose:
            types = tuple((place, slots[variable].types) for variable, place in typed)
            return [First(number, atom, keys, binds, types)]
        guards = [Typed(variable, slots[variable].types) for variable, _ in typed]
        return [Scan(number, atom, keys, binds, repeats), *guards]

    def _fresh(
        self, args: Sequence[Arg]
    ) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        """Return (variable, place) of unbound variables: first occurrences, and repetitions."""
        first: dict[int, int] = {}
        repeats = []
        for place, arg in enumerate(args):
            if isinstance(arg, Ref) and arg.number not in self.bound:
                if arg.number in first:
                    repeats.append((arg.number, place))
                else:
                    first[arg.number] = place
        return tuple(first.items()), tuple(repeats)

    def _ask(self, number: int, atom: Atom) -> Step:
        binds, repeats = self._fresh(atom.args)
        first = dict(binds)
        again = {place: Same(first[variable]) for variable, place in repeats}
        forms = [again.get(place) or self._form(arg) for place, arg in enumerate(atom.args)]
        loose = self.entry.loose
        wanted = tuple(pair for pair in binds if pair[0] not in loose)
        shown = tuple(
            pair for pair in binds if pair[0] in loose and Ref(pair[0]) in self.entry.head
        )
        return Ask(number, atom, Shape(atom.predicate, tuple(forms)), wanted, shown)

    def _form(self, arg: Arg) -> Form:
        match arg:
            case Const(value):
                return Known(value)
            case Clock():
                return Given(frozenset({"Integer"}))
            case Ref(variable):
                types = self.entry.slots[variable].types
                if variable in self.bound:
                    return Given(types)
                return Unused(types) if variable in self.entry.loose else Sought(types)
