"""Who and what there is in the month: principals, servers, what they offer, and first grants."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.month.upstream import Desk, Item
from policies.model import Entity, Fact

TOOLS_EACH: Final = 20
LATE: Final = 2
"""Servers that are registered only in the course of the month."""

TERMS: Final = (
    "moded", "branched", "outward", "quiet", "scoped", "near", "timed", "host", "path", "amount",
)  # fmt: skip
"""On what terms a guarded tool is used: a tag of rules of the month, or a shipped kind of limit."""

_VERBS: Final = ("read", "write", "list", "fetch", "long", "wipe")
_DOCUMENTS: Final = (
    "file:///srv/public/a", "file:///srv/public/b", "file:///srv/secret/a", "note://one",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is."""

    decisions: int
    clients: int
    users: int
    servers: int
    changes: int
    """Of the facts and of what is offered, over the month."""


WHOLE: Final = Size(1_000_000, clients=150, users=50, servers=16, changes=1_500)


@dataclass(frozen=True, slots=True)
class World:
    """Everybody and everything. `terms` are those of each guarded tool."""

    clients: list[Entity]
    users: list[Entity]
    teams: list[Entity]
    toolset: Entity
    desks: dict[str, Desk]
    terms: dict[Entity, str]

    @property
    def actors(self) -> list[Entity]:
        return [*self.clients, *self.users]

    @property
    def tools(self) -> list[Entity]:
        return [
            Entity("Tool", f"{desk.name}__{one['name']}")
            for desk in self.desks.values()
            for one in desk.items["tool"]
        ]

    @property
    def servers(self) -> list[Entity]:
        return [Entity("Server", name) for name in self.desks]


def made(size: Size, chance: random.Random) -> World:
    """Return a world of that *size*."""
    desks = {f"server-{number}": _desk(f"server-{number}") for number in range(size.servers)}
    world = World(
        [Entity("Client", f"agent-{number}") for number in range(size.clients)],
        [Entity("User", f"person-{number}") for number in range(size.users)],
        [Entity("Team", f"team-{number}") for number in range(max(2, size.clients // 20))],
        Entity("Toolset", "triage"),
        desks,
        {},
    )
    for number, tool in enumerate(world.tools):
        if chance.random() < 0.6:  # noqa: PLR2004  most tools are guarded
            world.terms[tool] = TERMS[number % len(TERMS)]
    return world


def _desk(name: str) -> Desk:
    desk = Desk(name)
    desk.items["tool"] += [tool(number) for number in range(TOOLS_EACH)]
    desk.items["prompt"] += [{"name": one} for one in ("greet", "review")]
    desk.items["resource"] += [{"uri": one, "name": one} for one in _DOCUMENTS]
    desk.items["template"] += [{"uriTemplate": "note://{id}", "name": "notes"}]
    return desk


def tool(number: int, description: str = "As it was.") -> Item:
    """Return the definition of a tool."""
    verb = _VERBS[number % len(_VERBS)]
    hints = {"readOnlyHint": verb in ("read", "list"), "destructiveHint": verb == "wipe"}
    return {
        "name": f"{verb}_{number}",
        "description": description,
        "inputSchema": {"type": "object"},
        "annotations": hints,
    }


def first_facts(world: World, chance: random.Random) -> Iterator[Fact]:
    """Yield what is granted, and on what terms, before the first call."""
    servers, tools = world.servers, world.tools
    for actor in world.actors:
        for server in chance.sample(servers, 3):
            yield Fact("has_role", (actor, chance.choice(["caller", "caller", "viewer"]), server))
        yield Fact("has_role", (actor, "caller", chance.choice(tools)))
        if chance.random() < 0.4:  # noqa: PLR2004
            yield Fact("has_relation", (actor, "team", chance.choice(world.teams)))
    for team in world.teams:
        yield Fact("has_role", (team, "caller", chance.choice(servers)))
    for user in world.users:
        if chance.random() < 0.5:  # noqa: PLR2004
            yield Fact("has_role", (user, "user"))
    yield Fact("has_role", (world.clients[0], "caller", world.toolset))
    yield Fact("has_role_matching", (world.clients[1], "caller", "**"))
    yield Fact("has_role_matching", (world.clients[0], "viewer", "server-1*"))
    for one in chance.sample(tools, len(tools) // 10):
        yield Fact("has_relation", (one, "toolset", world.toolset))
        yield Fact("has_tag", (one, "frozen"))
    for one, term in world.terms.items():
        yield Fact("has_tag", (one, "guarded"))
        yield from _on_terms(one, term)


def _on_terms(one: Entity, term: str) -> Iterator[Fact]:
    match term:
        case "host":
            yield Fact("allowed_host", (one, "*.good.example"))
            yield Fact("allowed_host", (one, "one.example"))
        case "path":
            yield Fact("allowed_directory", (one, "/srv/reports"))
        case "amount":
            yield Fact("amount_limit", (one, 500))
        case _:
            yield Fact("has_tag", (one, term))
