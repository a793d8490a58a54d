"""The steps of the schema, and rows of older releases brought through them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, delete, insert, select

from storage import migrations
from storage.backup.errors import BackupNewerError
from storage.backup.form import Row, in_portions
from storage.backup.tables import LEFT_OUT, PORTION, tables
from storage.failures import failures


def newest() -> str:
    """Return the step that a database of this release took last."""
    return str(_script().get_current_head())


def tables_at(schema: str) -> dict[str, Table]:
    """Return the tables that there were after the step *schema*.

    Raise `BackupNewerError` for a step that is not known here.
    """
    if schema == newest():
        return tables()
    if schema not in {step.revision for step in _script().walk_revisions()}:
        raise BackupNewerError(f"step {schema[:64]!r}")
    with _scratch("sqlite://") as engine, engine.begin() as connection:
        return _raised(connection, schema)


@contextmanager
def brought_up(rows: Iterable[Row], schema: str) -> Iterator[Iterable[Row]]:
    """Give *rows*, as they were after the step *schema*, as they are after the newest.

    They take the steps in a scratch database, so that none is there that the steps do not make.
    """
    if schema == newest():
        yield rows
        return
    with (
        TemporaryDirectory(prefix="northgate-") as place,
        _scratch(f"sqlite:///{place}/state.db") as engine,
        engine.begin() as connection,
    ):
        for table in reversed(_raised(connection, schema).values()):
            connection.execute(delete(table))
        for table, values in in_portions(rows, PORTION):
            connection.execute(insert(table), values)
        _raised(connection, newest())
        yield _all(connection)


def _all(connection: Connection) -> Iterator[Row]:
    for table in tables().values():
        found = connection.execution_options(yield_per=PORTION).execute(select(table))
        for row in found.mappings():
            yield table, dict(row)


@contextmanager
def _scratch(url: str) -> Iterator[Engine]:
    engine = create_engine(url, hide_parameters=True)
    try:
        with failures():
            yield engine
    finally:
        engine.dispose()


def _raised(connection: Connection, schema: str) -> dict[str, Table]:
    """Take the steps up to *schema*, and return the tables that there are then."""

    def missing(taken: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        return _script()._upgrade_revs(schema, taken)  # type: ignore[arg-type]  # noqa: SLF001

    context = MigrationContext.configure(connection, opts={"fn": missing})
    context.run_migrations(op=Operations(context))
    found = MetaData()
    found.reflect(connection)
    others = {"alembic_version", *LEFT_OUT}
    return {one.name: one for one in found.sorted_tables if one.name not in others}


@cache
def _script() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrations.__file__).parent))
