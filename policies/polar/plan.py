"""Query plans: in which order a clause's conditions are asked, and how, for one shape of question.

A *shape* is a predicate with, for each argument, what is known beforehand: the value itself, that
some value of these types will be given, or that values are sought. One rule is planned once for
every shape in which it is asked, so that a question about a Client never looks at rules for a User.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from policies.model import Entity
from policies.polar.clauses import (
    Arg,
    Atom,
    Clause,
    Clock,
    Comparison,
    Const,
    OneOf,
    Part,
    Ref,
    Slot,
    args_of,
    refs_of,
    settled,
    substituted,
)
from policies.polar.modes import NOWHERE, Modes
from policies.polar.values import Held, kind


@dataclass(frozen=True, slots=True)
class Known:
    value: Held


@dataclass(frozen=True, slots=True)
class Given:
    """A value of one of *types* is given when the question is asked."""

    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sought:
    """All values of *types* that make the question true are wanted."""

    types: frozenset[str]


Form = Known | Given | Sought


class Shape(NamedTuple):
    predicate: str
    forms: tuple[Form, ...]

    @property
    def given(self) -> tuple[int, ...]:
        return tuple(i for i, form in enumerate(self.forms) if isinstance(form, Given))

    @property
    def sought(self) -> tuple[int, ...]:
        return tuple(i for i, form in enumerate(self.forms) if isinstance(form, Sought))


@dataclass(frozen=True, slots=True)
class Equal:
    """Go on if the given argument at *place* of the head equals *arg*."""

    place: int
    arg: Arg


@dataclass(frozen=True, slots=True)
class Typed:
    """Go on if the value of *variable* is of one of *types*."""

    variable: int
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Take:
    """Let *variable* be the given argument at *place* of the head."""

    variable: int
    place: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """Go on if this row is among the facts, or with `negated` if it is not."""

    part: int
    atom: Atom


@dataclass(frozen=True, slots=True)
class Scan:
    """For each fact that agrees with the bound arguments, bind *variables* by their places."""

    part: int
    atom: Atom
    keys: tuple[int, ...]
    binds: tuple[tuple[int, int], ...]
    repeats: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a derived predicate; for each answer bind *binds*, pairs of variable and head place."""

    part: int
    atom: Atom
    shape: Shape
    binds: tuple[tuple[int, int], ...] = ()
    repeats: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Compare:
    part: int
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Among:
    """Go on if the argument is one of the options."""

    part: int
    member: OneOf


@dataclass(frozen=True, slots=True)
class Choose:
    """For each option, bind *variable* to it."""

    part: int
    variable: int
    options: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Stuck:
    """What is left to ask cannot be enumerated: raise."""

    part: int


@dataclass(frozen=True, slots=True)
class Split:
    """Where *variable* came back as anything at all, go on with it unbound, else bound."""

    variable: int
    wild: Plan
    bound: Plan


