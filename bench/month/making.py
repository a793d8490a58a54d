"""The month itself: calls and what happens between them, made one after another from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from bench.month.calls import Callers, Made, Task
from bench.month.gateway import Clock, Gateway, UndecidedMonthError, opened
from bench.month.happenings import Happenings
from bench.month.notebook import Notebook
from bench.month.rules import month_policies
from bench.month.world import LATE, Size, World, first_facts, made
from proxy.listener.answers import Answer
from proxy.loopback import Loopback, request_on

DAYS: Final = 30
START: Final = 1_790_812_800
"""The first second of a Thursday in a month of thirty days, UTC."""

_DAY: Final = 86_400
_AT_ONCE: Final = 128
_BURST: Final = 8
_MOST_BYTES: Final = 2**20
_REMEMBERED: Final = 400


@dataclass(frozen=True, slots=True)
class Month:
    """A month in the data directory `directory`; `notes` is the file of what was really asked."""

    directory: Path
    notes: Path
    decisions: int


Tick = Callable[[int], None]


def make(directory: Path, size: Size, seed: int, tick: Tick) -> Month:
    """Make the month of *size* in the new *directory*. *tick* is told how far it is."""
    notes = directory / "month.jsonl"
    directory.mkdir(mode=0o700, parents=True)
    with notes.open("wb") as file:
        book = Notebook(file)
        asyncio.run(_lived(directory.absolute(), size, seed, book, tick))
    return Month(directory, notes, book.count)


async def _lived(directory: Path, size: Size, seed: int, book: Notebook, tick: Tick) -> None:
    chance = random.Random(seed)
    world, clock, policies = made(size, chance), Clock(START), [*month_policies()]
    async with opened(directory, policies[0], world.desks, clock, book.note) as gateway:
        life = _Life(gateway, world, size, book, chance)
        await life.begin()
        while book.count < size.decisions:
            share = book.count / size.decisions
            for policy in policies[1 : 1 + int(share * len(policies))]:
                await gateway.adopt(policy)
                policies.remove(policy)
            await life.go_on(share)
            tick(book.count)


class _Life:
    """What goes on in one gateway."""

    def __init__(
        self, gateway: Gateway, world: World, size: Size, book: Notebook, chance: random.Random
    ) -> None:
        self._gateway = gateway
        self._world = world
        self._size = size
        self._book = book
        self._chance = chance
        self._granted = [*first_facts(world, chance)]
        self._callers = Callers(world, self._granted, chance)
        self._happenings = Happenings(gateway, world, chance)
        self._happened = 0
        self._late = list(world.desks.values())[-LATE:]

    async def begin(self) -> None:
        for desk in self._world.desks.values():
            if desk not in self._late:
                await self._gateway.register(desk)
        await self._happenings.state(self._granted)

    async def go_on(self, share: float) -> None:
        """Make the calls of a short while, and let happen what should have by then."""
        while self._happened < share * self._size.changes:
            self._happened += 1
            await self._happenings.one()
        while self._late and share > 1 / (1 + len(self._late)):
            await self._gateway.register(self._late.pop())
        count = min(_AT_ONCE, max(1, self._size.decisions // self._size.changes))
        step = DAYS * _DAY / self._size.decisions
        day = int((self._gateway.clock() - START) // _DAY)
        some = [self._callers.next(day) for _ in range(count)]
        if self._chance.random() < 0.05:  # noqa: PLR2004
            some += [some[-1]] * _BURST
        await asyncio.gather(*(self._answered(one, step) for one in some))
        self._book.plans.clear()

    async def _answered(self, one: Made, step: float) -> None:
        if self._book.plans.get(one.id) is None:
            self._gateway.clock.now += step
        self._book.plans[one.id] = one.arguments
        line = Loopback(one.address, _MOST_BYTES, _nobody_asks)
        incoming = request_on(line, "POST", "/mcp", one.headers, one.body)
        answer = await self._gateway.pipeline.serve(incoming, one.principal, one.server)
        if not isinstance(answer, Answer):
            raise UndecidedMonthError(one.server)
        if b'"taskId"' in answer.body and b"tasks/get" not in one.body:
            self._remember(one, answer.body)

    def _remember(self, one: Made, body: bytes) -> None:
        handle = orjson.loads(body)["result"]["taskId"]
        tasks = self._callers.tasks
        tasks.append(Task(handle, one.principal, one.server, one.arguments))
        if len(tasks) > _REMEMBERED:
            del tasks[0]


async def _nobody_asks(request: object) -> None:
    raise UndecidedMonthError(str(request)) from None
