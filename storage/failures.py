"""Telling the failures of a database from mistakes of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from storage.errors import DatabaseUnavailableError

_OURS: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
_OUR_CLASSES: Final = ("22", "23")
"""The SQLSTATE classes of values that cannot be, and of broken constraints."""


@contextmanager
def failures() -> Iterator[None]:
    """Raise `DatabaseUnavailableError` for what fails in the block, without statements in it.

    Mistakes of ours come out as they are: trying again would not help.
    """
    try:
        yield
    except DBAPIError as error:
        if _is_ours(error):
            raise
        raise DatabaseUnavailableError(_told(error)) from error
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError("no connection became free") from error


def _is_ours(error: DBAPIError) -> bool:
    orig: Any = error.orig
    if not hasattr(orig, "sqlstate"):
        return isinstance(error, _OURS)
    if orig.sqlstate is None:
        # asyncpg refuses arguments before it sends them.
        return isinstance(orig.__cause__, ValueError)
    # A server refuses statements for want of a table or of a permission too, which SQLite's driver
    # does not take for mistakes.
    return str(orig.sqlstate).startswith(_OUR_CLASSES)


def _told(error: DBAPIError) -> str:
    cause = error.orig and (error.orig.__cause__ or error.orig)
    # The text of asyncpg's own errors goes on with the values of the row.
    told = cause.args[0] if cause and cause.args else cause
    return f"{type(cause).__name__}: {told}"
