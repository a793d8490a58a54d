"""What the answer to a question may depend on: predicates, and the time it is asked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from policies.model import Entity
from policies.polar.clauses import Arg, Clause, Clock, Const, Ref, args_of
from policies.polar.clauses import Atom as Condition
from policies.polar.program import Program
from policies.polar.tables import Table
from policies.polar.values import kind, name_of
from policies.recorded import Recorded
from policies.supplied import Caller, Named, caller_facts

BEHIND_CONNECT: Final = frozenset({"Tool", "Prompt", "Document"})
"""Types of what is asked about only of those who may connect to its server."""


class Reach:
    """What the answers of a program may depend on."""

    def __init__(self, program: Program, named: Named) -> None:
        self._program = program
        self._named = {
            name: places for name, places in named.items() if name in ("hour_of_day", "weekday")
        }
        parts = [part for each in program.clauses.values() for one in each for part in one.parts]
        args = [*chain.from_iterable(map(args_of, parts))]
        self.has_clock = any(isinstance(arg, Clock) for arg in args)
        heads = [arg for each in program.clauses.values() for one in each for arg in one.head]
        self.literals: frozenset[int] = frozenset(
            arg.value
            for arg in (*args, *heads)
            if isinstance(arg, Const) and type(arg.value) is int
        )
        self._tables: dict[Table, tuple[object, ...]] = {}
        self._reached: dict[tuple[str, str, str], frozenset[str]] = {}
        self._moments: dict[int, object] = {}

    def moments(self, now: int) -> object:
        if not self._named:
            return None
        quarter = now // 900  # no zone begins an hour at another minute
        if quarter not in self._moments:
            facts = caller_facts(self._named, Caller(Entity("User", "")), quarter * 900)
            self._moments[quarter] = tuple(facts)
        return self._moments[quarter]

    def seconds(self, tables: Mapping[str, Table]) -> Sequence[int]:
        """Return all numbers that the clock may be compared with, in order."""
        found: set[Any] = set(self.literals)
        for table in tables.values():
            numbers = self._tables.get(table)
            if numbers is None:
                numbers = tuple({one for row in table.rows for one in row if _is_number(one)})
                self._tables[table] = numbers
            found.update(numbers)
        return sorted(found)

    def predicates(self, of: Recorded) -> frozenset[str]:
        """Return the names of the predicates that the answer to *of* may depend on."""
        found: set[str] = set()
        for action, type_ in ((of.action, of.resource.type), ("connect", "Server")):
            key = (of.actor.type, action, type_)
            if key not in self._reached:
                self._reached[key] = frozenset(map(name_of, _reached(self._program, *key)))
            found |= self._reached[key]
            if of.resource.type not in BEHIND_CONNECT:
                break
        return frozenset(found)


def _is_number(value: object) -> bool:
    return type(value) is int


class _Asked(NamedTuple):
    """A predicate with the places, if known, of what the question is about."""

    predicate: str
    actor: int | None
    action: int | None
    resource: int | None


def _reached(program: Program, actor: str, action: str, resource: str) -> set[str]:
    """Return the predicates that may decide whether an *actor* may do *action* on a *resource*."""
    first = _Asked("allow/3", 0, 1, 2)
    known, waiting = {first}, [first]
    while waiting:
        asked = waiting.pop()
        for clause in program.clauses.get(asked.predicate, ()):
            if _concerns(clause, asked, actor, action, resource):
                new = set(_conditions(clause, asked)) - known
                known |= new
                waiting += new
    return {one.predicate for one in known}


def _concerns(clause: Clause, asked: _Asked, actor: str, action: str, resource: str) -> bool:
    return (
        (asked.actor is None or _may_be(clause, clause.head[asked.actor], actor))
        and (asked.resource is None or _may_be(clause, clause.head[asked.resource], resource))
        and (asked.action is None or _may_equal(clause.head[asked.action], action))
    )


def _may_be(clause: Clause, arg: Arg, type_: str) -> bool:
    match arg:
        case Const(value):
            return kind(value) == type_
        case Ref(number):
            return type_ in clause.slots[number].types
    return False


def _may_equal(arg: Arg, word: str) -> bool:
    return not isinstance(arg, Const) or arg.value == word


def _conditions(clause: Clause, asked: _Asked) -> Iterator[_Asked]:
    for part in clause.parts:
        if isinstance(part, Condition):
            places = (
                None if place is None else _place(part, clause.head[place])
                for place in asked[1:]
            )  # fmt: skip
            yield _Asked(part.predicate, *places)


def _place(part: Condition, arg: Arg) -> int | None:
    return part.args.index(arg) if isinstance(arg, Ref) and arg in part.args else None
