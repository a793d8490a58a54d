"""Copies that are too old are removed a few at a time, and no other."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from storage.journal import Chain, Journal, Kind, Signer
from storage.shipping.expiry import Copies, Expiry
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import feed, portion
from tests.storage.disks import QuickFiles
from tests.storage.samples import SMALL, decision
from tests.storage.state.places import Place, opened, statements, ticking

NOON = 1_790_000_000
CHAIN = Chain("n", 0)
SIGNER = Signer(bytes(32))


async def shipped(directory: Path, ledger: ShippingLedger) -> list[str]:
    """Copy 1,200 decisions, one a second, most with an outcome, and 3 changes; return their ids."""
    seconds = itertools.count(NOON * 1_000_000_000, 1_000_000_000)
    now = [next(seconds)]
    ids: list[str] = []
    for start in range(0, 1_200, 400):
        # Each ends with a checkpoint.
        async with await Journal.open(
            directory, "n", 0, limits=SMALL, clock=lambda: now[0], files=QuickFiles(), signer=SIGNER
        ) as journal:
            await journal.append(Kind.CHANGE, {"who": {"type": "User"}, "what": "started"})
            for number in range(start, start + 400):
                rules = {"rules": ["a.polar:1", f"b.polar:{number % 9}"]}
                ids.append(await journal.append(Kind.DECISION, decision(number) | rules))
                if number % 3:
                    journal.append_soon(Kind.OUTCOME, {"decision": ids[-1], "status": 200})
                now[0] = next(seconds)
    cursor, own = None, feed(directory, CHAIN)
    while (found := portion(directory, CHAIN, cursor)) is not None:
        await ledger.take(own, found)
        cursor = found.cursor
    return ids


def test_copies_from_before_a_moment_are_removed_and_the_others_stay(
    place: Place, tmp_path: Path
) -> None:
    async def story() -> tuple[list[str], Copies, Copies, float | None, float | None, list[str]]:
        async with opened(place) as database:
            expiry = Expiry(database)
            ids = await shipped(tmp_path / "journal", ShippingLedger(database, ticking()))
            first = await expiry.oldest()
            found = await expiry.count(NOON + 700)
            with statements() as run:
                await expiry.remove(found, NOON + 700)
            left = await expiry.count(NOON + 700)
            return ids, found, left, first, await expiry.oldest(), run

    ids, found, left, first, then, run = asyncio.run(story())

    assert (found.decisions, found.outcomes) == (700, 466)
    assert (first, then) == (NOON, NOON + 700)
    assert left == Copies(0, 0, 0, 0)
    kept = {str(row[0]) for row in place.ask("SELECT id FROM decisions")}
    assert kept == set(ids[700:])
    outcomes = {str(row[0]) for row in place.ask("SELECT decision FROM outcomes")}
    assert outcomes == {one for number, one in enumerate(ids) if number % 3 and number >= 700}
    found_by_rule = {str(row[0]) for row in place.ask("SELECT decision FROM decision_rules")}
    assert found_by_rule == kept
    checkpoints = [float(str(row[0])) for row in place.ask("SELECT recorded_at FROM checkpoints")]
    assert found.checkpoints == 1
    assert len(checkpoints) == 2
    assert min(checkpoints) >= NOON + 700
    [[changes]] = place.ask("SELECT count(*) FROM changes WHERE what = 'started'")
    assert int(changes) == 1
    # Each transaction removes a few, so that none waits long for its turn.
    assert sum(one.startswith("DELETE FROM decisions") for one in run) == 2


def test_an_outcome_whose_decision_went_before_is_removed_too(place: Place, tmp_path: Path) -> None:
    async def story() -> tuple[Copies, Copies]:
        async with opened(place) as database:
            expiry = Expiry(database)
            await shipped(tmp_path / "journal", ShippingLedger(database, ticking()))
            await asyncio.to_thread(place.ask, "DELETE FROM decisions")
            found = await expiry.count(NOON + 3)
            await expiry.remove(found, NOON + 3)
            return found, await expiry.count(NOON + 3)

    found, left = asyncio.run(story())

    assert (found.decisions, found.outcomes) == (0, 2)
    assert left == Copies(0, 0, 0, 0)


def test_the_newest_checkpoint_of_a_chain_stays_whatever_its_age(
    place: Place, tmp_path: Path
) -> None:
    async def story() -> Copies:
        async with opened(place) as database:
            expiry = Expiry(database)
            await shipped(tmp_path / "journal", ShippingLedger(database, ticking()))
            found = await expiry.count(NOON + 9_999)
            await expiry.remove(found, NOON + 9_999)
            return await expiry.count(NOON + 9_999)

    assert asyncio.run(story()) == Copies(0, 0, 0, 0)
    [[seq]] = place.ask("SELECT seq FROM checkpoints")
    [[copied]] = place.ask("SELECT seq FROM cursors")
    assert seq == copied
    assert place.ask("SELECT * FROM decision_rules") == []
