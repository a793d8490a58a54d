"""Writes random rules as text: well typed, with every variable that needs a value bound."""

from __future__ import annotations

import random as randomness
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.model import type_name, written
from tests.reference.worlds import PRIMITIVE, Predicate, World, is_primitive


@dataclass(slots=True)
class Sentence:
    """One rule being written.

    Variables are `$1`, `$2`, ... until the end, when it is known which of them occur once: those
    become `_`, or `_name` in the head. `bound` variables occur in a positive call; `certain` ones
    in a call that always gives a value. Who is `trusting` believes that every call does.
    """

    world: World
    kinds: dict[str, str] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    certain: set[str] = field(default_factory=set)
    trusting: bool = False
    conditions: list[str] = field(default_factory=list)

    @property
    def random(self) -> randomness.Random:
        return self.world.random

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def variable(self, kind: str) -> str:
        name = f"${len(self.kinds) + 1}"
        self.kinds[name] = kind
        return name

    def known(self, kind: str, *, only: set[str] | None = None) -> list[str]:
        """Return the variables that may be of this kind."""
        names = self.kinds if only is None else sorted(only)
        return [name for name in names if self.world.overlaps(self.kinds[name], kind)]

    def literal(self, kind: str) -> str:
        return written(self.world.value(kind))

    def term(self, kind: str, taken: Sequence[str]) -> str:
        """Return an argument for a positive call: mostly a variable that is already there."""
        known = [name for name in self.known(kind) if name not in taken or self.chance(0.1)]
        fresh = [name for name in known if name not in self.bound]
        if fresh and self.chance(0.8):
            return self.narrowed(self.random.choice(fresh), kind)
        if known and self.chance(0.75):
            return self.narrowed(self.random.choice(known), kind)
        if kind.startswith('"') or self.chance(0.15):
            return self.literal(kind)
        return self.variable(kind)

    def narrowed(self, name: str, kind: str) -> str:
        """Note that *name* is also of this kind, so that no rule asks for the impossible."""
        if not is_primitive(kind):
            self.kinds[name] = self.world.narrower(self.kinds[name], kind)
        return name

    def call(self, predicate: Predicate) -> None:
        args: list[str] = []
        for kind in predicate.kinds:
            args.append(self.term(kind, args))
        named = {arg for arg in args if arg.startswith("$")}
        self.bound |= named
        if self.trusting or not predicate.open:
            self.certain |= named
        self.conditions.append(f"{predicate.name}({', '.join(args)})")

    def plain_call(self, predicate: Predicate) -> str:
        """Return a call that brings no variable of its own."""
        args = []
        for kind in predicate.kinds:
            known = [name for name in self.known(kind) if name not in args]
            if known and self.chance(0.9):
                args.append(self.narrowed(self.random.choice(known), kind))
            else:
                anonymous = not kind.startswith('"') and self.chance(0.6)
                args.append("_" if anonymous else self.literal(kind))
        return f"{predicate.name}({', '.join(args)})"

    def choice(self, predicates: Sequence[Predicate]) -> None:
        """Add `(one or other)`, sometimes with a conjunction on one side."""
        before = dict(self.kinds)
        left = self.plain_call(self.random.choice(predicates))
        if self.chance(0.3):
            left += f" and {self.plain_call(self.random.choice(predicates))}"
        self.kinds = dict(before)
        right = self.plain_call(self.random.choice(predicates))
        self.kinds = before
        self.conditions.append(f"({left} or {right})")

    def test(self) -> None:
        """Add a condition on one bound variable that tells its values apart."""
        if not self.certain:
            return
        name = self.random.choice(sorted(self.certain))
        kind = self.kinds[name]
        if kind == "Time":
            self.conditions.append(f"@current_unix_time {self.random.choice(['<', '<='])} {name}")
        elif kind in {"Integer", "Mixed"}:
            self.compare(name, kind)
        elif is_primitive(kind):
            options = sorted({self.literal(kind), self.literal(kind)})
            equal = self.chance(0.3)
            self.conditions.append(
                f"{name} = {options[0]}" if equal else f"{name} in [{', '.join(options)}]"
            )
        else:
            value = self.world.value(kind)
            self.kinds[name] = type_name(value)
            tests = [f"= {written(value)}", f"matches {type_name(value)}"]
            self.conditions.append(f"{name} {self.random.choice(tests)}")

    def compare(self, name: str, kind: str) -> None:
        others = [other for other in self.known(kind, only=self.certain) if other != name]
        if kind == "Mixed" and self.chance(0.5):
            self.conditions.append(f"{name} = {self.literal(kind)}")
            return
        other = self.random.choice(others) if others and self.chance(0.6) else None
        sign = self.random.choice(["<", "<=", ">", ">=", "!=", ">", ">="])
        self.conditions.append(f"{name} {sign} {other or self.random.randint(0, 3)}")

    def negation(self, predicates: Sequence[Predicate], typed: Sequence[str]) -> str | None:
        """Return a `not` of one call over bound variables or *typed* parameters, if one fits."""
        fit = set(typed) | self.certain
        for predicate in self.random.sample(list(predicates), len(predicates)):
            args = []
            for kind in predicate.kinds:
                known = self.known(kind, only=fit)
                args.append(self.random.choice(known) if known else self.literal(kind))
            if any(arg.startswith("$") for arg in args):
                return f"not {predicate.name}({', '.join(args)})"
        return None

    def text(self, name: str, head: Sequence[str], types: Sequence[str | None]) -> str:
        """Return the finished rule. *head* are terms, *types* what stands after their colons."""
        body = " and ".join(self.conditions)
        parameters = ", ".join(
            f"{term}: {type_}" if type_ and term.startswith("$") else term
            for term, type_ in zip(head, types, strict=True)
        )
        rule = f"{name}({parameters})" + (f" if {body};" if body else ";")
        for variable in sorted(self.kinds, key=len, reverse=True):
            times = len(re.findall(re.escape(variable) + r"\b", rule))
            spelled = f"v{variable[1:]}"
            if times == 1:
                spelled = f"_{spelled}" if variable in head else "_"
            rule = re.sub(re.escape(variable) + r"\b", spelled, rule)
        return rule


