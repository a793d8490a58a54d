"""A database in a file: whose it is, how it is opened, and who waits for whom."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.engine import open_database
from storage.errors import DatabaseUnavailableError, DatabaseUrlError
from tests.storage.state.places import FilePlace, file_in, opened
from tests.storage.state.servers import add, names


def made(directory: Path) -> Path:
    """Make a new database in *directory* and return its file."""

    async def run() -> None:
        async with opened(FilePlace(directory)):
            pass

    asyncio.run(run())
    return file_in(directory)


def test_what_is_new_belongs_to_its_owner_only(tmp_path: Path) -> None:
    async def run() -> dict[str, str]:
        async with opened(FilePlace(tmp_path)) as database:
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
    ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a\0b", "mysql://h/db"],
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlError):
        asyncio.run(open_database(url))


def test_a_url_that_is_refused_keeps_its_password_to_itself() -> None:
    with pytest.raises(DatabaseUrlError) as refusal:
        asyncio.run(open_database("mysql://me:secret@host/db"))

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
            opened(FilePlace(tmp_path)) as database,
            database.reading() as first,
            database.reading() as second,
        ):
            return [
                (await (await session.connection()).execute(asked)).scalar()
                for session in (first, second)
            ]

    assert asyncio.run(run()) == [value, value]


def test_a_change_gives_up_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    async def run() -> list[str]:
        async with opened(FilePlace(tmp_path), wait=0.05) as database:
            with closing(sqlite3.connect(file_in(tmp_path), isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(DatabaseUnavailableError):
                    await add(database, "late")
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_two_databases_may_be_opened_at_the_same_time(tmp_path: Path) -> None:
    async def run() -> list[list[str]]:
        async with (
            opened(FilePlace(tmp_path / "a")) as first,
            opened(FilePlace(tmp_path / "b")) as second,
        ):
            await add(first, "github")
            return [await names(first), await names(second)]

    async def both() -> None:
        files = [f"sqlite:///{tmp_path / name}" for name in "cdefgh"]
        for database in await asyncio.gather(*map(open_database, files)):
            assert await names(database) == []
            await database.close()

    assert asyncio.run(run()) == [["github"], []]
    asyncio.run(both())
