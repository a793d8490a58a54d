"""Which actions a policy can allow at all, so that nothing else need be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from policies.facts import FactSet
from policies.polar.clauses import FACTS, Arg, Atom, Clause, Const, OneOf, Ref
from policies.polar.possible import POSSIBLE
from policies.polar.program import Program
from policies.polar.values import kind
from policies.vocabulary import ACTIONS


class _Column(NamedTuple):
    """An argument of a predicate, seen where another argument, if known, is of the type asked."""

    predicate: str
    place: int
    resource: int | None


def actions_of(program: Program, facts: FactSet, type_: str) -> frozenset[str]:
    """Return every action that `allow` may hold for on a resource of *type_*, and perhaps more.

    Where a rule leaves the action open these are the strings of the policy and what the gateway
    asks about that type.
    """
    found: set[str] = set()
    known = {_Column("allow/3", 1, 2), _Column(f"{POSSIBLE}allow/3", 1, 2)}
    waiting = list(known)
    while waiting:
        for source in _sources(waiting.pop(), program, facts, type_):
            match source:
                case None:
                    return program.words | frozenset(ACTIONS.get(type_, ()))
                case str():
                    found.add(source)
                case _ if source not in known:
                    known.add(source)
                    waiting.append(source)
    return frozenset(found)


def _sources(
    column: _Column, program: Program, facts: FactSet, type_: str
) -> Iterator[str | _Column | None]:
    """Yield where *column* has its values from: a string, another column, or None for anywhere."""
    clauses = program.clauses.get(column.predicate)
    if clauses is None:
        yield from _stated(column, program, facts, type_)
    for clause in clauses or ():
        if column.resource is None or _may_be(clause, clause.head[column.resource], type_):
            yield from _given(clause, column)


def _stated(column: _Column, program: Program, facts: FactSet, type_: str) -> Iterator[str]:
    predicate = column.predicate.removeprefix(FACTS)
    table = facts.get(predicate)
    rows = [*(table.rows if table else ()), *program.stated.get(predicate, ())]
    for row in rows:
        value = row[column.place]
        fits = column.resource is None or kind(row[column.resource]) == type_
        if isinstance(value, str) and fits:
            yield value


def _may_be(clause: Clause, arg: Arg, type_: str) -> bool:
    match arg:
        case Const(value):
            return kind(value) == type_
        case Ref(number):
            return type_ in clause.slots[number].types
    return False


def _given(clause: Clause, column: _Column) -> Iterator[str | _Column | None]:
    """Yield what gives the argument of *clause* its value: any one source would be enough."""
    arg = clause.head[column.place]
    if isinstance(arg, Const):
        if isinstance(arg.value, str):
            yield arg.value
        return
    resource = None if column.resource is None else clause.head[column.resource]
    bound = False
    for part in clause.parts:
        if isinstance(part, OneOf) and part.arg == arg:
            bound = True
            yield from (option for option in part.options if isinstance(option, str))
        elif isinstance(part, Atom) and not part.negated and arg in part.args:
            bound = True
            below = part.args.index(resource) if resource in part.args else None
            yield _Column(part.predicate, part.args.index(arg), below)
    if not bound:
        yield None
