"""The schema: steps that lead to it, and databases that are older or newer."""

from __future__ import annotations

import asyncio
import logging

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

import storage.credentials  # noqa: F401  it describes its own tables
from policies.model import Fact
from storage.backup.schema import newest
from storage.backup.tables import LEFT_OUT
from storage.definitions import DefinitionLedger
from storage.engine import open_database
from storage.errors import SchemaError
from storage.facts import Change, FactLedger
from storage.tables import METADATA
from storage.tasks import OwnedTask, TaskLedger
from storage.tokens import TokenLedger
from tests.storage.state.places import FilePlace, Place, ServerPlace, opened, ticking

CHANGE = Change((Fact("is_suspended", ("mallory",)),), (), "grant", "User:alice", "abuse")
TASK = OwnedTask("github", "t1", "User:alice", "tool=search", 9_000.0)
# What undoes the steps, so that a database is as an older release left it.
BACK_TO_7 = (
    "DROP TABLE shadow_counts",
    "DROP TABLE shadows",
    "DELETE FROM counters WHERE name = 'shadow'",
    "UPDATE alembic_version SET version_num = '0007'",
)
BACK_TO_6 = (
    *BACK_TO_7,
    "DROP INDEX decisions_observed",
    "ALTER TABLE decisions DROP COLUMN enforced",
    "UPDATE alembic_version SET version_num = '0006'",
)
BACK_TO_5 = (
    *BACK_TO_6,
    *(f"DROP TABLE {name}" for name in sorted(LEFT_OUT)),
    "UPDATE alembic_version SET version_num = '0005'",
)
BACK_TO_4 = (
    *BACK_TO_5,
    "DROP TABLE secrets",
    "DROP TABLE registrations",
    "DROP INDEX credentials_by_content",
    "DELETE FROM counters WHERE name IN ('secrets', 'servers', 'credentials')",
    "UPDATE alembic_version SET version_num = '0004'",
)
BACK_TO_2 = (
    *BACK_TO_4,
    "DROP TABLE credentials",
    "DROP TABLE spent_assertions",
    "DROP INDEX facts_added",
    "DROP INDEX facts_removed",
    "DELETE FROM counters WHERE name <> 'facts'",
    "UPDATE alembic_version SET version_num = '0002'",
)
BACK_TO_1 = (*BACK_TO_2, "DROP TABLE tasks", "UPDATE alembic_version SET version_num = '0001'")


def made(place: Place) -> None:
    async def run() -> None:
        async with opened(place):
            pass

    asyncio.run(run())


def test_the_steps_lead_to_the_schema_that_the_tables_describe(fresh: Place) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection), METADATA)

    async def run() -> object:
        async with opened(fresh) as database, database.reading() as session:
            return await (await session.connection()).run_sync(differences)

    assert asyncio.run(run()) == []


@pytest.mark.parametrize(
    ("index", "condition"),
    [
        ("facts_living", "removed_version IS NULL"),
        ("facts_removed", "removed_version IS NOT NULL"),
        ("tokens_revoked", "revoked_at IS NOT NULL"),
        ("decisions_observed", "enforced = 0|NOT enforced"),
    ],
)
def test_an_index_of_some_rows_holds_no_others(place: Place, index: str, condition: str) -> None:
    made(place)
    listed = {
        FilePlace: "SELECT sql FROM sqlite_master WHERE name = ",
        ServerPlace: "SELECT indexdef FROM pg_indexes WHERE indexname = ",
    }[type(place)]

    ((statement,),) = place.ask(f"{listed}'{index}'")

    found = statement.replace("(", "").replace(")", "").partition(" WHERE ")[2]
    assert found in condition.split("|")


def test_a_database_of_a_newer_release_is_refused_and_left_alone(fresh: Place) -> None:
    made(fresh)
    fresh.ask("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaError) as refusal:
        made(fresh)

    assert refusal.value.code == "schema-newer"
    assert fresh.ask("SELECT version_num FROM alembic_version") == [("9999",)]


@pytest.mark.parametrize(
    "back",
    [BACK_TO_1, BACK_TO_2, BACK_TO_4, BACK_TO_5, BACK_TO_6, BACK_TO_7],
    ids=["first", "second", "fourth", "fifth", "sixth", "seventh"],
)
def test_a_database_of_an_older_release_keeps_what_it_has(
    fresh: Place, back: tuple[str, ...]
) -> None:
    async def before() -> None:
        async with opened(fresh) as database:
            await FactLedger(database, ticking()).change(CHANGE)

    async def after() -> tuple[list[tuple[Fact, str]], bool]:
        async with opened(fresh) as database:
            await TokenLedger(database, ticking()).revoke("t1", "User:alice", "leaked")
            await DefinitionLedger(database, ticking()).take("github", [], trust="first")
            _, facts = await FactLedger(database, ticking()).living()
            return facts, await TaskLedger(database, ticking()).own(TASK)

    asyncio.run(before())
    fresh.ask(*back)

    assert asyncio.run(after()) == ([(CHANGE.add[0], "grant")], True)
    assert fresh.ask("SELECT name, value FROM counters ORDER BY name") == [
        ("credentials", 0),
        ("definitions", 0),
        ("facts", 1),
        ("secrets", 0),
        ("servers", 0),
        ("shadow", 0),
        ("tokens", 0),
    ]


def test_ten_that_start_at_once_make_one_schema(fresh: Place) -> None:
    async def run() -> None:
        opening = [open_database(fresh.url) for _ in range(10)]
        for database in await asyncio.gather(*opening):
            assert await FactLedger(database, ticking()).living() == (0, [])
            await database.close()

    asyncio.run(run())

    assert fresh.ask("SELECT version_num FROM alembic_version") == [(newest(),)]
    assert fresh.ask("SELECT count(*) FROM counters") == [(7,)]


def test_migrating_prints_nothing_and_leaves_logging_alone(
    fresh: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    before = list(logging.getLogger().handlers), logging.getLogger().level

    made(fresh)

    assert capfd.readouterr() == ("", "")
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
