"""A database that many machines share, by PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, ExceptionContext, event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage.errors import DatabaseUnavailableError, DatabaseUrlError
from storage.migrations.steps import is_newest, migrate
from storage.versions import CHANNEL

SCHEMES: Final = ("postgresql://", "postgres://")

_KEPT: Final = 3
_MORE: Final = 2
"""Connections of one process: one listens, one writes, and few read, for no call waits for them."""
_MIGRATING_SECONDS: Final = 600.0
_SOONER: Final = 0.9
"""The share of the time after which the server gives up, so that the connection can be kept."""
_TURN: Final = int.from_bytes(b"northgat")
_OPTIONS: Final = frozenset({
    "application_name", "dbname", "host", "options", "passfile", "password", "port", "sslcert",
    "sslcrl", "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert",
    "ssl_max_protocol_version", "ssl_min_protocol_version", "target_session_attrs", "user",
})  # fmt: skip


async def opened(url: str, wait: float) -> tuple[AsyncEngine, AsyncEngine]:
    """Open the database of *url* in the newest schema: one engine for reading, one for writing.

    Both have one pool. *wait* is how many seconds the server may take to accept a connection, to
    answer a statement, and to give a lock.
    """
    name = _checked(url)
    engine = _engine(_connecting(url, name, wait, wait), wait)
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    try:
        async with reading.connect() as connection:
            await _check_encoding(connection)
            is_known = await connection.run_sync(is_newest)
        if not is_known:
            await _migrate(_connecting(url, name, wait, _MIGRATING_SECONDS))
    except BaseException:
        await engine.dispose()
        raise
    return reading, _writing(engine)


def copying(url: str, wait: float) -> AsyncEngine:
    """Return what writes copies of the record: one connection, which takes none from the others."""
    return _engine(_connecting(url, _checked(url), wait, wait), wait, kept=1, more=0)


async def listen(connection: AsyncConnection, heard: Callable[[], None]) -> None:
    """Have *heard* called when another process announces a change."""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    try:
        await driver.add_listener(CHANNEL, lambda *_: heard())
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        driver.terminate()
        raise DatabaseUnavailableError(type(error).__name__) from error


def _checked(url: str) -> str:
    """Return the name for connections by *url*, or raise `DatabaseUrlError`, with nothing of it."""
    if not url.isprintable():
        raise DatabaseUrlError("a URL of other characters")
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise DatabaseUrlError("not a URL") from None
    options = dict(query)
    if parts.fragment or not options.keys() <= _OPTIONS:
        raise DatabaseUrlError("an unknown option, or an unquoted ? or # in the password")
    if not all(0 < port < 2**16 for port in _ports(parts.netloc, options.get("port", ""))):
        raise DatabaseUrlError("a port that cannot be")
    if parts.path.strip("/") == "" and not options.get("dbname"):
        raise DatabaseUrlError("no database named")
    return options.get("application_name", "northgate")


def _ports(place: str, more: str) -> Iterator[int]:
    # Not every event loop refuses one that is too high: some take a part of it.
    for one in (*place.rpartition("@")[2].split(","), *(f":{one}" for one in more.split(","))):
        _, separator, port = one.rpartition(":")
        if separator and port.isdecimal():
            yield int(port[:9])


def _connecting(
    url: str, name: str, wait: float, answering: float
) -> Callable[[], Awaitable[object]]:
    """Return what makes connections: in *wait* seconds, with *answering* for each statement."""
    settings = {
        "application_name": name,
        "statement_timeout": f"{max(1, int(answering * 1_000 * _SOONER))}",
        # Whatever the server does by itself: what was acknowledged must survive a loss of power.
        "synchronous_commit": "on",
        # A process that stands still in its turn would hold up all others.
        "idle_in_transaction_session_timeout": f"{int(answering * 2_000)}",
    }

    async def connect() -> object:
        try:
            return await asyncpg.connect(
                url, timeout=wait, command_timeout=answering, server_settings=settings
            )
        except (ValueError, OverflowError):
            # The driver's errors of configuration are; they may quote the URL.
            raise DatabaseUrlError("a host, port, or option that makes no sense") from None
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            told = str(error.args[-1]) if error.args else "no connection in time"
            raise DatabaseUnavailableError(f"{type(error).__name__}: {told}") from None

    return connect


def _engine(
    connect: Callable[[], Awaitable[object]], wait: float, *, kept: int = _KEPT, more: int = _MORE
) -> AsyncEngine:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",
        pool_size=kept,
        max_overflow=more,
        pool_timeout=wait,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "checkout", _check_connected)
    event.listen(engine.sync_engine, "handle_error", _let_go)
    return engine


def _writing(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(writes=True)


async def _migrate(connect: Callable[[], Awaitable[object]]) -> None:
    # The steps may take long on much data, and the processes that start meanwhile wait for them.
    engine = _engine(connect, _MIGRATING_SECONDS)
    try:
        async with _writing(engine).begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


async def _check_encoding(connection: AsyncConnection) -> None:
    encoding = (await connection.execute(text("SHOW server_encoding"))).scalar_one()
    if encoding != "UTF8":
        raise DatabaseUrlError(f"the database is in {encoding}")


def _begin(connection: Connection) -> None:
    # Writers go one after another, as with SQLite, and none has to be run again because another
    # was faster. Each statement sees what was committed before it, so the wait for the lock costs
    # nothing; a snapshot would be taken before that wait.
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")


def _check_connected(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
    # What a restart of the server cut is found before it is used, without asking the server.
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _let_go(context: ExceptionContext) -> Exception | None:
    """Drop a connection that does not answer: to undo its transaction would take as long again."""
    if not isinstance(context.original_exception, OSError):  # a TimeoutError is one
        return None
    if context.connection is not None and not context.connection.invalidated:
        driver: Any = context.connection.connection.driver_connection
        driver.terminate()
    context.is_disconnect = True
    return DatabaseUnavailableError("no answer in time")
