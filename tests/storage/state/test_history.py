"""The history of facts: who stated what, why, and what lived when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from policies.model import Entity, Fact
from storage.engine import open_database
from storage.errors import FactVersionError
from storage.facts import Change, FactLedger
from storage.history import FactHistory, Life, Wanted
from tests.storage.state.places import Place

T = TypeVar("T")

BOT, OTHER = Entity("Client", "bot"), Entity("Client", 'b"o\\t%é')
TAG = Wanted(("has_tag",))


@dataclass
class Archive:
    """A ledger whose clock a test sets, and its history."""

    ledger: FactLedger
    history: FactHistory
    now: list[float] = field(default_factory=lambda: [0.0])

    async def change(self, at: float, *add: Fact, remove: tuple[Fact, ...] = ()) -> int:
        self.now[0] = at
        change = Change(add, remove, "test", "User:admin", f"at {at}")
        return (await self.ledger.change(change)).version

    async def facts(self, wanted: Wanted = TAG, version: int | None = None) -> list[Fact]:
        lives = await self.history.lives(wanted, version=version, limit=10_000)
        return [one.fact for one in lives]


def remembered(place: Place, story: Callable[[Archive], Awaitable[T]]) -> T:
    async def run() -> T:
        database = await open_database(place.url)
        now = [0.0]
        try:
            ledger = FactLedger(database, lambda: now[0])
            return await story(Archive(ledger, FactHistory(database), now))
        finally:
            await database.close()

    return asyncio.run(run())


def tag(entity: Entity, text: str = "x") -> Fact:
    return Fact("has_tag", (entity, text))


def test_a_life_tells_since_when_by_whom_and_why_and_is_found_until_it_ends(place: Place) -> None:
    async def story(archive: Archive) -> tuple[Life, Life | None, Life | None]:
        await archive.change(5.0, Fact("lease", (BOT, "caller", OTHER, 9, True)))
        [life] = await archive.history.lives(Wanted(("lease",)), limit=9)
        found = await archive.history.find(life.id)
        await archive.change(6.0, remove=(life.fact,))
        return life, found, await archive.history.find(life.id)

    life, found, gone = remembered(place, story)

    assert life == Life(
        life.id,
        Fact("lease", (BOT, "caller", OTHER, 9, True)),
        "test",
        1,
        5.0,
        "User:admin",
        "at 5.0",
    )
    assert type(life.fact.args[4]) is bool
    assert (found, gone) == (life, None)


def test_what_lived_is_known_in_each_version_and_none_that_never_was(place: Place) -> None:
    async def story(archive: Archive) -> list[list[Fact]]:
        await archive.change(1.0, tag(BOT))
        await archive.change(2.0, tag(OTHER), remove=(tag(BOT),))
        await archive.change(3.0, tag(BOT))
        for wrong in (-1, 4):
            with pytest.raises(FactVersionError):
                await archive.facts(version=wrong)
        return [await archive.facts(version=one) for one in (0, 1, 2, 3, None)]

    both = [tag(OTHER), tag(BOT)]
    assert remembered(place, story) == [[], [tag(BOT)], [tag(OTHER)], both, both]


def test_a_moment_has_the_version_of_the_last_change_until_then(place: Place) -> None:
    async def story(archive: Archive) -> list[int]:
        await archive.change(10.0, tag(BOT))
        await archive.change(20.0, remove=(tag(BOT),))
        # The clock was set back.
        await archive.change(15.0, tag(OTHER))
        moments = (9.9, 10.0, 14.0, 15.0, 20.0, 1e12)
        return [await archive.history.version_at(one) for one in moments]

    assert remembered(place, story) == [0, 1, 1, 3, 3, 3]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(("has_tag",), (BOT,)), [tag(BOT), tag(BOT, "bot")]),
        (Wanted(("has_tag",), (OTHER,)), [tag(OTHER)]),
        (Wanted(("has_tag",), (BOT, "bot")), [tag(BOT, "bot")]),
        (Wanted(("has_tag",), ("X",)), []),
        (Wanted(("has_tag",), admits=lambda fact: fact.args[1] == "bot"), [tag(BOT, "bot")]),
        (Wanted(("no_tag",), (BOT,)), []),
        (Wanted((), ()), []),
    ],
)
def test_what_is_found_has_the_values_and_nothing_like_them(
    place: Place, wanted: Wanted, found: list[Fact]
) -> None:
    async def story(archive: Archive) -> list[Fact]:
        facts = (tag(BOT), tag(OTHER), tag(Entity("Client", "Bot")), tag(BOT, "bot"))
        for fact in facts:
            await archive.change(1.0, fact)
        await archive.change(1.0, Fact("has_role", (BOT, "x")))
        return await archive.facts(wanted)

    assert remembered(place, story) == found


def test_pages_are_whole_over_more_lives_than_are_read_at_once(place: Place) -> None:
    tags = tuple(tag(BOT, f"t{number:04}") for number in range(1_300))

    async def story(archive: Archive) -> tuple[list[int], list[Fact], list[Fact]]:
        await archive.change(1.0, *tags)
        found: list[Life] = []
        sizes = []
        after = 0
        while page := await archive.history.lives(TAG, limit=600, after=after):
            found += page
            sizes.append(len(page))
            after = page[-1].id
        few = Wanted(("has_tag",), admits=lambda fact: str(fact.args[1]).endswith("99"))
        return sizes, [one.fact for one in found], await archive.facts(few)

    sizes, found, few = remembered(place, story)

    assert sizes == [600, 600, 100]
    assert tuple(found) == tags
    assert len(few) == 13
