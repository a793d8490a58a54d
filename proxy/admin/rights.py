"""What an identity is given by lists of words: its servers, its teams, its roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from policies.facts import FactSet
from policies.model import Entity, Fact
from policies.polar.tables import EMPTY
from policies.polar.values import fact as fact_of
from proxy.admin.amending import IDENTITY, Amendments, Stated
from proxy.admin.wording import Name, checked_name, glob_of, item_of, spelt
from proxy.wire.names import MAX_ID, SEPARATOR, check_server

ALLOW_LIST_ORIGIN: Final = "allow_list"
CALLER: Final = "caller"

_TOOLSET: Final = "toolset:"
_ITEMS: Final = ("Tool", "Prompt")


@dataclass(frozen=True, slots=True)
class Right:
    """One such list: its name in requests and answers, and the facts that its entries stand for.

    `held` are the facts that make up the list of an identity. They are stated with `origin`, and
    withdrawn whoever stated them, unless `is_own` says that others of the same words are not meant.
    """

    name: str
    origin: str
    is_own: bool
    held: Callable[[FactSet, Entity], Iterable[Fact]]
    facts: Callable[[Entity, str], tuple[Fact, ...]]
    entry: Callable[[Fact], str]

    def entries(self, facts: FactSet, entity: Entity) -> list[str]:
        return sorted({self.entry(fact) for fact in self.held(facts, entity)})

    def added(self, facts: FactSet, entity: Entity, entries: Iterable[str]) -> Iterator[Stated]:
        """Yield what has to be stated so that *entries* are in the list."""
        held = () if self.is_own else set(self.held(facts, entity))
        for entry in entries:
            for fact in self.facts(entity, entry):
                if fact not in held:
                    yield Stated(self.origin, fact)

    def removed(
        self, amendments: Amendments, entity: Entity, entries: Iterable[str]
    ) -> Iterator[Stated]:
        """Yield what has to be withdrawn so that nothing but *entries* is in the list."""
        kept = {fact for entry in entries for fact in self.facts(entity, entry)}
        gone = [one for one in self.held(amendments.facts, entity) if one not in kept]
        for stated in amendments.everywhere(gone):
            if stated.origin == self.origin or not self.is_own:
                yield stated


def _rows(facts: FactSet, key: str, entity: Entity) -> Iterator[Fact]:
    """Yield the facts of one predicate that begin with *entity*."""
    name = key.partition("/")[0]
    for row in facts.get(key, EMPTY).find((0,), (entity,)):
        yield fact_of(name, row)


def _allowed(facts: FactSet, client: Entity) -> Iterator[Fact]:
    for key in ("has_role/3", "has_role_matching/3"):
        for fact in _rows(facts, key, client):
            if ALLOW_LIST_ORIGIN in facts.origins(fact):
                yield fact


def _allow(client: Entity, entry: str) -> tuple[Fact, ...]:
    return tuple(
        Fact("has_role_matching", (client, CALLER, target))
        if isinstance(target, str)
        else Fact("has_role", (client, CALLER, target))
        for target in targets(entry)
    )


def _entry(fact: Fact) -> str:
    target = fact.args[2]
    if isinstance(target, Entity):
        return f"{_TOOLSET}{target.id}" if target.type == "Toolset" else target.id
    return str(target)


def targets(entry: str) -> tuple[Entity | str, ...]:
    """Return what an entry of an allow-list stands for: resources, or a glob of their ids.

    Raises `ValueError` with a sentence for one that stands for nothing.
    """
    if entry.startswith(_TOOLSET):
        return (Entity("Toolset", checked_name(entry.removeprefix(_TOOLSET))),)
    if "*" in entry:
        return (glob_of(entry),)
    if SEPARATOR in entry:
        return tuple(item_of(type_, entry) for type_ in _ITEMS)
    return (Entity("Server", check_server(entry)),)


def _teams(facts: FactSet, member: Entity) -> Iterator[Fact]:
    return (one for one in _rows(facts, "has_relation/3", member) if one.args[1] == "team")


def _last(fact: Fact) -> str:
    last: Any = fact.args[-1]
    return str(last.id if isinstance(last, Entity) else last)


def members_of(facts: FactSet, team: Entity) -> list[Entity]:
    """Return the clients and users of *team*."""
    rows = facts.get("has_relation/3", EMPTY).find((1, 2), ("team", team))
    return sorted(row[0] for row in rows if isinstance(row[0], Entity))


ALLOW_LIST: Final = Right("allow_list", ALLOW_LIST_ORIGIN, True, _allowed, _allow, _entry)  # noqa: FBT003  named in the class
TEAMS: Final = Right(
    "teams",
    IDENTITY,
    False,  # noqa: FBT003  named in the class
    _teams,
    lambda member, name: (Fact("has_relation", (member, "team", Entity("Team", name))),),
    _last,
)
ROLES: Final = Right(
    "roles",
    IDENTITY,
    False,  # noqa: FBT003  named in the class
    lambda facts, user: _rows(facts, "has_role/2", user),
    lambda user, role: (Fact("has_role", (user, role)),),
    _last,
)


def _checked_entry(entry: str) -> str:
    targets(entry)
    return entry


_Entry = Annotated[str, AfterValidator(_checked_entry), spelt(".+", longest=MAX_ID)]
AllowList = Annotated[list[_Entry], Field(max_length=1000)]
TeamNames = Annotated[list[Name], Field(max_length=100)]
