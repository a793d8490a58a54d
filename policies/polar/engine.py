"""Deciding: a program linked with a set of facts, asked from any number of threads at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from policies.model import Answer, Anything, Entity, Fact, Proof, StepKind, Value
from policies.polar.code import Tag
from policies.polar.plan import Form, Given, Known, Shape, Sought
from policies.polar.possible import POSSIBLE
from policies.polar.program import Program
from policies.polar.proofs import Origin, proof_of, rules_of
from policies.polar.runtime import Answers, Limits, Node, Overlay, Question
from policies.polar.tables import EMPTY, Table
from policies.polar.values import Held, Row, held, held_row, key_of, kind, name_of, told

_ALLOW = "allow/3"
_STRING = frozenset({"String"})
_NO_TYPE = frozenset({"?"})


class Free(NamedTuple):
    """An argument whose values are wanted: those of exactly *type*, or of any type."""

    type: str | None = None


class Ruling:
    """Whether something holds and, on demand, why. True if it does."""

    __slots__ = ("_node", "_origin", "allowed")

    def __init__(self, node: Node | None, origin: Origin) -> None:
        self.allowed = node is not None
        self._node = node
        self._origin = origin

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def proof(self) -> Proof | None:
        """The reasons, or None where there are none because it does not hold."""
        return None if self._node is None else proof_of(self._node, self._origin)

    @property
    def rules(self) -> tuple[str, ...]:
        """`file:line` of each rule that the proof uses, the deciding one first."""
        return () if self._node is None else rules_of(self._node)


class Engine:
    """Decides with one program over one set of facts. Both are immutable: to swap, make another.

    Facts of one question (`own`, made by `overlay`) are seen beside the set and never copied into
    it. `now` is the Unix second the question is asked at; the clock's if it is not given. Every
    question may raise `UndecidedError`, which is neither an allow nor a deny.
    """

    def __init__(
        self, program: Program, facts: Mapping[str, Table], limits: Limits | None = None
    ) -> None:
        self.program = program
        self.limits = limits or Limits()
        names = program.compiler.tables
        self._numbers = {name: number for number, name in enumerate(names)}
        self._base = [
            _with_stated(facts.get(name, EMPTY), program.stated.get(name)) for name in names
        ]
        self._nothing: Overlay = [None] * len(names)
        self._entries: dict[tuple[str, str, str, str], tuple[Callable[..., Any], bool]] = {}

    def overlay(self, facts: Iterable[tuple[Fact, str]], *, only_useful: bool = False) -> Overlay:
        """Return *facts*, each with its origin, for one question.

        Raise `FactError` for a fact that the policy does not accept; with *only_useful* one that no
        rule could meet is left out instead.
        """
        own: list[dict[Row, str] | None] = [None] * len(self._base)
        schema = self.program.schema
        for fact, origin in facts:
            table = schema.table_of(fact) if only_useful else schema.check(fact)
            if table is None:
                continue
            number = self._numbers[table]
            rows = own[number]
            if rows is None:
                rows = own[number] = {}
            rows[held_row(fact.args)] = origin
        return own

    def decide(
        self,
        actor: Entity,
        action: str,
        resource: Entity,
        own: Overlay | None = None,
        now: int | None = None,
    ) -> Ruling:
        """Tell whether `allow(actor, action, resource)` holds, and why."""
        question = self.question(own, now)
        node = self._ask(question, _ALLOW, actor, action, resource)
        return Ruling(node, partial(self._origin, question.over))

    def select(
        self,
        actor: Entity,
        action: str,
        resources: Iterable[Entity],
        own: Overlay | None = None,
        now: int | None = None,
        *,
        possibly: bool = False,
    ) -> list[Entity]:
        """Return those of *resources* on which the action is allowed, in one pass.

        With *possibly*, those on which it is allowed for some arguments of the call.
        """
        question = self.question(own, now)
        predicate = _ALLOW
        if possibly and POSSIBLE + _ALLOW in self.program.clauses:
            predicate = POSSIBLE + _ALLOW
        return [
            resource
            for resource in resources
            if self._ask(question, predicate, actor, action, resource) is not None
        ]

    def holds(
        self,
        predicate: str,
        args: Sequence[Value],
        own: Overlay | None = None,
        now: int | None = None,
    ) -> Ruling:
        """Tell whether *predicate* holds of *args*, and why."""
        question = self.question(own, now)
        answers = self._answers(question, key_of(predicate, len(args)), list(map(held, args)))
        return Ruling(answers.get(()), partial(self._origin, question.over))

    def query(
        self,
        predicate: str,
        args: Sequence[Value | Free],
        own: Overlay | None = None,
        now: int | None = None,
    ) -> list[tuple[Answer, ...]]:
        """Return every way in which *predicate* holds, as whole argument lists.

        `Anything(type)` stands where all values of the type do. An answer that another one covers
        is left out.
        """
        return [row for row, _ in self.explain(predicate, args, own, now)]

    def explain(
        self,
        predicate: str,
        args: Sequence[Value | Free],
        own: Overlay | None = None,
        now: int | None = None,
    ) -> list[tuple[tuple[Answer, ...], Ruling]]:
        """Return what `query` does, each answer with its ruling, from which a proof is had."""
        question = self.question(own, now)
        asked = [arg if isinstance(arg, Free) else held(arg) for arg in args]
        found = self.rows(question, key_of(predicate, len(args)), asked)
        origin = partial(self._origin, question.over)
        return [(tuple(map(told, row)), Ruling(found[row], origin)) for row in _widest(found)]

    def rows(self, question: Question, key: str, args: Sequence[Held | Free]) -> dict[Row, Node]:
        """Return the rows of predicate *key* (`name/arity`) that agree with *args*, and why."""
        sought = [place for place, arg in enumerate(args) if isinstance(arg, Free)]
        rows = {}
        for values, node in self._answers(question, key, args).items():
            row: list[Any] = list(args)
            for place, value in zip(sought, values, strict=True):
                row[place] = value
            rows[tuple(row)] = node
        return rows

    def resources(
        self, actor: Entity, action: str, type_: str, own: Overlay | None = None,
        now: int | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Return the resources of *type_* on which *actor* may do *action*."""
        return [row[2] for row in self.query("allow", (actor, action, Free(type_)), own, now)]

    def actions(
        self, actor: Entity, resource: Entity, own: Overlay | None = None, now: int | None = None
    ) -> list[Answer]:
        """Return what *actor* may do on *resource*."""
        return [row[1] for row in self.query("allow", (actor, Free("String"), resource), own, now)]

    def warm(self, other: Engine) -> None:
        """Compile what *other* has been asked so far, so that no call waits for it."""
        for predicate, actor, action, resource in list(other._entries):
            if predicate in self.program.clauses:
                self._entry(predicate, actor, action, resource)

    def question(self, own: Overlay | None, now: int | None) -> Question:
        moment = int(time.time()) if now is None else now
        return Question(self._base, self._nothing if own is None else own, moment, self.limits)

    def _ask(
        self, question: Question, predicate: str, actor: Entity, action: str, resource: Entity
    ) -> Node | None:
        key = (predicate, actor[0], action, resource[0])
        found = self._entries.get(key)
        if found is None:
            found = self._entry(*key)
        function, known = found
        node: Node | None = (
            function(question, actor, resource)
            if known
            else function(question, actor, action, resource)
        )
        return node

    def _entry(
        self, predicate: str, actor: str, action: str, resource: str
    ) -> tuple[Callable[..., Any], bool]:
        """Return the function for such questions, and whether it has the action built in."""
        known = action in self.program.words
        forms = (
            self._given(actor),
            Known(action) if known else Given(_STRING),
            self._given(resource),
        )
        entry = self.program.compiler.function(Shape(predicate, forms)), known
        if known and {actor, resource} <= self.program.types.every:
            # What the policy does not know may be anything a caller makes up: not kept.
            self._entries[predicate, actor, action, resource] = entry
        return entry

    def _given(self, type_: str) -> Given:
        """Return the form of a value of *type_*; all types that no block declares share one."""
        return Given(frozenset({type_}) if type_ in self.program.types.every else _NO_TYPE)

    def _answers(self, question: Question, key: str, args: Sequence[Held | Free]) -> Answers:
        """Return the sought values of every answer with their proofs; `{(): proof}` for a yes."""
        if key not in self.program.clauses:
            return self._stored(question, key, args)
        shape = Shape(key, tuple(map(self._form, args)))
        given = [arg for arg in args if not isinstance(arg, Free)]
        found = self.program.compiler.function(shape)(question, *given)
        if shape.sought:
            return dict(found)
        return {} if found is None else {(): found}

    def _form(self, arg: Held | Free) -> Form:
        if isinstance(arg, Free):
            every = self.program.types.every
            return Sought(every if arg.type is None else frozenset({arg.type}) & every)
        return self._given(kind(arg))

    def _stored(self, question: Question, key: str, args: Sequence[Held | Free]) -> Answers:
        if key not in self._numbers:
            return {}
        places = tuple(place for place, arg in enumerate(args) if not isinstance(arg, Free))
        given = tuple(arg for arg in args if not isinstance(arg, Free))
        sought = [(place, arg.type) for place, arg in enumerate(args) if isinstance(arg, Free)]
        rows = question.scan(self._numbers[key], places, given)
        return {
            tuple(row[place] for place, _ in sought): (
                Tag(StepKind.FACT, name_of(key), table=self._numbers[key]),
                row,
            )
            for row in rows
            if all(type_ in (None, kind(row[place])) for place, type_ in sought)
        }

    def _origin(self, own: Overlay, table: int, row: Row) -> str:
        rows = own[table]
        if rows and row in rows:
            return rows[row]
        origins = self._base[table].rows[row]
        return origins[0] if len(origins) == 1 else ", ".join(origins)


def _with_stated(table: Table, stated: Mapping[Row, str] | None) -> Table:
    for row, place in (stated or {}).items():
        table = table.changed(place, add=(row,))
    return table


def _widest(found: Iterable[Row]) -> list[Row]:
    """Return the answers that no other answer with `Anything` in it covers."""
    found = list(found)
    open_ = [values for values in found if any(isinstance(value, Anything) for value in values)]
    return [
        values
        for values in found
        if not any(_covers(wide, values) for wide in open_ if wide != values)
    ]


def _covers(wide: Row, values: Row) -> bool:
    return all(
        one == other or (isinstance(one, Anything) and one.type == _type(other))
        for one, other in zip(wide, values, strict=True)
    )


def _type(value: Held) -> str:
    return value.type if isinstance(value, Anything) else kind(value)