Step = Equal | Typed | Take | Lookup | Scan | Ask | Compare | Among | Choose | Stuck


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, then either a split or the answer: the head, with `slots` as narrowed."""

    clause: Clause
    head: tuple[Arg, ...]
    slots: tuple[Slot, ...]
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    split: Split | None = None
    unbound: frozenset[int] = frozenset()

    def asked(self, *, looped: bool = False) -> Iterator[tuple[Shape, bool]]:
        """Yield the shapes that this plan asks, and whether it may ask each more than once."""
        for step in self.steps:
            if isinstance(step, Ask):
                yield step.shape, looped
            looped |= isinstance(step, Scan | Choose) or (
                isinstance(step, Ask) and bool(step.shape.sought)
            )
        if self.split:
            yield from self.split.wild.asked(looped=looped)
            yield from self.split.bound.asked(looped=looped)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the clauses of a program, given by predicate."""

    clauses: Mapping[str, Sequence[Clause]]
    modes: Modes
    every: frozenset[str]

    def plans(self, shape: Shape) -> list[Plan]:
        """Return the plans, one or more for every clause that can answer *shape*."""
        entries = [
            entry
            for clause in self.clauses[shape.predicate]
            for entry in self._entries(clause, shape)
        ]
        return [
            _Ordering(self, entry, set(entry.bound)).plan(range(len(entry.parts)), entry.steps)
            for entry in entries
        ]

    def _entries(self, clause: Clause, shape: Shape) -> list[_Entry]:
        """Return how *clause* is entered: once, or once per type where an answer may stay open."""
        entry = _Meeting(clause, shape).entry()
        if entry is None:
            return []
        entries = [entry]
        for variable in sorted(self._may_stay_open(entry)):
            entries = [one for entry in entries for one in entry.one_per_type(variable)]
        return entries

    def _may_stay_open(self, entry: _Entry) -> set[int]:
        found = refs_of(entry.head)
        for part in entry.parts:
            if isinstance(part, Atom) and not part.negated:
                places = self.modes.open.get(part.predicate, NOWHERE)
                found |= refs_of(part.args[place] for place in places)
        return found - entry.bound - self.modes.bound(replace(entry.clause, parts=entry.parts))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A clause after its head met a shape: known values put in, given arguments taken."""

    clause: Clause
    head: tuple[Arg, ...]
    slots: tuple[Slot, ...]
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    bound: frozenset[int]

    def one_per_type(self, variable: int) -> list[_Entry]:
        slot = self.slots[variable]
        before, after = self.slots[:variable], self.slots[variable + 1 :]
        return [
            replace(self, slots=(*before, Slot(slot.name, frozenset({type_})), *after))
            for type_ in sorted(slot.types)
        ]


class _Meeting:
    """Unifies the head of a clause with the forms of a shape."""

    def __init__(self, clause: Clause, shape: Shape) -> None:
        self.clause = clause
        self.shape = shape
        self.slots = list(clause.slots)
        self.values: dict[int, Const] = {}
        self.taken: dict[int, int] = {}
        self.steps: list[Step] = []

    def entry(self) -> _Entry | None:
        """Return the clause as entered, or None if it can never answer the shape."""
        pairs = zip(self.clause.head, self.shape.forms, strict=True)
        for place, (arg, form) in enumerate(pairs):
            if not self._meet(place, self._valued(arg), form):
                return None
        parts = [substituted(part, self._valued) for part in self.clause.parts]
        left = [part for part in parts if settled(part) is None]
        if any(settled(part) is False for part in parts):
            return None
        return _Entry(
            self.clause,
            tuple(map(self._valued, self.clause.head)),
            tuple(self.slots),
            tuple(left),
            tuple(self.steps),
            frozenset(self.taken),
        )

    def _valued(self, arg: Arg) -> Arg:
        return self.values.get(arg.number, arg) if isinstance(arg, Ref) else arg

    def _meet(self, place: int, arg: Arg, form: Form) -> bool:
        if isinstance(arg, Const):
            return self._meet_value(place, arg, form)
        assert isinstance(arg, Ref)
        slot = self.slots[arg.number]
        offered = frozenset({kind(form.value)}) if isinstance(form, Known) else form.types
        self.slots[arg.number] = Slot(slot.name, slot.types & offered)
        if isinstance(form, Known):
            self.values[arg.number] = Const(form.value)
            if arg.number in self.taken:
                self.steps.append(Equal(self.taken[arg.number], Const(form.value)))
        elif isinstance(form, Given):
            self._take(place, arg, guarded=not offered <= slot.types)
        return bool(slot.types & offered)

    def _meet_value(self, place: int, arg: Const, form: Form) -> bool:
        if isinstance(form, Known):
            return arg.value == form.value
        if isinstance(form, Given):
            self.steps.append(Equal(place, arg))
        return kind(arg.value) in form.types

    def _take(self, place: int, arg: Ref, *, guarded: bool) -> None:
        if arg.number in self.taken:
            self.steps.append(Equal(place, arg))
            return
        self.taken[arg.number] = place
        self.steps.append(Take(arg.number, place))
        if guarded:
            self.steps.append(Typed(arg.number, self.slots[arg.number].types))


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
    """Orders the conditions of one entry, given the variables already bound."""

    planner: Planner
    entry: _Entry
    bound: set[int]

    def plan(self, left: Iterable[int], steps: Sequence[Step]) -> Plan:
        """Return the plan that takes *steps* and then the conditions *left*."""
        waiting, taken = list(left), list(steps)
        while waiting:
            ranked = [(rank, part) for part in waiting if (rank := self._rank(part)) is not None]
            if not ranked:
                taken.append(Stuck(waiting[0]))
                break
            part = min(ranked)[1]
            waiting.remove(part)
            taken += self._steps(part)
            open_ = self._left_open(part)
            self.bound.update(refs_of(args_of(self.entry.parts[part])))
            if open_:
                return self._finished(taken, self._split(sorted(open_), waiting))
        return self._finished(taken, None)

    def _finished(self, steps: Sequence[Step], split: Split | None) -> Plan:
        entry = self.entry
        unbound = refs_of(entry.head) - self.bound
        return Plan(
            entry.clause, entry.head, entry.slots, entry.parts, tuple(steps), split,
            frozenset(unbound),
        )  # fmt: skip

    def _split(self, variables: Sequence[int], waiting: Sequence[int]) -> Split:
        first, *others = variables

        def rest(bound: set[int]) -> Plan:
            ordering = _Ordering(self.planner, self.entry, bound)
            if others:
                return ordering._finished((), ordering._split(others, waiting))
            return ordering.plan(waiting, ())

        return Split(first, wild=rest(self.bound - {first}), bound=rest(set(self.bound)))

    def _left_open(self, number: int) -> set[int]:
        """Return the unbound variables that this condition may answer with anything at all."""
        part = self.entry.parts[number]
        if not isinstance(part, Atom):
            return set()
        places = self.planner.modes.open.get(part.predicate, NOWHERE)
        return refs_of(part.args[place] for place in places) - self.bound

    def _rank(self, number: int) -> _Rank | None:
        part = self.entry.parts[number]
        unbound = refs_of(args_of(part)) - self.bound
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
        if predicate not in self.planner.clauses:
            return _Rank.KEYED_SCAN if keyed else _Rank.SCAN
        modes = self.planner.modes
        if unbound & refs_of(args[place] for place in modes.needed[predicate]):
            return _Rank.NEEDY_ASK
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
        every = self.planner.every
        guards = [
            Typed(variable, self.entry.slots[variable].types)
            for variable, _ in binds
            if self.entry.slots[variable].types != every
        ]
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
        open_ = self.planner.modes.open[atom.predicate]
        if any(place in open_ for _, place in repeats):
            # One unbound variable twice where answers may be open has no finite answer.
            return Stuck(number)
        sought = dict((place, variable) for variable, place in (*binds, *repeats))
        forms = tuple(
            Sought(self.entry.slots[sought[place]].types) if place in sought else self._form(arg)
            for place, arg in enumerate(atom.args)
        )
        return Ask(number, atom, Shape(atom.predicate, forms), binds, repeats)

    def _form(self, arg: Arg) -> Form:
        match arg:
            case Const(value):
                return Known(value)
            case Ref(variable):
                return Given(self.entry.slots[variable].types)
            case Clock():
                return Given(frozenset({"Integer"}))
