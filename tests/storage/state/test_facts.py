"""The ledger of facts: what lives, and what lived in every version."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from policies.model import Anything, Entity, Fact
from storage.errors import FactRefusedError, FactVersionError
from storage.facts import Applied, Change, Difference, FactLedger
from storage.tables import FactRow
from tests.storage.state.places import FilePlace, Place, opened, statements, ticking

CI = Entity("Client", "ci")
CALLER = Fact("has_role", (CI, "caller", Entity("Server", "github")))
VIEWER = Fact("has_role", (CI, "viewer", Entity("Server", "github")))


def adding(*facts: Fact, origin: str = "grant") -> Change:
    return Change(facts, (), origin, "alice", "needed")


def removing(*facts: Fact, origin: str = "grant") -> Change:
    return Change((), facts, origin, "bob", "no longer needed")


def apply(place: Place, *changes: Change) -> tuple[list[Applied], int, list[tuple[Fact, str]]]:
    """Apply *changes* one after another; return what each came to, and what lives then."""

    async def run() -> tuple[list[Applied], int, list[tuple[Fact, str]]]:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            applied = [await ledger.change(change) for change in changes]
            return applied, *await ledger.living()

    return asyncio.run(run())


def test_a_new_ledger_is_empty_in_version_0(place: Place) -> None:
    assert apply(place) == ([], 0, [])


def test_facts_live_in_the_order_they_were_added_with_their_origin(place: Place) -> None:
    suspended = Fact("is_suspended", (CI,))

    applied, version, living = apply(
        place, adding(VIEWER, CALLER), adding(suspended, origin="registry")
    )

    assert [one.version for one in applied] == [1, 2]
    assert (version, living) == (
        2,
        [(VIEWER, "grant"), (CALLER, "grant"), (suspended, "registry")],
    )


def test_values_come_back_as_they_were_after_a_restart(place: Place) -> None:
    values: list[Any] = [
        "", "a", "1", "true", '["', "é\u2028😀", "nul\0", "half \ud800", 0, 1, -1, 2**63 - 1,
        -(2**63), True, False, CI, Entity("Document", 'files|file:///"a"\\b'),
    ]  # fmt: skip
    facts = [Fact("claim", (CI, "name", value)) for value in values]
    apply(place, adding(*facts))

    _, _, living = apply(place)

    assert [repr(fact) for fact, _ in living] == [repr(fact) for fact in facts]


def test_what_looks_alike_is_not_the_same_fact(place: Place) -> None:
    facts = [Fact("p", (value,)) for value in (1, True, "1", "true", Entity("1", "1"))]
    facts += [Fact("p", ()), Fact("p", (1, 1)), Fact("q", (1,))]

    applied, _, living = apply(place, adding(*facts), removing(Fact("p", (True,))))

    assert list(map(repr, applied[1].removed)) == [repr(Fact("p", (True,)))]
    assert len(living) == len(facts) - 1


@pytest.mark.parametrize(
    "value", [1.0, None, 2**63, -(2**63) - 1, b"x", ("a", "b"), Anything("Tool")], ids=repr
)
def test_a_value_that_facts_cannot_hold_is_refused_and_nothing_changes(
    place: Place,
    value: Any,  # noqa: ANN401
) -> None:
    with pytest.raises(FactRefusedError):
        apply(place, adding(CALLER, Fact("p", (value,))))

    assert apply(place) == ([], 0, [])


def test_what_changes_nothing_is_left_out_and_makes_no_version(place: Place) -> None:
    applied, version, living = apply(
        place,
        adding(CALLER, CALLER),
        adding(CALLER),
        removing(VIEWER),
        adding(CALLER, VIEWER),
        removing(VIEWER, VIEWER),
        removing(VIEWER),
    )

    assert applied == [
        Applied(1, (CALLER,), ()),
        Applied(1, (), ()),
        Applied(1, (), ()),
        Applied(2, (VIEWER,), ()),
        Applied(3, (), (VIEWER,)),
        Applied(3, (), ()),
    ]
    assert (version, living) == (3, [(CALLER, "grant")])


def test_a_fact_of_two_origins_lives_until_both_end_it(place: Place) -> None:
    applied, _, living = apply(
        place,
        adding(CALLER),
        adding(CALLER, origin="registry"),
        removing(CALLER, origin="development"),
        removing(CALLER),
    )

    assert [one.version for one in applied] == [1, 2, 2, 3]
    assert living == [(CALLER, "registry")]


def test_a_change_that_contradicts_itself_is_refused_whole(place: Place) -> None:
    change = Change((CALLER, VIEWER), (VIEWER,), "grant", "alice", "confused")

    with pytest.raises(FactRefusedError):
        apply(place, change)

    assert apply(place) == ([], 0, [])


def test_a_large_change_is_one_version(place: Place) -> None:
    facts = [Fact("has_tag", (Entity("Tool", f"t{number}"), "x")) for number in range(1_201)]

    applied, version, living = apply(
        place, adding(*facts), Change((CALLER,), tuple(facts[1:]), "grant", "bob", "tidy")
    )

    assert [len(one.added) + len(one.removed) for one in applied] == [1_201, 1_201]
    assert (version, living) == (2, [(facts[0], "grant"), (CALLER, "grant")])


def test_the_ledger_says_who_began_and_ended_a_fact_and_why(place: Place) -> None:
    async def run() -> list[dict[str, Any]]:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking(1_000.5))
            for change in (adding(CALLER), removing(CALLER), adding(CALLER)):
                await ledger.change(change)
            async with database.reading() as session:
                rows = await session.exec(select(FactRow))
                return [row.model_dump(exclude={"predicate", "args", "origin"}) for row in rows]

    first, second = asyncio.run(run())
    assert first == {
        "id": 1,
        "added_version": 1,
        "added_at": 1_000.5,
        "added_by": "alice",
        "added_why": "needed",
        "removed_version": 2,
        "removed_at": 1_001.5,
        "removed_by": "bob",
        "removed_why": "no longer needed",
    }
    assert (second["added_version"], second["removed_version"]) == (3, None)


def test_twenty_changes_at_once_are_twenty_versions_in_a_row(place: Place) -> None:
    async def run() -> list[int]:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            changes = [adding(Fact("p", (number,))) for number in range(20)]
            return [one.version for one in await asyncio.gather(*map(ledger.change, changes))]

    assert asyncio.run(run()) == list(range(1, 21))
    assert len(apply(place)[2]) == 20


def test_the_same_fact_added_twenty_times_at_once_is_added_once(place: Place) -> None:
    async def run() -> list[Applied]:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            return await asyncio.gather(*(ledger.change(adding(CALLER)) for _ in range(20)))

    assert [len(one.added) for one in asyncio.run(run())] == [1] + [0] * 19


def test_a_change_cancelled_while_it_writes_leaves_nothing(place: Place) -> None:
    def cancelling() -> float:
        task = asyncio.current_task()
        assert task
        task.cancel()
        return 1.0

    async def run() -> tuple[Applied, tuple[int, list[tuple[Fact, str]]]]:
        async with opened(place, wait=1.0) as database:
            doomed = asyncio.create_task(
                FactLedger(database, cancelling).change(adding(CALLER, VIEWER))
            )
            with pytest.raises(asyncio.CancelledError):
                await doomed
            ledger = FactLedger(database, ticking())
            assert await ledger.living() == (0, [])
            return await ledger.change(adding(VIEWER)), await ledger.living()

    assert asyncio.run(run()) == (Applied(1, (VIEWER,), ()), (1, [(VIEWER, "grant")]))


def test_a_change_cancelled_at_any_moment_is_whole_or_nothing(place: Place) -> None:
    # SQLite keeps the lock of a statement that was cancelled while a traceback holds on to it.
    kept: list[BaseException] = []

    async def interrupted(ledger: FactLedger, turns: int) -> None:
        before, _ = await ledger.living()
        facts = [Fact("p", (turns, part)) for part in range(2)]
        task = asyncio.create_task(ledger.change(adding(*facts)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            kept.append(error)
        after, living = await ledger.living()
        count = len([fact for fact, _ in living if fact in facts])
        assert (after - before, count) in {(0, 0), (1, 2)}
        assert task.cancelled() or count == 2

    async def run() -> None:
        async with opened(place, wait=1.0) as database:
            for turns in range(0, 90, 2):
                await interrupted(FactLedger(database, ticking()), turns)
            assert kept
            await FactLedger(database, ticking()).change(adding(CALLER))

    asyncio.run(run())


@pytest.mark.parametrize("seed", range(3))
def test_every_version_can_be_had_again_as_it_was(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    origins = ("grant", "registry")
    words: list[Any] = ["a", 1, True, CI]

    def change(living: set[tuple[str, str]]) -> Change:
        some = {repr(fact): fact for fact in (random_fact() for _ in range(chance.randrange(6)))}
        origin = chance.choice(origins)
        add = [fact for key, fact in some.items() if (key, origin) not in living]
        remove = [fact for key, fact in some.items() if (key, origin) in living]
        return Change(tuple(add), tuple(remove), origin, "alice", "chance")

    def random_fact() -> Fact:
        return Fact(chance.choice("pq"), (chance.choice(words), chance.choice(words)))

    async def run() -> None:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            replayed: list[set[tuple[str, str]]] = [set()]
            for _ in range(40):
                wanted = change(replayed[-1])
                if wanted.add or wanted.remove:
                    gone = {(repr(fact), wanted.origin) for fact in wanted.remove}
                    come = {(repr(fact), wanted.origin) for fact in wanted.add}
                    replayed.append(replayed[-1] - gone | come)
                assert (await ledger.change(wanted)).version == len(replayed) - 1
            for version, expected in enumerate(replayed):
                facts = await ledger.as_of(version)
                assert {(repr(fact), origin) for fact, origin in facts} == expected
                assert len(facts) == len(expected)
            assert await ledger.living() == (len(replayed) - 1, facts)
            for version, before in enumerate(replayed):
                newest, added, removed = await ledger.since(version)
                come = {(repr(fact), origin) for fact, origin in added}
                gone = {(repr(fact), origin) for fact, origin in removed}
                assert newest == len(replayed) - 1
                assert (come, gone) == (replayed[-1] - before, before - replayed[-1])
                assert (len(come), len(gone)) == (len(added), len(removed))

    asyncio.run(run())


def difference(place: Place, version: int, *changes: Change) -> Difference:
    """Apply *changes* and return what changed from *version* on."""

    async def run() -> Difference:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            for change in changes:
                await ledger.change(change)
            return await ledger.since(version)

    return asyncio.run(run())


def test_a_follower_is_told_what_came_and_went_and_of_which_origin(place: Place) -> None:
    changes = [adding(CALLER), adding(CALLER, VIEWER, origin="registry"), removing(CALLER)]

    assert difference(place, 1, *changes) == (
        3,
        [(CALLER, "registry"), (VIEWER, "registry")],
        [(CALLER, "grant")],
    )


def test_what_changed_back_is_not_told_to_a_follower(place: Place) -> None:
    changes = [
        adding(CALLER), removing(CALLER), adding(CALLER), adding(VIEWER), removing(VIEWER),
    ]  # fmt: skip

    assert difference(place, 1, *changes) == (5, [], [])


def test_a_follower_is_told_of_a_fact_that_was_replaced_by_one_that_looks_alike(
    place: Place,
) -> None:
    one, true = Fact("p", (1,)), Fact("p", (True,))

    told = difference(place, 1, adding(one), Change((true,), (one,), "grant", "alice", "typo"))

    assert repr(told) == repr(Difference(2, [(true, "grant")], [(one, "grant")]))


@pytest.mark.parametrize("version", [-1, 2, 2**70])
@pytest.mark.parametrize("ask", [FactLedger.as_of, FactLedger.since])
def test_a_version_that_never_was_is_refused(
    place: Place, ask: Callable[[FactLedger, int], Awaitable[object]], version: int
) -> None:
    async def run() -> None:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            await ledger.change(adding(CALLER))
            await ask(ledger, version)

    with pytest.raises(FactVersionError):
        asyncio.run(run())


def test_a_follower_reads_by_the_versions_and_not_all_facts(tmp_path: Path) -> None:
    place = FilePlace(tmp_path)
    with statements() as seen:
        difference(place, 1, adding(CALLER), adding(VIEWER))
    began, ended = [one for one in seen if one.startswith("SELECT facts.id, facts.predicate")]

    with closing(sqlite3.connect(place.file)) as connection:
        ((*_, first),) = connection.execute(f"EXPLAIN QUERY PLAN {began}", (1,))
        ((*_, second),) = connection.execute(f"EXPLAIN QUERY PLAN {ended}", (1, 1))

    assert ["INDEX facts_added" in first, "INDEX facts_removed" in second] == [True, True]
