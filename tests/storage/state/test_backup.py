"""The whole state in a file, and from it into any database."""

from __future__ import annotations

import asyncio
import errno
import io
import tracemalloc
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Table, insert

from policies.model import Fact
from storage.backup import (
    BackupKeyError,
    Header,
    StateInUseError,
    StateNotEmptyError,
    check_backup,
    restore_backup,
    write_backup,
)
from storage.backup.form import header_line, row_line
from storage.backup.tables import LEFT_OUT, tables
from storage.facts import Change, FactLedger
from storage.versions import WHATS
from tests.storage.state.filled import (
    KEY,
    MADE,
    ODD,
    OTHER_KEY,
    backed_up,
    caller,
    contents,
    counters,
    ended,
    filled,
    lines,
    restored,
    rows,
    untold,
)
from tests.storage.state.places import FilePlace, Place, ServerPlace, opened, ticking


def all_tables(place: Place) -> set[str]:
    listed = {
        FilePlace: "SELECT name FROM sqlite_master WHERE type = 'table'",
        ServerPlace: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
    }[type(place)]
    return {name for (name,) in place.ask(listed)} - {"alembic_version"}


def test_no_table_of_the_database_is_forgotten_except_copies_of_the_journal(place: Place) -> None:
    filled(place)

    found = check_backup(backed_up(place), KEY)

    assert found.rows.keys() == all_tables(place) - LEFT_OUT
    copies = {"decisions", "decision_rules", "outcomes", "changes", "checkpoints"}
    assert copies | {"cursors"} == LEFT_OUT
    # The test that says so must have something in each.
    assert [name for name, count in found.rows.items() if not count] == []


def test_a_state_goes_from_a_file_to_a_server_and_back_and_is_the_same(
    served: ServerPlace, tmp_path: Path
) -> None:
    first, last = FilePlace(tmp_path / "first"), FilePlace(tmp_path / "last")
    filled(first)
    files = [backed_up(first)]
    for place in (served, last):
        restored(place, files[-1])
        files.append(backed_up(place))

    assert rows(files[0]) == rows(files[1]) == rows(files[2])
    kept = contents(first), contents(last)
    assert kept[0].keys() == kept[1].keys()
    assert {name for name in kept[0] if kept[0][name] != kept[1][name]} == {"counters"}


# What PostgreSQL's indexes take is the least of all.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
KINDS: dict[type, st.SearchStrategy[Any]] = {
    str: TEXTS | st.sampled_from(["", ODD, '","row":{', "\n", "null", "0001", "NaN"]),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
}


def value_of(column: Column[Any]) -> st.SearchStrategy[Any]:
    kind = getattr(column.type, "impl_instance", column.type).python_type
    return KINDS[kind] | st.none() if column.nullable else KINDS[kind]


def rows_of(table: Table) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = st.fixed_dictionaries({column.name: value_of(column) for column in table.columns})
    key = [column.name for column in table.primary_key.columns]
    return st.lists(row, max_size=5, unique_by=lambda one: tuple(one[name] for name in key))


FREE = [one for one in tables().values() if not one.foreign_keys and one.name != "counters"]


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(state=st.fixed_dictionaries({one.name: rows_of(one) for one in FREE}))
def test_whatever_texts_and_numbers_a_row_has_come_back(
    served: ServerPlace, tmp_path: Path, state: dict[str, list[dict[str, Any]]]
) -> None:
    # A living fact is there once.
    for number, fact in enumerate(state["facts"]):
        fact["origin"] = f"{number}"

    async def add(place: Place) -> None:
        async with opened(place) as database, database.changing() as session:
            connection = await session.connection()
            for table in FREE:
                await connection.execute(table.delete())
                if state[table.name]:
                    await connection.execute(insert(table), state[table.name])

    place = FilePlace(tmp_path)
    asyncio.run(add(place))
    first = backed_up(place)
    restored(served, first, replace=True)
    second = backed_up(served)

    assert rows(first) == rows(second)


def test_what_is_restored_can_be_worked_with(place: Place, tmp_path: Path) -> None:
    source = FilePlace(tmp_path / "source")
    filled(source)
    restored(place, backed_up(source))

    async def run() -> tuple[int, list[tuple[Fact, str]], list[tuple[Fact, str]]]:
        async with opened(place) as database:
            ledger = FactLedger(database, ticking())
            applied = await ledger.change(Change((caller("new"),), (), "grant", "a", "b"))
            return applied.version, await ledger.as_of(1), await ledger.as_of(applied.version)

    version, first, last = asyncio.run(run())

    assert version == 4
    assert {fact for fact, _ in first} == {caller("ci"), caller(ODD)}
    assert {fact for fact, _ in last} == {caller("ci"), caller("new")}


def test_all_see_that_everything_changed_and_the_facts_keep_their_version(place: Place) -> None:
    filled(place)
    file = backed_up(place)
    before = counters(place)
    place.ask("UPDATE counters SET value = 40 WHERE name IN ('tokens', 'facts')")
    restored(place, file, replace=True)
    first = counters(place)
    restored(place, file, replace=True)
    second = counters(place)

    assert first["facts"] == second["facts"] == before["facts"]
    assert first["tokens"] == 41
    others = {*WHATS, "restores"} - {"facts"}
    assert all(before.get(name, 0) < first[name] < second[name] for name in others)


