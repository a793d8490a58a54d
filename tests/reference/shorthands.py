"""Writes a random block: words of a type, and shorthands of every form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.model import written
from tests.reference.worlds import (
    GLOBAL_PERMISSIONS,
    GLOBAL_ROLES,
    PERMISSIONS,
    ROLES,
    Predicate,
    World,
    is_primitive,
)


def listed(words: Sequence[str]) -> str:
    return f"[{', '.join(map(written, words))}]"


@dataclass(slots=True)
class Blocks:
    """The blocks of one program.

    `text` is what they say; `holding` are the ways in which rules may use has_role and its kin,
    `stored` those of them that may have facts.
    """

    world: World
    callable: Sequence[Predicate]
    has_global: bool
    text: list[str] = field(default_factory=list)
    holding: list[Predicate] = field(default_factory=list)
    stored: list[Predicate] = field(default_factory=list)
    relations: dict[str, dict[str, str]] = field(default_factory=dict)
    roots: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write a block for each type, and perhaps the global one."""
        for type_ in self.world.concrete:
            actor_with_words = type_ == "Team" and self.world.random.random() < 0.5
            if type_ not in self.world.parent and (
                type_ in self.world.resources or actor_with_words
            ):
                self.roots.append(type_)
        for type_ in self.world.concrete:
            self.write_block(type_)
        if self.has_global:
            self.write_global()

    def write_block(self, type_: str) -> None:
        kind = "actor" if type_ in self.world.actors else "resource"
        parent = self.world.parent.get(type_)
        header = f"{kind} {type_}" + (f" extends {parent}" if parent else "")
        root = self.world.lineage(type_)[-1]
        lines: list[str] = []
        if type_ in self.roots:
            lines = [*self.declared(type_), *self.common(), *self.shorthands(type_, root, 3, 6)]
        elif root in self.roots:
            if self.world.random.random() < 0.4:
                lines = ['roles = ["guest"];', '"viewer" if "guest";']
                self.hold(Predicate("has_role", (self.an_actor(), '"guest"', type_), open=True))
            lines += self.shorthands(type_, root, 0, 2)
        body = "".join(f"  {line}\n" for line in lines)
        self.text.append(f"{header} {{\n{body}}}")

    def an_actor(self) -> str:
        return self.world.random.choice(self.world.actors)

    def declared(self, type_: str) -> list[str]:
        """Declare words for a type that inherits none, and say how rules may use them."""
        related = {"parent": self.world.random.choice(self.roots), "author": self.an_actor()}
        self.relations[type_] = related
        self.hold(Predicate("has_role", (self.an_actor(), "Role", type_), open=True))
        self.hold(
            Predicate("has_permission", ("Actor", "Permission", type_), open=True), stored=0.3
        )
        for name, other in related.items():
            self.hold(Predicate("has_relation", (type_, f'"{name}"', other)))
        pairs = ", ".join(f"{name}: {other}" for name, other in related.items())
        return [
            f"roles = {listed(ROLES)};",
            f"permissions = {listed(PERMISSIONS)};",
            f"relations = {{ {pairs} }};",
        ]

    def common(self) -> list[str]:
        """Return shorthands without which next to nothing would be allowed."""
        chance = self.world.random.random
        lines = [f'"{word}" if "{role}";' for word, role in zip(PERMISSIONS, ROLES, strict=True)]
        lines += ['"viewer" if "editor";', '"editor" if "owner";', '"call" if "viewer";']
        return [line for line in lines if chance() < 0.7]

    def hold(self, predicate: Predicate, *, stored: float = 1) -> None:
        self.holding.append(predicate)
        if self.world.random.random() < stored:
            self.stored.append(predicate)

    def shorthands(self, type_: str, root: str, fewest: int, most: int) -> list[str]:
        shorthand = _Shorthand(self, type_, root)
        lines = [shorthand.text() for _ in range(self.world.random.randint(fewest, most))]
        return list(dict.fromkeys(lines))

    def write_global(self) -> None:
        pick = self.world.random
        lines = [
            f"roles = {listed(GLOBAL_ROLES)};",
            f"permissions = {listed(GLOBAL_PERMISSIONS)};",
            f'"{pick.choice(GLOBAL_PERMISSIONS)}" if "{pick.choice(GLOBAL_ROLES)}";',
        ]
        if pick.random() < 0.5:
            lines.append('"auditor" if "admin";')
        if pick.random() < 0.3:
            lines.append('"operate" if "audit" and "admin";')
        self.text.append("\n  ".join(["global {", *lines]) + "\n}")
        for word in GLOBAL_ROLES:
            self.hold(Predicate("has_role", (self.an_actor(), f'"{word}"'), open=True))


class _Shorthand:
    """One line of a block of *type_*, whose words were declared for *root*."""

    def __init__(self, blocks: Blocks, type_: str, root: str) -> None:
        self.world = blocks.world
        self.random = blocks.world.random
        self.blocks = blocks
        self.type = type_
        self.related = blocks.relations[root]

    def text(self) -> str:
        self.kinds = {"actor": "Actor", "resource": self.type}
        if self.random.random() < 0.12:
            word = self.random.choice(["role", "permission"])
            return f'{word} if {word} on "parent";'
        head = self.random.choice([*ROLES, *PERMISSIONS, *PERMISSIONS])
        return f'"{head}" if {self.body()};'

    def body(self) -> str:
        one, other, third = (self.part() for _ in range(3))
        shape = self.random.choices(
            ["{0}", "{0} or {1}", "{0} and {1}", "{0} or {1} and {2}", "({0} or {1}) and {2}"],
            [12, 2, 2, 1, 1],
        )[0]
        return shape.format(one, other, third)

    def part(self) -> str:
        forms = [self.word, self.across, self.own, self.worldwide, self.call]
        return self.random.choices(forms, [8, 4, 2, 2, 3])[0]()

    def word(self) -> str:
        return written(self.random.choice([*ROLES, *ROLES, *PERMISSIONS]))

    def across(self) -> str:
        return f'{self.word()} on "parent"'

    def own(self) -> str:
        return '"author"'

    def worldwide(self) -> str:
        if not self.blocks.has_global:
            return self.word()
        return f"global {written(self.random.choice([*GLOBAL_ROLES, *GLOBAL_PERMISSIONS]))}"

    def call(self) -> str:
        for predicate in self.random.sample(self.blocks.callable, len(self.blocks.callable)):
            before = dict(self.kinds)
            args = [self.argument(kind) for kind in predicate.kinds]
            if None not in args and {"actor", "resource"} & set(args):
                return f"{predicate.name}({', '.join(map(str, args))})"
            self.kinds = before
        return self.word()

    def argument(self, kind: str) -> str | None:
        if is_primitive(kind):
            return written(self.world.value(kind))
        fit = [name for name in self.kinds if self.world.overlaps(self.kinds[name], kind)]
        if not fit:
            return None
        name = self.random.choice(fit)
        self.kinds[name] = self.world.narrower(self.kinds[name], kind)
        return name