def rule(
    world: World,
    target: Predicate,
    positive: Sequence[Predicate],
    negatable: Sequence[Predicate],
    *,
    compound: bool = False,
) -> str:
    """Return a random rule for *target*, with conditions from *positive* and *negatable*.

    With *compound*, a `not` may hold a conjunction.
    """
    sentence = Sentence(world, trusting=world.random.random() < 0.2)
    head = _head(sentence, target)
    calls = world.random.choice([1, 1, 1, 2, 2, 3])
    while calls > 0 or (calls > -2 and _is_open(sentence, head) and sentence.chance(0.8)):
        sentence.call(world.random.choice(_related(sentence, positive)))
        calls -= 1
    if sentence.chance(0.4):
        sentence.test()
    if sentence.chance(0.2):
        sentence.choice(_related(sentence, positive))
    types = _types(sentence, target, head)
    typed = _deniable(sentence, target, head, types)
    denial = sentence.negation(negatable, typed) if sentence.chance(0.3) else None
    if denial is not None:
        sentence.conditions.append(denial)
    if compound and sentence.chance(0.4):
        sentence.conditions.append(_compound(sentence, positive, negatable, typed))
    for index, term in enumerate(head):
        open_ = term.startswith("$") and term not in sentence.bound
        if open_ and is_primitive(target.kinds[index]):
            _settle(sentence, head, index, target.kinds[index])
    return sentence.text(target.name, head, types)


def _head(sentence: Sentence, target: Predicate) -> list[str]:
    head: list[str] = []
    for kind in target.kinds:
        again = [term for term in head if sentence.kinds.get(term) == kind]
        if again and sentence.chance(0.1):
            head.append(sentence.random.choice(again))
        else:
            literal = sentence.chance(0.1)
            head.append(sentence.literal(kind) if literal else sentence.variable(kind))
    return head


def _is_open(sentence: Sentence, head: Sequence[str]) -> bool:
    return any(term.startswith("$") and term not in sentence.bound for term in head)


def _related(sentence: Sentence, predicates: Sequence[Predicate]) -> list[Predicate]:
    """Return predicates that join with the variables so far, best with those not yet bound."""
    open_ = set(sentence.kinds) - sentence.bound
    for names in (open_, set(sentence.kinds)):
        related = [
            predicate
            for predicate in predicates
            if any(sentence.known(kind, only=names) for kind in predicate.kinds)
        ]
        if related:
            return related
    return list(predicates)


def _types(sentence: Sentence, target: Predicate, head: Sequence[str]) -> list[str | None]:
    """Choose a type for each parameter; only what the body binds may do without one."""
    world, types = sentence.world, list[str | None]()
    for term, kind in zip(head, target.kinds, strict=True):
        if head.index(term) < len(types) or (term in sentence.bound and sentence.chance(0.35)):
            types.append(None)
        elif is_primitive(kind):
            types.append(PRIMITIVE.get(kind))
        else:
            wide = "Actor" if kind in world.actors else "Resource"
            narrow = sentence.kinds.get(term, kind)
            types.append(sentence.random.choice([kind, kind, narrow, wide]))
    return types


def _deniable(
    sentence: Sentence, target: Predicate, head: Sequence[str], types: Sequence[str | None]
) -> list[str]:
    """Return the typed parameters that `not` may speak of although nothing else binds them.

    Mostly for `allow`: such a rule has to be told its arguments, and other rules ask openly.
    """
    if target.name != "allow" and sentence.chance(0.9):
        return []
    return [term for term, type_ in zip(head, types, strict=True) if type_ and term[0] == "$"]


def _compound(
    sentence: Sentence,
    positive: Sequence[Predicate],
    negatable: Sequence[Predicate],
    typed: Sequence[str],
) -> str:
    """Return `not (... and ...)`, whose inner part may bind a variable of its own."""
    outer = {*typed, *sentence.certain}
    inner = Sentence(sentence.world, sentence.kinds, certain=set(outer))
    first = sentence.random.choice(_related(sentence, negatable or positive))
    args = []
    for kind in first.kinds:
        known = sentence.known(kind, only=outer)
        use = known and sentence.chance(0.7)
        args.append(sentence.random.choice(known) if use else sentence.variable(kind))
    parts = [f"{first.name}({', '.join(args)})"]
    inner.certain |= {arg for arg in args if arg.startswith("$")}
    second = inner.negation(negatable, ()) if negatable else None
    parts += [second] if second else []
    return f"not ({' and '.join(parts)})"


def _settle(sentence: Sentence, head: list[str], index: int, kind: str) -> None:
    """Put a literal where an open parameter would stand for every string or number."""
    variable, literal = head[index], sentence.literal(kind)
    pattern = re.compile(re.escape(variable) + r"\b")
    head[:] = [literal if term == variable else term for term in head]
    sentence.conditions = [pattern.sub(lambda _: literal, c) for c in sentence.conditions]