def test_a_state_is_not_replaced_unless_that_is_wanted(place: Place, tmp_path: Path) -> None:
    filled(place)
    source = FilePlace(tmp_path / "source")
    backup = backed_up_with(source, caller("other"))
    before = contents(place)

    with pytest.raises(StateNotEmptyError):
        restored(place, backup)
    assert contents(place) == before

    restored(place, backup, replace=True)
    assert rows(backed_up(place)) == rows(backup)


def backed_up_with(place: Place, *facts: Fact) -> io.BytesIO:
    async def run() -> None:
        async with opened(place) as database:
            await FactLedger(database, ticking()).change(Change(facts, (), "grant", "a", "b"))

    asyncio.run(run())
    return backed_up(place)


def test_a_database_that_another_has_open_is_left_alone(place: Place, tmp_path: Path) -> None:
    backup = backed_up_with(FilePlace(tmp_path / "source"), caller("ci"))

    async def run() -> None:
        async with opened(place):
            await restore_backup(place.url, backup, KEY, replace=True, told=untold)

    with pytest.raises(StateInUseError):
        asyncio.run(run())
    assert contents(place)["facts"] == []

    restored(place, backup)
    assert len(contents(place)["facts"]) == 1


def test_what_is_sealed_needs_the_key_that_sealed_it(place: Place, tmp_path: Path) -> None:
    source = FilePlace(tmp_path / "source")
    filled(source)

    with pytest.raises(BackupKeyError) as refusal:
        restored(place, backed_up(source), OTHER_KEY)

    assert KEY.id in refusal.value.detail
    assert OTHER_KEY.id in refusal.value.detail


def test_without_anything_sealed_any_key_does_but_proves_nothing(
    place: Place, tmp_path: Path
) -> None:
    backup = backed_up_with(FilePlace(tmp_path / "source"), caller("ci"))

    assert not restored(place, backup, OTHER_KEY).proven
    assert restored(place, backup, KEY, replace=True).proven
    assert not check_backup(backup, None).proven


# What an older release kept: facts and nothing else had a version.
OLD = {
    "counters": [{"name": "facts", "value": 7}],
    "facts": [
        {
            "id": 12, "predicate": "old", "args": "[]", "origin": "grant", "added_version": 7,
            "added_at": 1.5, "added_by": "a", "added_why": "b", "removed_version": None,
            "removed_at": None, "removed_by": None, "removed_why": None,
        }
    ],
}  # fmt: skip


def made_by_hand(schema: str, state: dict[str, list[dict[str, Any]]]) -> list[bytes]:
    head = header_line(Header(schema, 1.5, "0.1.0", KEY.id, "sqlite"))
    return [head, *(row_line(name, row) for name, all_ in state.items() for row in all_)]


def test_a_backup_of_an_older_release_is_brought_to_the_newest_schema(place: Place) -> None:
    names = ["counters", "facts", "identities", "tokens", "servers", "definitions"]
    file = ended(made_by_hand("0001", OLD), names=names)

    assert restored(place, file).rows["facts"] == 1

    assert [row[0] for row in contents(place)["facts"]] == [12]
    assert counters(place)["facts"] == 7
    assert counters(place).keys() == {*WHATS, "restores"}


def test_a_backup_is_of_one_moment_whatever_others_change(place: Place) -> None:
    filled(place)
    before = contents(place)

    class Interrupted(io.BytesIO):
        """Lets another process change everything as soon as the first byte comes."""

        is_done = False

        def write(self, data: Any, /) -> int:  # noqa: ANN401
            if not self.is_done:
                self.is_done = True
                deleting = ("tokens", "definitions", "secrets", "credentials", "tasks")
                statements = [f"DELETE FROM {name}" for name in deleting]  # noqa: S608
                other = Thread(target=place.ask, args=(*statements, "SELECT 1"))
                other.start()
                other.join()
            return super().write(data)

    async def run() -> None:
        async with opened(place) as database:
            await write_backup(database, file, MADE, KEY, untold)

    file = Interrupted()
    asyncio.run(run())

    assert contents(place)["tokens"] == []
    assert check_backup(file, KEY).rows == {name: len(all_) for name, all_ in before.items()}


def test_a_disk_that_is_full_is_told_and_the_database_goes_on(place: Place) -> None:
    filled(place)

    async def run(full: BinaryIO) -> int:
        async with opened(place) as database:
            with pytest.raises(OSError, match=f"Errno {errno.ENOSPC}"):
                await write_backup(database, full, MADE, KEY, untold)
            return (await FactLedger(database, ticking()).living())[0]

    with Path("/dev/full").open("r+b", buffering=0) as full:
        assert asyncio.run(run(cast("BinaryIO", full))) == 3


def test_what_is_held_at_once_does_not_grow_with_the_state(
    served: ServerPlace, tmp_path: Path
) -> None:
    target = FilePlace(tmp_path / "target")
    fact = OLD["facts"][0] | {"args": "x" * 4_000}
    many = [{**fact, "id": number, "removed_version": 8} for number in range(1, 3_001)]

    async def add() -> None:
        async with opened(served) as database, database.changing() as session:
            connection = await session.connection()
            await connection.execute(insert(tables()["facts"]), many)

    def peak() -> int:
        return tracemalloc.get_traced_memory()[1]

    asyncio.run(add())
    many.clear()
    tracemalloc.start()
    try:
        restored(target, backed_up(served))
        assert peak() < 8_000_000  # of more than 12 million characters
    finally:
        tracemalloc.stop()
    assert len(lines(backed_up(target))) > 3_000
