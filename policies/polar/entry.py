"""How a clause is entered: its head unified with what a question knows, gives and seeks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from policies.polar.clauses import (
    Arg,
    Clause,
    Clock,
    Const,
    Part,
    Ref,
    Slot,
    args_of,
    refs_of,
    settled,
    substituted,
)
from policies.polar.plan import Equal, Form, Given, Known, Shape, Step, Take, Typed
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

    def one_per_type(self, variable: int) -> list[Entry]:
        slot = self.slots[variable]
        before, after = self.slots[:variable], self.slots[variable + 1 :]
        return [
            replace(self, slots=(*before, Slot(slot.name, frozenset({type_})), *after))
            for type_ in sorted(slot.types)
        ]


def enter(clause: Clause, shape: Shape) -> Entry | None:
    """Return *clause* as *shape* asks it, or None if it can never answer it."""
    return _Meeting(clause, shape).entry()


class _Meeting:
    """Unifies the head of a clause with the forms of a shape."""

    def __init__(self, clause: Clause, shape: Shape) -> None:
        self.clause = clause
        self.shape = shape
        self.slots = list(clause.slots)
        self.values: dict[int, Const] = {}
        self.taken: dict[int, int] = {}
        self.steps: list[Step] = []

    def entry(self) -> Entry | None:
        pairs = zip(self.clause.head, self.shape.forms, strict=True)
        for place, (arg, form) in enumerate(pairs):
            if not self._meet(place, self._valued(arg), form):
                return None
        parts = [substituted(part, self._valued) for part in self.clause.parts]
        left = [part for part in parts if settled(part) is None]
        if any(settled(part) is False for part in parts):
            return None
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
        return self.values.get(arg.number, arg) if isinstance(arg, Ref) else arg

    def _meet(self, place: int, arg: Arg, form: Form) -> bool:
        match arg:
            case Const():
                return self._meet_value(place, arg, form)
            case Ref():
                return self._meet_variable(place, arg, form)
            case Clock():
                raise TypeError(arg)  # clauses have no clock in their heads

    def _meet_variable(self, place: int, arg: Ref, form: Form) -> bool:
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
