"""Values as the reference sees them: each beside its type."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from policies.model import Answer, Anything, Entity, type_name

Cell = tuple[str, object]
"""A value beside its type, so that True is not 1. The value of a stranger is a `Stranger`."""

Row = tuple[Cell, ...]


holds_between: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Stranger:
    """A value that neither the program nor the question mentions."""

    number: int


@dataclass(frozen=True, slots=True)
class Arbitrary:
    """A value of which nothing is known but its type: what holds for it holds for every value."""

    place: int


ALL: Final = Stranger(0)
"""In a row of an answer: every value of the type."""


def cell(answer: Answer) -> Cell:
    """Return *answer* beside its type; `Anything` becomes `ALL`."""
    if isinstance(answer, Anything):
        return answer.type, ALL
    return type_name(answer), answer.id if isinstance(answer, Entity) else answer


def answer(found: Cell) -> Answer:
    """Undo `cell`."""
    type_, value = found
    if value == ALL:
        return Anything(type_)
    if type_ in {"String", "Integer", "Boolean"}:
        assert isinstance(value, (str, int))
        return value
    return Entity(type_, str(value))


def compared(sign: str, left: Cell, right: Cell) -> bool:
    """Say whether the comparison holds; it never does unless both sides are Integers."""
    if left[0] != "Integer" or right[0] != "Integer":
        return False
    assert isinstance(left[1], int)
    assert isinstance(right[1], int)
    return holds_between[sign](left[1], right[1])
