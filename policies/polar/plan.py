"""Query plans: in which order a clause's conditions are asked, and how, for one shape of question.

A *shape* is a predicate with, for each argument, what is known beforehand: the value itself, that
some value of these types will be given, or that values are sought. One rule is planned once for
every shape in which it is asked, so that a question about a Client never looks at rules for a User.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from policies.polar.clauses import Arg, Atom, Clause, Comparison, OneOf, Part, Slot
from policies.polar.values import Held


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


@dataclass(frozen=True, slots=True)
class Unused:
    """Any value of *types* will do, and it matters to nobody which."""

    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Same:
    """The same value, whichever it is, as at the earlier *place*, where one is sought."""

    place: int


Form = Known | Given | Sought | Unused | Same


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
class First:
    """Go on once if some fact agrees with the bound arguments; which one does not matter.

    `types` are the types wanted at each of the other places.
    """

    part: int
    atom: Atom
    keys: tuple[int, ...]
    binds: tuple[tuple[int, int], ...]
    types: tuple[tuple[int, frozenset[str]], ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a derived predicate; for each answer bind *binds*, pairs of variable and head place.

    *shown* are variables whose value only the proof needs.
    """

    part: int
    atom: Atom
    shape: Shape
    binds: tuple[tuple[int, int], ...] = ()
    shown: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Alike:
    """Go on if *variable*, of which "anything" held so far, got a value of that very type."""

    variable: int


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


Step = Equal | Typed | Take | Lookup | Scan | First | Alike | Ask | Compare | Among | Choose | Stuck


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, then either a split or the answer: the head, with `slots` as narrowed.

    In the answer nothing has restricted the variables of `unbound`, and those of `wild` are
    anything of one type.
    """

    clause: Clause
    head: tuple[Arg, ...]
    slots: tuple[Slot, ...]
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    split: Split | None = None
    unbound: frozenset[int] = frozenset()
    wild: frozenset[int] = frozenset()

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
