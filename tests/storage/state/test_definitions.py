"""What servers offer, and that nothing is approved by changing, going away or coming back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from sqlmodel import select

from storage.definitions import Definition, DefinitionLedger, Kind, Seen, Trust
from storage.errors import DefinitionChangedError, DefinitionUnknownError
from storage.tables import DefinitionRow
from tests.storage.state.places import Place, opened, ticking

T = TypeVar("T")


def using(place: Place, story: Callable[[DefinitionLedger], Awaitable[T]]) -> T:
    async def run() -> T:
        async with opened(place) as database:
            return await story(DefinitionLedger(database, ticking(100.5)))

    return asyncio.run(run())


def seen(name: str, hash_: str, kind: Kind = "tool") -> Seen:
    return Seen(kind, name, hash_, {"name": name, "description": f"as of {hash_}"})


def states(found: list[Definition]) -> dict[str, str]:
    return {one.name: f"{one.state} {one.hash}" for one in found}


# The hash that one tool is seen with, take after take (`-` where it is not there), and the state it
# is in after each (`.` where it is not known).
TAKES: list[tuple[Trust, str, str]] = [
    ("first", "A", "approved"),
    ("first", "A A", "approved approved"),
    ("first", "A B", "approved changed"),
    ("first", "A B B", "approved changed changed"),
    ("first", "A B C", "approved changed changed"),
    ("first", "A B A", "approved changed approved"),
    ("first", "A - A", "approved gone approved"),
    ("first", "A - - A", "approved gone gone approved"),
    ("first", "A - B", "approved gone changed"),
    ("first", "A B - A", "approved changed gone approved"),
    ("first", "A B - B", "approved changed gone changed"),
    ("first", "- A", ". new"),
    ("first", "- A A", ". new new"),
    ("first", "- A B A", ". new changed changed"),
    ("first", "- A - A", ". new gone changed"),
    ("none", "A", "new"),
    ("none", "A A", "new new"),
    ("none", "A B B", "new changed changed"),
    ("none", "A - A", "new gone changed"),
    ("all", "A B - C", "approved approved gone approved"),
    ("all", "- A", ". approved"),
]


@pytest.mark.parametrize(("trust", "hashes", "expected"), TAKES)
def test_a_definition_is_in_the_state_that_its_past_gives_it(
    place: Place, trust: Trust, hashes: str, expected: str
) -> None:
    async def story(ledger: DefinitionLedger) -> list[str]:
        found: list[str] = []
        for one in hashes.split():
            offer = [] if one == "-" else [seen("x", one)]
            taken = await ledger.take("github", offer, trust=trust)
            assert await ledger.offered("github") == taken
            found.append(taken[0].state if taken else ".")
        return found

    assert using(place, story) == expected.split()


def test_a_server_is_registered_once_whatever_other_servers_do(place: Place) -> None:
    async def first(ledger: DefinitionLedger) -> None:
        await ledger.take("github", [seen("a", "A")], trust="first")

    async def second(ledger: DefinitionLedger) -> list[dict[str, str]]:
        return [
            states(await ledger.take("jira", [seen("a", "X")], trust="first")),
            states(await ledger.take("github", [seen("a", "A"), seen("b", "B")], trust="first")),
            states(await ledger.offered("jira")),
            states(await ledger.offered("unknown")),
        ]

    using(place, first)

    assert using(place, second) == [
        {"a": "approved X"},
        {"a": "approved A", "b": "new B"},
        {"a": "approved X"},
        {},
    ]


def test_trusting_all_approves_what_waited_for_approval(place: Place) -> None:
    async def story(ledger: DefinitionLedger) -> list[dict[str, str]]:
        await ledger.take("github", [seen("a", "A")], trust="none")
        return [
            states(await ledger.take("github", [seen("a", "A")], trust="all")),
            states(await ledger.take("github", [seen("a", "A")], trust="none")),
        ]

    assert using(place, story) == [{"a": "approved A"}, {"a": "approved A"}]


def test_the_same_name_is_another_thing_in_another_kind(place: Place) -> None:
    async def story(ledger: DefinitionLedger) -> list[tuple[str, str]]:
        kinds: list[Kind] = ["tool", "prompt", "template", "resource"]
        await ledger.take("github", [seen("a", kind, kind) for kind in kinds], trust="first")
        found = await ledger.take("github", [seen("a", "tool", "tool")], trust="first")
        return [(one.kind, one.state) for one in found]

    assert using(place, story) == [
        ("prompt", "gone"),
        ("resource", "gone"),
        ("template", "gone"),
        ("tool", "approved"),
    ]


def test_an_offer_with_two_of_the_same_name_is_refused_and_registers_nothing(
    place: Place,
) -> None:
    async def story(ledger: DefinitionLedger) -> list[str]:
        with pytest.raises(ValueError, match="same kind and name"):
            await ledger.take("github", [seen("a", "A"), seen("a", "B")], trust="first")
        found = await ledger.take("github", [seen("a", "A")], trust="first")
        return [one.state for one in found]

    assert using(place, story) == ["approved"]


def test_the_body_is_that_of_the_hash_that_was_seen_last(place: Place) -> None:
    odd = {"text": "nul\0 half \ud800 é", "schema": {"items": [1, 2.5, True, None]}}

    async def story(ledger: DefinitionLedger) -> list[Any]:
        await ledger.take("github", [seen("a", "A")], trust="first")
        before = (await ledger.offered("github"))[0].body
        await ledger.take("github", [Seen("tool", "a", "B", odd)], trust="first")
        await ledger.take("github", [], trust="first")
        return [before, (await ledger.offered("github"))[0].body]

    assert using(place, story) == [{"name": "a", "description": "as of A"}, odd]


def test_the_moments_say_when_it_came_changed_and_was_last_there(place: Place) -> None:
    async def run() -> list[tuple[float, float, float]]:
        moments = []
        async with opened(place) as database:
            ledger = DefinitionLedger(database, ticking(1.0))
            for offer in ([seen("a", "A")], [seen("a", "A")], [seen("a", "B")], [], []):
                await ledger.take("github", offer, trust="first")
                async with database.reading() as session:
                    row = (await session.exec(select(DefinitionRow))).one()
                moments.append((row.first_seen_at, row.changed_at, row.last_seen_at))
        return moments

    assert asyncio.run(run()) == [(1, 1, 1), (1, 1, 2), (1, 3, 3), (1, 4, 3), (1, 4, 3)]


def test_what_was_approved_stays_so_until_it_changes(place: Place) -> None:
    async def story(ledger: DefinitionLedger) -> list[str]:
        found: list[str] = []
        await ledger.take("github", [seen("a", "A")], trust="none")
        found.append((await ledger.approve("github", "tool", "a", "A")).state)
        for hash_ in "ABA":
            taken = await ledger.take("github", [seen("a", hash_)], trust="none")
            found.append(taken[0].state)
        return found

    assert using(place, story) == ["approved", "approved", "changed", "approved"]


def test_a_change_is_approved_in_the_place_of_what_was(place: Place) -> None:
    async def story(ledger: DefinitionLedger) -> list[str]:
        await ledger.take("github", [seen("a", "A")], trust="first")
        await ledger.take("github", [seen("a", "B")], trust="first")
        approved = await ledger.approve("github", "tool", "a", "B")
        back = await ledger.take("github", [seen("a", "A")], trust="first")
        return [approved.state, approved.hash, back[0].state]

    assert using(place, story) == ["approved", "B", "changed"]


@pytest.mark.parametrize("then", [[seen("a", "B")], []], ids=["changed", "gone"])
def test_what_was_reviewed_is_not_approved_once_something_else_is_there(
    place: Place, then: list[Seen]
) -> None:
    async def story(ledger: DefinitionLedger) -> tuple[list[Definition], list[Definition]]:
        await ledger.take("github", [seen("a", "A")], trust="none")
        before = await ledger.take("github", then, trust="none")
        with pytest.raises(DefinitionChangedError):
            await ledger.approve("github", "tool", "a", "A")
        return before, await ledger.offered("github")

    before, after = using(place, story)
    assert before == after


@pytest.mark.parametrize(
    ("server", "kind", "name"),
    [("jira", "tool", "a"), ("github", "prompt", "a"), ("github", "tool", "b")],
)
def test_what_was_never_seen_is_not_approved(
    place: Place, server: str, kind: Kind, name: str
) -> None:
    async def story(ledger: DefinitionLedger) -> None:
        await ledger.take("github", [seen("a", "A")], trust="none")
        await ledger.approve(server, kind, name, "A")

    with pytest.raises(DefinitionUnknownError):
        using(place, story)


def test_only_one_of_many_first_takes_at_once_registers_the_server(place: Place) -> None:
    async def story(ledger: DefinitionLedger) -> dict[str, str]:
        offers = [[seen("a", "A")], [seen("a", "A"), seen("b", "B")]]
        await asyncio.gather(*(ledger.take("github", offer, trust="first") for offer in offers))
        return states(await ledger.offered("github"))

    assert using(place, story) == {"a": "approved A", "b": "new B"}
