"""The types, values and predicates that a random program is about."""

from __future__ import annotations

import random as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from policies.model import Entity, Value

NOW: Final = 1_000_000
"""The moment around which random leases end."""

IDS: Final = "abcd"
"""Every type uses the same ids, and tags are spelled like them, so that only types differ."""

ROLES: Final = ("viewer", "editor", "owner")
PERMISSIONS: Final = ("read", "write", "call")
GLOBAL_ROLES: Final = ("admin", "auditor")
GLOBAL_PERMISSIONS: Final = ("audit", "operate")

PRIMITIVE: Final = {
    "Integer": "Integer",
    "Permission": "String",
    "Role": "String",
    "String": "String",
    "Time": "Integer",
}
"""Kinds of primitive argument, each with the type that policy text gives it.

They are kept apart because joining a time with a small number would find nothing; a Mixed
argument is a Boolean or an Integer, so nothing can be written. A kind in quotes is that one word.
"""


VALUES: Final[Mapping[str, Sequence[Value]]] = {
    "Integer": range(5),
    "Mixed": [True, False, 0, 1, 2],
    "Permission": PERMISSIONS,
    "Role": ROLES,
    "String": "abc",
    "Time": range(NOW - 2, NOW + 3),
}


def is_primitive(kind: str) -> bool:
    return kind in VALUES or kind.startswith('"')


@dataclass(frozen=True, slots=True)
class Predicate:
    """A predicate of the program, or one way to use it, with the kinds of its arguments.

    One that is `open` may have rules that leave arguments open, so it need not bind a variable.
    """

    name: str
    kinds: tuple[str, ...]
    open: bool = False


@dataclass(slots=True)
class World:
    """What rules, facts and questions of one program choose from."""

    random: randomness.Random
    actors: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    parent: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pick = self.random
        self.actors = ["Client", "User", "Team"][: pick.randint(2, 3)]
        self.resources = ["Server", "Tool", "Folder", "Gate"][: pick.randint(2, 4)]
        if pick.random() < 0.5:
            self.parent["Tool"] = "Server"
        if pick.random() < 0.3:
            self.parent["User"] = "Client"
        if "Gate" in self.resources and pick.random() < 0.5:
            self.parent["Gate"] = pick.choice(["Tool", "Folder"])
        self.ids = {type_: IDS[: pick.randint(3, 4)] for type_ in self.concrete}

    @property
    def concrete(self) -> list[str]:
        return self.actors + self.resources

    def lineage(self, type_: str) -> list[str]:
        """Return *type_* and the types it extends, the nearest first."""
        found = [type_]
        while found[-1] in self.parent:
            found.append(self.parent[found[-1]])
        return found

    def below(self, kind: str) -> list[str]:
        """Return the concrete types that *kind* accepts."""
        if kind == "Actor":
            return self.actors
        if kind == "Resource":
            return self.concrete
        return [type_ for type_ in self.concrete if kind in self.lineage(type_)]

    def overlaps(self, kind: str, other: str) -> bool:
        """Say whether a value of one kind may be one of the other."""
        if is_primitive(kind) or is_primitive(other):
            return kind == other
        return not set(self.below(kind)).isdisjoint(self.below(other))

    def value(self, kind: str) -> Value:
        """Return a random value that an argument of this kind may have."""
        if kind.startswith('"'):
            return kind.strip('"')
        if is_primitive(kind):
            return self.random.choice(VALUES[kind])
        type_ = self.random.choice(self.below(kind))
        return Entity(type_, self.random.choice(self.ids[type_]))

    def narrower(self, kind: str, other: str) -> str:
        """Return which of two kinds that overlap accepts less."""
        return kind if len(self.below(kind)) < len(self.below(other)) else other

    def vocabulary(self) -> list[Predicate]:
        """Return fact predicates over these types, none of which has rules."""
        pick = self.random.choice
        actor, edge, node, place = (
            pick(self.actors),
            pick(self.actors),
            pick(self.resources),
            pick(self.resources),
        )
        return [
            Predicate("member", (actor, edge)),
            Predicate("inside", (node, node)),
            Predicate("near", (node, place)),
            Predicate("tagged", (pick([node, place, "Resource"]), "String")),
            Predicate("level", (pick([actor, "Actor"]), "Integer")),
            Predicate("limit", (node, "Integer")),
            Predicate("lease", (actor, "Role", place, "Time")),
            Predicate("flag", (pick([node, place]), "Mixed")),
            Predicate("uses", (pick([actor, edge]), pick([node, place]))),
            Predicate("banned", (pick([actor, "Actor"]),)),
            Predicate("closed", (pick([node, place, "Resource"]),)),
            Predicate("locked", (pick([actor, edge]), pick([node, place]))),
        ]
