"""What happens beside the calls: grants come and go, tools change, callers are suspended."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from bench.month.gateway import Gateway
from bench.month.upstream import Desk
from bench.month.world import World, tool
from policies.model import Entity, Fact
from proxy.catalogues import Reviewed
from storage.facts import Change

_DAY: Final = 86_400


class Happenings:
    """Makes things happen in *gateway*, by *chance*."""

    def __init__(self, gateway: Gateway, world: World, chance: random.Random) -> None:
        self._gateway = gateway
        self._world = world
        self._chance = chance
        self._given: list[Fact] = []
        self._kinds: Sequence[tuple[Callable[[], Awaitable[None]], int]] = (
            (self._grant, 30),
            (self._lease, 20),
            (self._tag, 8),
            (self._suspend, 8),
            (self._disable, 4),
            (self._limit, 4),
            (self._revoke, 22),
            (self._redefine, 8),
            (self._approve, 8),
            (self._withdraw, 3),
        )

    async def state(self, add: Sequence[Fact], remove: Sequence[Fact] = ()) -> None:
        change = Change(tuple(add), tuple(remove), "admin", "User:root", "of the month")
        await self._gateway.standing.change(change)

    async def one(self) -> None:
        """Let one thing happen."""
        kinds, weights = zip(*self._kinds, strict=True)
        await self._chance.choices(kinds, weights)[0]()

    async def _give(self, fact: Fact) -> None:
        self._given.append(fact)
        await self.state([fact])

    def _actor(self) -> Entity:
        return self._chance.choice([*self._world.actors, *self._world.teams])

    def _thing(self) -> Entity:
        world, chance = self._world, self._chance
        return chance.choice([chance.choice(world.servers), chance.choice(world.tools)])

    async def _grant(self) -> None:
        role = self._chance.choice(["caller", "viewer"])
        await self._give(Fact("has_role", (self._actor(), role, self._thing())))

    async def _lease(self) -> None:
        lasts = self._chance.randrange(_DAY // 4, 5 * _DAY)
        until = int(self._gateway.clock()) + lasts
        await self._give(Fact("lease", (self._actor(), "caller", self._thing(), until)))

    async def _tag(self) -> None:
        one = self._chance.choice(self._world.tools)
        await self._give(Fact("has_tag", (one, self._chance.choice(["frozen", "guarded"]))))

    async def _suspend(self) -> None:
        await self._give(Fact("is_suspended", (self._actor(),)))

    async def _disable(self) -> None:
        await self._give(Fact("is_disabled", (self._thing(),)))

    async def _limit(self) -> None:
        one = self._chance.choice(self._world.tools)
        await self._give(Fact("amount_limit", (one, self._chance.choice([50, 100, 450]))))

    async def _revoke(self) -> None:
        if self._given:
            await self.state([], [self._given.pop(self._chance.randrange(len(self._given)))])

    async def _redefine(self) -> None:
        desk = self._desk()
        if desk is not None:
            number = self._chance.randrange(len(desk.items["tool"]))
            other = tool(number, f"Changed {self._chance.random()}.")
            desk.items["tool"][number] = {**other, "name": desk.items["tool"][number]["name"]}
            await self._gateway.look_again(desk)

    async def _withdraw(self) -> None:
        desk = self._desk()
        if desk is not None and len(desk.items["tool"]) > 1:
            desk.items["tool"].pop()
            await self._gateway.look_again(desk)

    async def _approve(self) -> None:
        waiting = [
            one
            for some in self._gateway.catalogues.definitions.values()
            for one in some
            if one.state in ("new", "changed")
        ]
        if waiting:
            one = self._chance.choice(waiting)
            reviewed = Reviewed(one.server, one.kind, one.name, one.hash)
            await self._gateway.catalogues.approve(reviewed, _recorded_elsewhere)

    def _desk(self) -> Desk | None:
        known = [self._world.desks[name] for name in self._gateway.servers]
        return self._chance.choice(known) if known else None


async def _recorded_elsewhere(_definition: object) -> None:
    """Record nothing: decisions alone are looked at."""
