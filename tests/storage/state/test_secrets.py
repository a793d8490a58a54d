"""Secrets that all processes share: kept as they come, and replaced by one writer alone."""

from __future__ import annotations

import asyncio

import pytest

from storage.errors import TextRefusedError
from storage.secrets import SecretLedger
from tests.storage.state.places import Place, opened, ticking


def counted(place: Place) -> int:
    ((value,),) = place.ask("SELECT value FROM counters WHERE name = 'secrets'")
    return int(value)


def test_a_secret_is_replaced_only_by_who_knows_what_it_was(place: Place) -> None:
    async def run() -> list[object]:
        async with opened(place) as database:
            ledger = SecretLedger(database, ticking())
            return [
                await ledger.replace("keys", None, "one"),
                await ledger.replace("keys", None, "two"),
                await ledger.replace("keys", "one", "three"),
                await ledger.read("keys"),
                await ledger.replace("keys", "three", None),
                await ledger.read("keys"),
            ]

    assert asyncio.run(run()) == [True, False, True, "three", True, None]


def test_of_ten_that_replace_the_same_secret_one_does(place: Place) -> None:
    async def run() -> tuple[int, str | None]:
        async with opened(place) as database:
            ledgers = [SecretLedger(database, ticking()) for _ in range(10)]
            tries = [one.replace("keys", None, f"{n}") for n, one in enumerate(ledgers)]
            done = await asyncio.gather(*tries)
            assert await ledgers[0].read("keys") == str(done.index(True))
            return sum(done), await ledgers[0].read("other")

    assert asyncio.run(run()) == (1, None)


def test_several_secrets_change_together_or_none_does(place: Place) -> None:
    async def run() -> list[object]:
        async with opened(place) as database:
            ledger = SecretLedger(database, ticking())
            first = await ledger.replace_all([("a", None, "1"), ("b", None, "2")])
            second = await ledger.replace_all([("a", "1", "3"), ("b", "1", "4")])
            return [first, second, dict(await ledger.all())]

    assert asyncio.run(run()) == [True, False, {"a": "1", "b": "2"}]


def test_others_see_that_a_secret_changed_and_not_that_one_stayed(place: Place) -> None:
    async def run(before: str | None, after: str) -> None:
        async with opened(place) as database:
            await SecretLedger(database, ticking()).replace("keys", before, after)

    asyncio.run(run(None, "one"))
    changed = counted(place)
    asyncio.run(run("one", "one"))

    assert changed > 0
    assert counted(place) == changed


@pytest.mark.parametrize(("name", "text"), [("\0", "one"), ("keys", "\0"), ("n" * 3_000, "one")])
def test_what_no_database_keeps_is_refused(place: Place, name: str, text: str) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await SecretLedger(database, ticking()).replace(name, None, text)

    with pytest.raises(TextRefusedError):
        asyncio.run(run())
