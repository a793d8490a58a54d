"""A database on a PostgreSQL server: how it is reached, and what happens when it is not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from storage.engine import Database, open_database
from storage.errors import DatabaseUnavailableError, DatabaseUrlError
from storage.tables import ServerRow
from tests.storage.postgres import SECONDS, Server, certify
from tests.storage.state.places import ServerPlace, opened
from tests.storage.state.servers import add, names

PASSWORD = "canary-7f3a"  # noqa: S105  of a test
WAIT = 0.5
LATEST = 2.0
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@contextmanager
def failing_in_time() -> Iterator[pytest.ExceptionInfo[DatabaseUnavailableError]]:
    """Expect what is in the block to be refused before its caller would lose patience."""
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailableError) as failure:
        yield failure
    assert time.monotonic() - started < LATEST


# Addresses.


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://h",
        "postgresql://h/",
        f"postgresql://u:{PASSWORD}@h",
        f"postgresql://u:{PASSWORD}@h:port/d",
        f"postgresql://u:{PASSWORD}@127.0.0.1:99999/d",
        f"postgresql://u:{PASSWORD}@127.0.0.1:5432,127.0.0.1:0/d",
        f"postgresql://u:{PASSWORD}@127.0.0.1/d?port=99999",
        f"postgresql://u:x/{PASSWORD}@h/d",
        f"postgresql://u:x?{PASSWORD}@h/d",
        f"postgresql://u:x#{PASSWORD}@h/d",
        f"postgresql://u:[{PASSWORD}@h/d",
        f"postgresql://u:{PASSWORD}@127.0.0.1/d?sslmode=sometimes",
        f"postgresql://u:{PASSWORD}@127.0.0.1/d?sslmode",
        f"postgresql://u:{PASSWORD}@127.0.0.1/d?unheard_of=1",
        f"postgresql://u:{PASSWORD}@127.0.0.1:1,127.0.0.1:2:3/d",
        f"postgresql://u:{PASSWORD}\n@h/d",
        f"postgresql+asyncpg://u:{PASSWORD}@h/d",
    ],
)
def test_a_url_that_makes_no_sense_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as refusal:
        asyncio.run(open_database(url, wait=WAIT))

    assert PASSWORD not in f"{refusal.value!r} {refusal.value} {refusal.value.__cause__}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_both_names_of_the_scheme_mean_the_same(served: ServerPlace, scheme: str) -> None:
    async def run() -> list[str]:
        database = await open_database(served.url.replace("postgresql:", f"{scheme}:", 1))
        found = await names(database)
        await database.close()
        return found

    assert asyncio.run(run()) == []


@pytest.fixture
def guarded(served: ServerPlace) -> Iterator[ServerPlace]:
    """Make a user who needs a password, and may read and write but make no tables."""
    served.ask(
        f"CREATE USER guarded PASSWORD '{PASSWORD}'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guarded",
    )
    yield served
    served.ask("DROP OWNED BY guarded", "DROP USER guarded")


def over_network(place: ServerPlace, password: str, options: str = "", host: str = "") -> str:
    where = f"{host or '127.0.0.1'}:{place.server.port}"
    return f"postgresql://guarded:{password}@{where}/{place.name}{options}"


def test_a_user_comes_in_with_the_password_in_the_url(guarded: ServerPlace) -> None:
    async def run() -> list[str]:
        database = await open_database(over_network(guarded, PASSWORD))
        await add(database, "github")
        found = await names(database)
        assert PASSWORD not in repr(vars(database))
        await database.close()
        return found

    assert asyncio.run(run()) == ["github"]


def test_a_wrong_password_is_refused_and_not_repeated(guarded: ServerPlace) -> None:
    with pytest.raises(DatabaseUnavailableError) as refusal:
        asyncio.run(open_database(over_network(guarded, "another-canary")))

    assert "password authentication failed" in refusal.value.detail
    assert "another-canary" not in f"{refusal.value!r} {refusal.value.__cause__}"


@pytest.mark.parametrize(
    ("options", "host", "is_encrypted"),
    [
        ("?sslmode=disable", "127.0.0.1", False),
        ("?sslmode=require", "127.0.0.1", True),
        ("?sslmode=verify-ca&sslrootcert={own}", "127.0.0.1", True),
        ("?sslmode=verify-full&sslrootcert={own}", "localhost", True),
        ("?sslmode=verify-full&sslrootcert={own}", "127.0.0.1", None),
        ("?sslmode=verify-ca&sslrootcert={other}", "127.0.0.1", None),
        ("?sslmode=verify-full&sslrootcert={absent}", "localhost", None),
    ],
)
def test_sslmode_means_what_it_means_to_libpq(
    guarded: ServerPlace, tmp_path: Path, options: str, host: str, *, is_encrypted: bool | None
) -> None:
    certify(tmp_path, None)
    own = guarded.server.place / "data" / "server.crt"
    said = options.format(own=own, other=tmp_path / "server.crt", absent=tmp_path / "absent")

    async def run() -> object:
        database = await open_database(over_network(guarded, PASSWORD, said, host))
        async with database.reading() as session:
            asked = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            found = (await (await session.connection()).execute(asked)).scalar()
        await database.close()
        return found

    if is_encrypted is None:
        with pytest.raises((DatabaseUnavailableError, DatabaseUrlError)) as refusal:
            asyncio.run(run())
        assert PASSWORD not in f"{refusal.value!r} {refusal.value.__cause__}"
    else:
        assert asyncio.run(run()) is is_encrypted


def test_encryption_is_not_given_up_where_the_server_has_none() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"N")
        await writer.drain()
        writer.close()

    async def run() -> None:
        listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            url = f"postgresql://u:{PASSWORD}@127.0.0.1:{port}/d?sslmode=require"
            await open_database(url, wait=WAIT)

    with failing_in_time() as failure:
        asyncio.run(run())

    assert PASSWORD not in str(failure.value)


def test_a_database_of_another_encoding_is_refused(postgres: Server) -> None:
    postgres.ask(
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", "postgres"
    )

    with pytest.raises(DatabaseUrlError, match="LATIN1"):
        asyncio.run(open_database(postgres.url("latin")))

    postgres.drop("latin")


def test_a_database_that_is_not_there_is_told_as_such(postgres: Server) -> None:
    with pytest.raises(DatabaseUnavailableError, match="does not exist"):
        asyncio.run(open_database(postgres.url("nowhere")))


def test_a_user_who_may_make_no_tables_is_told_so(guarded: ServerPlace, bare: ServerPlace) -> None:
    with pytest.raises(DatabaseUnavailableError, match="permission denied"):
        asyncio.run(open_database(over_network(bare, PASSWORD)))

    assert guarded.ask("SELECT count(*) FROM servers") == [(0,)]


# What a connection is.


@pytest.mark.parametrize(
    ("kind", "isolation", "is_read_only"),
    [("reading", "repeatable read", "on"), ("changing", "read committed", "off")],
)
def test_a_transaction_has_the_promises_of_its_kind(
    served: ServerPlace, kind: str, isolation: str, is_read_only: str
) -> None:
    async def run() -> list[object]:
        shown = (
            "transaction_isolation",
            "transaction_read_only",
            "statement_timeout",
            "synchronous_commit",
        )
        async with opened(served, wait=2.0) as database:
            begun = database.reading() if kind == "reading" else database.changing()
            async with begun as session:
                connection = await session.connection()
                return [(await connection.execute(text(f"SHOW {name}"))).scalar() for name in shown]

    assert asyncio.run(run()) == [isolation, is_read_only, "1800ms", "on"]


def test_a_process_takes_few_connections_however_many_read(served: ServerPlace) -> None:
    async def run() -> int:
        async with opened(served) as database:
            await asyncio.gather(*(names(database) for _ in range(60)))
            return int((await served.server.answer(OTHERS, served.name))[0][0])

    assert 1 <= asyncio.run(run()) <= 5


# Waiting for others.


@asynccontextmanager
async def turn_of_another(place: ServerPlace) -> AsyncIterator[None]:
    """Hold the turn to write, as another process does."""
    async with opened(place, wait=SECONDS) as other, other.changing() as session:
        session.add(ServerRow(name="other", first_seen_at=1.0))
        await session.flush()
        yield
        await session.rollback()


def test_a_change_gives_up_in_time_while_another_process_has_its_turn(served: ServerPlace) -> None:
    async def run() -> list[str]:
        async with opened(served, wait=WAIT) as database:
            async with turn_of_another(served):
                assert await names(database) == []
                with failing_in_time() as failure:
                    await add(database, "late")
                assert "statement timeout" in failure.value.detail
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_two_that_change_at_once_go_one_after_another(served: ServerPlace) -> None:
    order: list[str] = []

    async def change(database: Database, number: int) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name=f"s{number}", first_seen_at=1.0))
            await session.flush()
            order.append("in")
            await asyncio.sleep(0.001)
            order.append("out")

    async def run() -> list[str]:
        async with opened(served) as first, opened(served) as second:
            both = (first, second)
            await asyncio.gather(*(change(both[number % 2], number) for number in range(20)))
            return await names(first)

    assert len(asyncio.run(run())) == 20
    assert order == ["in", "out"] * 20


def test_one_that_stands_still_in_its_turn_loses_it(served: ServerPlace) -> None:
    async def stand_still(database: Database, has_turn: asyncio.Event) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="still", first_seen_at=1.0))
            await session.flush()
            has_turn.set()
            await asyncio.sleep(4 * WAIT)

    async def run() -> list[str]:
        async with opened(served, wait=WAIT) as still, opened(served, wait=SECONDS) as database:
            has_turn = asyncio.Event()
            standing = asyncio.create_task(stand_still(still, has_turn))
            await has_turn.wait()
            await add(database, "github")
            assert not standing.done()
            with pytest.raises(DatabaseUnavailableError):
                await standing
            return await names(database)

    assert asyncio.run(run()) == ["github"]


# Failures.


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, failing_in_time() as failure:
        url = f"postgresql://u:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/d"
        asyncio.run(open_database(url, wait=WAIT))

    assert PASSWORD not in str(failure.value)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with failing_in_time():
        asyncio.run(open_database("postgresql://u@127.0.0.1:1/d"))


def test_a_server_that_hangs_is_given_up_in_time_and_used_again_after(served: ServerPlace) -> None:
    async def run() -> list[str]:
        async with opened(served, wait=WAIT) as database:
            await add(database, "github")
            served.server.freeze()
            try:
                with failing_in_time():
                    await add(database, "lost")
                with failing_in_time():
                    await names(database)
                with failing_in_time():  # it cannot even connect
                    await names(database)
            finally:
                served.server.thaw()
            await add(database, "jira")
            return await names(database)

    assert set(asyncio.run(run())) - {"lost"} == {"github", "jira"}


def test_a_server_that_hangs_in_the_middle_of_a_change_is_given_up_in_time(
    served: ServerPlace,
) -> None:
    async def change(database: Database) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="lost", first_seen_at=1.0))
            await session.flush()
            served.server.freeze()

    async def run() -> list[str]:
        async with opened(served, wait=WAIT) as database:
            try:
                with failing_in_time():
                    await change(database)
            finally:
                served.server.thaw()
            await add(database, "jira")
            return await names(database)

    # What was committing is there, or is not.
    assert set(asyncio.run(run())) - {"lost"} == {"jira"}


def test_connections_that_were_cut_between_changes_are_not_noticed(served: ServerPlace) -> None:
    async def run() -> list[str]:
        async with opened(served) as database:
            await asyncio.gather(*(names(database) for _ in range(9)))
            await served.server.cut(served.name)
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_change_whose_connection_is_cut_leaves_nothing(served: ServerPlace) -> None:
    async def change(database: Database) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="lost", first_seen_at=1.0))
            await session.flush()
            await served.server.cut(served.name)

    async def run() -> list[str]:
        async with opened(served) as database:
            with failing_in_time():
                await change(database)
            await add(database, "github")
            return await names(database)

    assert asyncio.run(run()) == ["github"]


def test_a_reader_whose_connection_is_cut_is_told_so(served: ServerPlace) -> None:
    async def read(database: Database) -> None:
        async with database.reading() as session:
            await session.connection()
            await served.server.cut(served.name)
            await (await session.connection()).execute(text("SELECT 1"))

    async def run() -> list[str]:
        async with opened(served) as database:
            with failing_in_time():
                await read(database)
            return await names(database)

    assert asyncio.run(run()) == []


def test_a_server_that_is_stopped_in_the_middle_of_a_change_leaves_nothing_of_it(
    served: ServerPlace,
) -> None:
    async def change(database: Database) -> None:
        async with database.changing() as session:
            session.add(ServerRow(name="lost", first_seen_at=1.0))
            await session.flush()
            await asyncio.to_thread(served.server.stop)

    async def run() -> list[str]:
        async with opened(served) as database:
            await add(database, "github")
            try:
                with failing_in_time():
                    await change(database)
                with failing_in_time():
                    await names(database)
            finally:
                await asyncio.to_thread(served.server.start)
            await add(database, "jira")
            return await names(database)

    assert sorted(asyncio.run(run())) == ["github", "jira"]


def test_a_statement_that_takes_too_long_ends_and_the_next_does_not_wait(
    served: ServerPlace,
) -> None:
    async def dawdle(database: Database) -> None:
        async with database.reading() as session:
            await (await session.connection()).execute(text("SELECT pg_sleep(30)"))

    async def run() -> list[str]:
        async with opened(served, wait=WAIT) as database:
            with failing_in_time():
                await dawdle(database)
            return await names(database)

    assert asyncio.run(run()) == []


def test_a_password_is_nowhere_in_what_a_failing_server_makes_of_it(guarded: ServerPlace) -> None:
    async def run() -> str:
        database = await open_database(over_network(guarded, PASSWORD), wait=WAIT)
        try:
            served = guarded.server
            await asyncio.to_thread(served.stop)
            with failing_in_time() as failure:
                await add(database, "github")
            await asyncio.to_thread(served.start)
            chain: list[str] = []
            error: BaseException | None = failure.value
            while error is not None:
                chain.append(f"{error!r} {error}")
                error = error.__cause__ or error.__context__
            return "\n".join(chain)
        finally:
            await database.close()

    assert PASSWORD not in asyncio.run(run())


def test_a_value_that_the_server_refuses_is_no_failure_of_the_database(
    served: ServerPlace,
) -> None:
    async def run(name: str) -> None:
        async with opened(served) as database:
            await add(database, name)

    for name in ("nul\0", "half \ud800"):
        with pytest.raises(DBAPIError):
            asyncio.run(run(name))
