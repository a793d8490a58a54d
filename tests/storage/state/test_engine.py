"""Opening the database, its schema, and transactions that are whole or nothing."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from policies.model import Fact
from storage.engine import Database, open_database
from storage.errors import DatabaseUnavailableError, DatabaseUrlError, SchemaError
from storage.facts import FactLedger
from storage.tables import METADATA, ServerRow
from tests.storage.state.places import file_in, opened, ticking

ROOT = Path(__file__).parents[3]


def made(directory: Path) -> Path:
    """Make a new database in *directory* and return its file."""

    async def run() -> None:
        async with opened(directory):
            pass

    asyncio.run(run())
    return file_in(directory)


async def names(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.exec(select(ServerRow.name))).all())


async def add(database: Database, name: str) -> None:
    async with database.changing() as session:
        session.add(ServerRow(name=name, first_seen_at=1.0))


# The schema.


def test_the_steps_lead_to_the_schema_that_the_tables_describe(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{made(tmp_path)}")

    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()

    assert differences == []


@pytest.mark.parametrize(
    ("index", "condition"),
    [
        ("facts_living", "WHERE removed_version IS NULL"),
        ("tokens_revoked", "WHERE revoked_at IS NOT NULL"),
    ],
)
def test_an_index_of_some_rows_holds_no_others(tmp_path: Path, index: str, condition: str) -> None:
    with closing(sqlite3.connect(made(tmp_path))) as connection:
        ((statement,),) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = ?", (index,)
        )

    assert statement.endswith(condition)


def test_a_database_of_a_newer_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = made(tmp_path)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()

    with pytest.raises(SchemaError) as refusal:
        made(tmp_path)

    assert refusal.value.code == "schema-newer"
    assert file.read_bytes() == before


def test_migrating_prints_nothing_and_leaves_logging_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = list(logging.getLogger().handlers), logging.getLogger().level

    made(tmp_path)

    assert capfd.readouterr() == ("", "")
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before


# The file.


def test_what_is_new_belongs_to_its_owner_only(tmp_path: Path) -> None:
    async def run() -> dict[str, str]:
        async with opened(tmp_path) as database:
            await add(database, "github")
            return {
                path.name: stat.filemode(path.stat().st_mode)
                for path in (file_in(tmp_path).parent, *file_in(tmp_path).parent.iterdir())
            }

    assert asyncio.run(run()) == {
        "state": "drwx------",
        "northgate.db": "-rw-------",
        "northgate.db-wal": "-rw-------",
        "northgate.db-shm": "-rw-------",
    }


@pytest.mark.parametrize("name", ["a?b=c#d.db", "100%25.db", "a b.db", ":memory:.db", "file:x.db"])
def test_a_path_means_what_it_says(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        database = await open_database(f"sqlite:///{tmp_path / name}")
        await database.close()

    asyncio.run(run())

    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a\0b", "postgresql://h/db"],
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlError):
        asyncio.run(open_database(url))


def test_a_url_that_is_refused_keeps_its_password_to_itself() -> None:
    with pytest.raises(DatabaseUrlError) as refusal:
        asyncio.run(open_database("postgresql://me:secret@host/db"))

    assert "secret" not in str(refusal.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file_in(tmp_path).parent.mkdir()
    file_in(tmp_path).write_bytes(b"something else" * 100)

    with pytest.raises(DatabaseUnavailableError):
        made(tmp_path)

    assert file_in(tmp_path).read_bytes() == b"something else" * 100


def test_a_directory_that_cannot_be_made_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")

    with pytest.raises(DatabaseUnavailableError):
        made(tmp_path)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2), ("busy_timeout", 5000)],
)
def test_every_connection_is_set_up(tmp_path: Path, pragma: str, value: object) -> None:
    async def run() -> list[object]:
        asked = text(f"PRAGMA {pragma}")
        async with (
            opened(tmp_path) as database,
            database.reading() as first,
            database.reading() as second,
        ):
            return [
                (await (await session.connection()).execute(asked)).scalar()
                for session in (first, second)
            ]

    assert asyncio.run(run()) == [value, value]


# Transactions.


def test_what_was_changed_is_there_after_a_restart(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with opened(tmp_path) as database:
            await add(database, "github")
        async with opened(tmp_path) as database:
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_change_that_raises_leaves_nothing(tmp_path: Path) -> None:
    async def fail(database: Database) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="github", first_seen_at=1.0))
            await session.flush()
            raise LookupError

    async def run() -> list[str]:
        async with opened(tmp_path) as database:
            with pytest.raises(LookupError):
                await fail(database)
            return await names(database)

    assert asyncio.run(run()) == []


def test_a_cancelled_change_leaves_nothing_and_the_next_has_its_turn(tmp_path: Path) -> None:
    async def hang(database: Database, has_written: asyncio.Event) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="github", first_seen_at=1.0))
            await session.flush()
            has_written.set()
            await asyncio.Event().wait()

    async def run() -> list[str]:
        async with opened(tmp_path, wait=1.0) as database:
            has_written = asyncio.Event()
            task = asyncio.create_task(hang(database, has_written))
            await has_written.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await add(database, "jira")
            return await names(database)

    assert asyncio.run(run()) == ["jira"]


def test_a_change_is_seen_by_nobody_before_it_is_whole(tmp_path: Path) -> None:
    async def run() -> tuple[list[str], list[str]]:
        async with opened(tmp_path) as database:
            async with database.changing() as session:
                session.add(ServerRow(name="github", first_seen_at=1.0))
                await session.flush()
                during = await names(database)
            return during, await names(database)

    assert asyncio.run(run()) == ([], ["github"])


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    async def run() -> tuple[list[str], list[str]]:
        async with opened(tmp_path) as database, database.reading() as session:
            first = (await session.exec(select(ServerRow.name))).all()
            await add(database, "github")
            return list(first), list((await session.exec(select(ServerRow.name))).all())

    assert asyncio.run(run()) == ([], [])


def test_changes_have_their_turns_in_the_order_they_came(tmp_path: Path) -> None:
    async def change(database: Database, number: int, order: list[int]) -> None:
        async with database.changing():
            order.append(number)

    async def run() -> list[int]:
        order: list[int] = []
        async with opened(tmp_path) as database:
            await asyncio.gather(*(change(database, number, order) for number in range(20)))
        return order

    assert asyncio.run(run()) == list(range(20))


def test_a_change_whose_turn_does_not_come_gives_up(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with opened(tmp_path, wait=0.05) as database:
            async with database.changing():
                with pytest.raises(DatabaseUnavailableError):
                    await add(database, "late")
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_change_gives_up_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with opened(tmp_path, wait=0.05) as database:
            with closing(sqlite3.connect(file_in(tmp_path), isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(DatabaseUnavailableError):
                    await add(database, "late")
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_reader_gives_up_when_no_connection_becomes_free(tmp_path: Path) -> None:
    async def hold(database: Database, until: asyncio.Event) -> None:
        async with database.reading() as session:
            await session.connection()
            await until.wait()

    async def run() -> str:
        async with opened(tmp_path, wait=0.05) as database:
            until = asyncio.Event()
            holders = [asyncio.create_task(hold(database, until)) for _ in range(50)]
            done, _ = await asyncio.wait(holders, return_when=asyncio.FIRST_EXCEPTION)
            until.set()
            await asyncio.wait(holders)
            assert await names(database) == []
            return repr(next(iter(done)).exception())

    assert "no connection became free" in asyncio.run(run())


def test_a_mistake_of_ours_is_not_told_as_a_failure_of_the_database(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as database:
            await add(database, "github")
            await add(database, "github")

    with pytest.raises(IntegrityError):
        asyncio.run(run())


def test_a_failure_does_not_repeat_what_was_to_be_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as database:
            with closing(sqlite3.connect(file_in(tmp_path))) as other:
                other.execute("DROP TABLE servers")
            await add(database, "confidential")

    with pytest.raises(DatabaseUnavailableError) as failure:
        asyncio.run(run())

    assert "no such table" in failure.value.detail
    assert "confidential" not in str(failure.value)


def test_closing_lets_what_runs_end(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with opened(tmp_path) as database:
            async with database.changing() as session:
                closing_down = asyncio.create_task(database.close())
                await asyncio.sleep(0)
                session.add(ServerRow(name="github", first_seen_at=1.0))
            await closing_down
        async with opened(tmp_path) as database:
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_nothing_runs_once_it_is_closed(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as database:
            await database.close()
            await names(database)

    with pytest.raises(DatabaseUnavailableError):
        asyncio.run(run())


def test_two_databases_may_be_opened_at_the_same_time(tmp_path: Path) -> None:
    async def run() -> list[list[str]]:
        async with opened(tmp_path / "a") as first, opened(tmp_path / "b") as second:
            await add(first, "github")
            return [await names(first), await names(second)]

    async def both() -> None:
        files = [f"sqlite:///{tmp_path / name}" for name in "cdefgh"]
        for database in await asyncio.gather(*map(open_database, files)):
            assert await names(database) == []
            await database.close()

    assert asyncio.run(run()) == [["github"], []]
    asyncio.run(both())


# Several processes, killed.


def test_changes_that_were_told_survive_kill_9_and_the_others_are_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.storage.state.changer", str(file_in(tmp_path))]
    changers = [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603  fixed
        for name in "ab"
    ]
    told: dict[int, Fact] = {}
    for changer, name in zip(changers, "ab", strict=True):
        with changer:
            assert changer.stdout
            lines = [changer.stdout.readline() for _ in range(5)]
            changer.kill()
            for line in [*lines, *changer.stdout]:
                version, number = map(int, line.split())
                told[version] = Fact("counted", (name, number))

    async def run() -> tuple[int, list[Fact]]:
        async with opened(tmp_path) as database:
            version, living = await FactLedger(database, ticking()).living()
            return version, [fact for fact, _ in living]

    newest, living = asyncio.run(run())
    assert len(living) == newest
    assert {version: living[version - 1] for version in told} == told
