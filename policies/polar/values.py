"""Values as the engine holds them.

Python says `True == 1`; a policy must not. Inside the engine a Boolean is therefore an `Entity` of
type Boolean, as it is on Oso's wire, and everything compares and hashes by type.
"""

from __future__ import annotations

from policies.model import Answer, Anything, Entity, Fact

TRUE = Entity("Boolean", "true")
FALSE = Entity("Boolean", "false")
BOOLEANS = (FALSE, TRUE)

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)

Held = str | int | Entity | Anything
"""A value inside the engine: never a bool."""

Row = tuple[Held, ...]


def held(value: Answer) -> Held:
    """Return *value* as the engine holds it."""
    return BOOLEANS[value] if isinstance(value, bool) else value


def told(value: Held) -> Answer:
    """Return *value* as the world writes it."""
    if value == TRUE:
        return True
    return False if value == FALSE else value


def held_row(args: tuple[Answer, ...]) -> Row:
    return tuple([BOOLEANS[arg] if arg is True or arg is False else arg for arg in args])


def fact(name: str, row: Row) -> Fact:
    """Return the public fact that *row* of the predicate called *name* states."""
    if TRUE in row or FALSE in row:
        return Fact(name, tuple(map(told, row)))
    return Fact(name, row)


def kind(value: Held) -> str:
    """Return the type of *value*."""
    if isinstance(value, str):
        return "String"
    return "Integer" if isinstance(value, int) else value[0]


def key_of(predicate: str, arity: int) -> str:
    """Return the name under which tables and rules of one predicate are kept."""
    return f"{predicate}/{arity}"


def name_of(key: str) -> str:
    """Return the predicate's name without its arity."""
    return key.rpartition("/")[0]
