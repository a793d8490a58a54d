"""Random programs: well-typed policy text, facts that fit it, and questions worth asking."""

from __future__ import annotations

import random as randomness
from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.model import Answer, Anything, Entity, Fact, Value
from tests.reference import sentences
from tests.reference.shorthands import Blocks
from tests.reference.worlds import NOW, PERMISSIONS, PRIMITIVE, Predicate, World, is_primitive

Question = tuple[str, tuple[Value, ...]]


@dataclass(frozen=True, slots=True)
class Program:
    """A policy, facts for it, and ground questions, to be asked at `now`."""

    text: str
    facts: list[Fact]
    questions: list[Question]
    now: int = NOW


def program(random: randomness.Random, *, portable: bool = True) -> Program:
    """Return a random program.

    A portable one negates only single facts of predicates without rules; others also negate
    conjunctions and derived predicates, always stratified.
    """
    draft = _Draft(World(random), portable=portable)
    draft.write()
    facts = draft.facts()
    return Program("\n".join(draft.items), facts, draft.questions(facts))


@dataclass(slots=True)
class _Draft:
    """A program on its way: each layer of rules may negate what stands below it."""

    world: World
    portable: bool
    items: list[str] = field(default_factory=list)
    plain: list[Predicate] = field(default_factory=list)
    derived: list[Predicate] = field(default_factory=list)
    holding: list[Predicate] = field(default_factory=list)
    stored: list[Predicate] = field(default_factory=list)

    @property
    def random(self) -> randomness.Random:
        return self.world.random

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def write(self) -> None:
        vocabulary = self.world.vocabulary()
        self.plain = vocabulary[:2] + self.random.sample(vocabulary[2:], self.random.randint(4, 7))
        self.stored = list(self.plain)
        self.write_recursion()
        self.write_derived()
        self.write_blocks()
        self.write_grants()
        if self.chance(0.45):
            self.write_allow()
        self.items += self.declarations()
        self.items += self.policy_facts()
        self.random.shuffle(self.items)

    @property
    def negatable(self) -> list[Predicate]:
        """The predicates of which no rule and no line of the policy speaks."""
        return [each for each in self.plain if each.name in {"banned", "closed", "locked", "uses"}]

    def write_recursion(self) -> None:
        """Write the closure of an edge in one of the ways to write it."""
        edge = self.plain[0] if len(set(self.plain[0].kinds)) == 1 else self.plain[1]
        if len(set(edge.kinds)) != 1:
            return
        name, kind = edge.name, edge.kinds[0]
        typed = f"x: {kind}, y: {kind}" if self.chance(0.6) else "x, y"
        step = {
            "right": f"reaches({typed}) if {name}(x, z) and reaches(z, y);",
            "left": f"reaches({typed}) if reaches(x, z) and {name}(z, y);",
            "both": f"reaches({typed}) if reaches(x, z) and reaches(z, y);",
            "mutual": f"reaches({typed}) if {name}(x, z) and strides(z, y);\n"
            f"strides({typed}) if reaches(x, z) and {name}(z, y);",
        }
        self.items.append(f"reaches({typed}) if {name}(x, y);")
        self.items.append(step[self.random.choice(list(step))])
        self.derived.append(Predicate("reaches", (kind, kind)))
        if self.chance(0.4):
            self.stored.append(self.derived[-1])

    def write_derived(self) -> None:
        kinds = [kind for each in self.plain for kind in each.kinds if not is_primitive(kind)]
        for number in range(self.random.randint(1, 3)):
            size = self.random.randint(1, 2)
            chosen = [self.random.choice(kinds) for _ in range(size)]
            if self.chance(0.25):
                chosen.append(self.random.choice(["String", "Integer", "Mixed"]))
            target = Predicate(f"derived_{number}", tuple(chosen), open=True)
            self.derived.append(target)
            if self.chance(0.3):
                self.stored.append(target)
            for _ in range(self.random.randint(1, 2)):
                pool = self.plain + (self.derived if self.chance(0.5) else [])
                self.write_rule(target, pool, self.negatable)
        if self.chance(0.3):
            wide = ("Actor", self.random.choice(self.world.resources))
            self.items.append(f"open_to(_: {wide[0]}, _: {wide[1]});")
            self.derived.append(Predicate("open_to", wide, open=True))

    def write_rule(
        self, target: Predicate, pool: Sequence[Predicate], negatable: Sequence[Predicate]
    ) -> None:
        compound = not self.portable and target not in self.derived
        self.items.append(sentences.rule(self.world, target, pool, negatable, compound=compound))

    @property
    def lower(self) -> list[Predicate]:
        """What a rule above the derived predicates may negate."""
        related = [each for each in self.holding if each.name == "has_relation"]
        return self.negatable + related + ([] if self.portable else self.derived)

    def write_blocks(self) -> None:
        blocks = Blocks(self.world, self.plain + self.derived, has_global=self.chance(0.5))
        blocks.write()
        self.items += blocks.text
        self.holding += blocks.holding
        self.stored += blocks.stored

    def write_grants(self) -> None:
        """Write rules of one's own for has_role and has_permission."""
        targets = [each for each in self.holding if len(each.kinds) == 3]
        targets = [each for each in targets if each.name != "has_relation"]
        for _ in range(self.random.randint(1, 3)):
            target = self.random.choice(targets)
            pool = self.plain + self.derived + (self.holding if self.chance(0.5) else [])
            self.write_rule(target, pool, self.lower)
        for lease in (each for each in self.plain if each.name == "lease"):
            actor, _, place, _ = lease.kinds
            self.items.append(
                f"has_role(a: {actor}, role: String, r: {place}) if\n"
                "  lease(a, role, r, until) and @current_unix_time < until;"
            )
        if self.chance(0.3):
            kind = self.random.choice(targets).kinds[2]
            word = self.random.choice(PERMISSIONS)
            self.items.append(f'has_permission(_: Actor, "{word}", _: {kind});')

    def write_allow(self) -> None:
        held = "has_permission(a, p, r)"
        denied = [f"not {p.name}({self.named(p)})" for p in self.negatable if len(p.kinds) <= 2]
        conditions = [held]
        if denied and self.chance(0.7):
            conditions.append(self.random.choice(denied))
        if not self.portable and self.chance(0.5):
            conditions.append('not has_role(a, "viewer", r)')
        typed = self.chance(0.6)
        head = "a: Actor, p: String, r: Resource" if typed else "a, p, r"
        self.items.append(f"allow({head}) if {' and '.join(conditions)};")
        if self.chance(0.6):
            actor, resource = map(self.random.choice, (self.world.actors, self.world.resources))
            target = Predicate("allow", (actor, '"call"', resource))
            self.write_rule(target, self.plain + self.derived + self.holding, self.lower)

    def named(self, predicate: Predicate) -> str:
        """Return arguments for *predicate* out of `a` and `r`, as a rule for allow has them."""
        names = ("a" if self.world.overlaps("Actor", kind) else "r" for kind in predicate.kinds)
        return ", ".join(names)

    def declarations(self) -> list[str]:
        found: dict[str, None] = {}
        for predicate in self.stored:
            if not predicate.name.startswith("has_"):
                for mixed in ("Integer", "Boolean") if "Mixed" in predicate.kinds else ("",):
                    types = [PRIMITIVE.get(kind, kind) for kind in predicate.kinds]
                    listed = ", ".join(mixed if type_ == "Mixed" else type_ for type_ in types)
                    found[f"declare {predicate.name}({listed});"] = None
        return list(found)

    def policy_facts(self) -> list[str]:
        """Return facts for the policy to state itself, of predicates that nobody negates."""
        free = [each for each in self.stored if each not in self.negatable]
        free = [each for each in free if each.name != "has_relation"]
        chosen = self.random.sample(free, min(len(free), self.random.randint(0, 3)))
        return [f"{self.fact(predicate)};" for predicate in chosen]

    def fact(self, predicate: Predicate) -> Fact:
        return Fact(predicate.name, tuple(map(self.world.value, predicate.kinds)))

    def facts(self) -> list[Fact]:
        """Return some facts of each stored predicate, without repetition."""
        found: dict[str, Fact] = {}
        for predicate in self.stored:
            for _ in range(self.random.randint(*_plenty(predicate))):
                fact = self.fact(predicate)
                found[str(fact)] = fact
        return list(found.values())

    def questions(self, facts: Sequence[Fact]) -> list[Question]:
        """Return ground questions, most of them about who may do what."""
        found = [self.question("allow", ("Actor", "Permission", "Resource"))]
        places = [each.kinds[2] for each in self.holding if each.name == "has_permission"]
        for _ in range(8):
            kinds = ("Actor", "Permission", self.random.choice(places))
            found.append(self.question("allow", kinds))
        held = [fact for fact in facts if fact.predicate == "has_role" and len(fact.args) == 3]
        for _ in range(15):
            actor, _, resource = self.random.choice(held).args
            args = (actor, self.world.value("Permission"), resource)
            found.append(self.blurred("allow", args))
        for _ in range(12):
            predicate = self.random.choice(self.derived + self.holding + self.stored)
            found.append(self.question(predicate.name, predicate.kinds))
        return found

    def question(self, name: str, kinds: Sequence[str]) -> Question:
        return self.blurred(name, tuple(map(self.world.value, kinds)))

    def blurred(self, name: str, args: tuple[Answer, ...]) -> Question:
        """Return a question, with an unknown id or word here and there."""
        values = [arg for arg in args if not isinstance(arg, Anything)]
        place = self.random.randrange(len(values))
        before = values[place]
        if self.chance(0.05):
            if isinstance(before, Entity):
                values[place] = Entity(before.type, "nobody")
            elif isinstance(before, str):
                values[place] = "unheard-of"
        return name, tuple(values)


def _plenty(predicate: Predicate) -> tuple[int, int]:
    """Return how few and how many facts make rules hold about half of the time."""
    if predicate.name in {"banned", "closed", "locked"}:
        return 1, 2
    if predicate.name == "has_role" and len(predicate.kinds) == 3:
        return 6, 9
    return 3, 5
