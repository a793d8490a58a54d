"""How a clause is entered: its head unified with what a question knows, gives and seeks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from policies.polar.clauses import (
    Arg,
    Clause,
    Comparison,
    Const,
    Part,
    Ref,
    Slot,
    args_of,
    refs_of,
    settled,
    substituted,
)
from policies.polar.plan import (
    Equal,
    Form,
    Given,
    Known,
    Same,
    Shape,
    Sought,
    Step,
    Take,
    Typed,
    Unused,
)
from policies.polar.values import kind


@dataclass(frozen=True, slots=True)
class Entry:
    """A clause after its head met a shape: known values put in, given arguments taken."""

    clause: Clause
    head: tuple[Arg, ...]
    slots: tuple[Slot, ...]
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    bound: frozenset[int]
    wanted: frozenset[int]

    @property
    def loose(self) -> set[int]:
        """The variables that occur once, in a condition, and that no answer names."""
        uses = Counter(
            arg.number for part in self.parts for arg in args_of(part) if isinstance(arg, Ref)
        )
        return {variable for variable, count in uses.items() if count == 1} - self.wanted


def enter(clause: Clause, shape: Shape) -> Entry | None:
    """Return *clause* as *shape* asks it, or None if it can never answer it."""
    return _Meeting(clause, shape).entry()


class _Meeting:
    """Unifies the head of a clause with the forms of a shape.

    `values` is what variables turn out to be: a constant, or another variable.
    """

    def __init__(self, clause: Clause, shape: Shape) -> None:
        self.clause = clause
        self.shape = shape
        self.slots = list(clause.slots)
        self.values: dict[int, Const | Ref] = {}
        self.taken: dict[int, int] = {}
        self.steps: list[Step] = []

    def entry(self) -> Entry | None:
        pairs = zip(self.clause.head, self.shape.forms, strict=True)
        for place, (arg, form) in enumerate(pairs):
            if not self._meet(place, self._valued(arg), form):
                return None
        parts = [substituted(part, self._valued) for part in self.clause.parts]
        if any(settled(part) is False for part in parts):
            return None
        # A comparison that is settled stays: a proof shows it.
        left = [part for part in parts if settled(part) is None or isinstance(part, Comparison)]
        head = tuple(map(self._valued, self.clause.head))
        return Entry(
            self.clause,
            head,
            tuple(self.slots),
            tuple(left),
            tuple(self.steps),
            frozenset(self.taken),
            frozenset(refs_of(head[place] for place in self.shape.sought)),
        )

    def _valued(self, arg: Arg) -> Arg:
        while isinstance(arg, Ref) and arg.number in self.values:
            arg = self.values[arg.number]
        return arg

    def _meet(self, place: int, arg: Arg, form: Form) -> bool:
        match arg, form:
            case _, Same(earlier):
                return self._unify(arg, self._valued(self.clause.head[earlier]))
            case Const(value), Known(known):
                return value == known
            case Const(value), Given(types) | Sought(types) | Unused(types):
                if isinstance(form, Given):
                    self.steps.append(Equal(place, arg))
                return kind(value) in types
            case Ref(), Known(value):
                return self._unify(arg, Const(value))
            case Ref(), Given(types):
                return self._take(place, arg, types)
            case Ref(), Sought(types) | Unused(types):
                return self._narrow(arg, types)
        raise TypeError(arg)  # clauses have no clock in their heads

    def _narrow(self, arg: Ref, types: frozenset[str]) -> bool:
        slot = self.slots[arg.number]
        self.slots[arg.number] = Slot(slot.name, slot.types & types)
        return bool(slot.types & types)

    def _take(self, place: int, arg: Ref, types: frozenset[str]) -> bool:
        guarded = not types <= self.slots[arg.number].types
        met = self._narrow(arg, types)
        if arg.number in self.taken:
            self.steps.append(Equal(place, arg))
            return met
        self.taken[arg.number] = place
        self.steps.append(Take(arg.number, place))
        if guarded:
            self.steps.append(Typed(arg.number, self.slots[arg.number].types))
        return met

    def _unify(self, one: Arg, other: Arg) -> bool:
        """Make *one* and *other*, arguments of the head, the same."""
        if one == other:
            return True
        if isinstance(other, Ref) and (isinstance(one, Const) or other.number not in self.taken):
            one, other = other, one
        if not isinstance(one, Ref):
            return False
        if one.number in self.taken:
            self.steps.append(Equal(self.taken[one.number], other))
        if isinstance(other, Ref):
            self.values[one.number] = other
            return self._narrow(other, self.slots[one.number].types)
        if not isinstance(other, Const):
            raise TypeError(other)
        self.values[one.number] = other
        return kind(other.value) in self.slots[one.number].types
