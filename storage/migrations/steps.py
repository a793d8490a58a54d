"""Bringing a database to the newest schema."""

from __future__ import annotations

from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from storage.errors import SchemaError


def is_newest(connection: Connection) -> bool:
    """Tell whether the database lacks no step. Raise `SchemaError` as `migrate` does."""
    script = _steps()
    taken = {*MigrationContext.configure(connection).get_current_heads()}
    _check_known(taken, script)
    return taken == {*script.get_heads()}


def migrate(connection: Connection) -> None:
    """Take the steps that the database lacks, within the transaction of *connection*.

    Raise `SchemaError` if it took a step that is not known here.
    """
    script = _steps()

    def missing(taken: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        # This is what `alembic upgrade` runs; its annotation forgets that there may be none.
        return script._upgrade_revs("heads", taken)  # type: ignore[arg-type]  # noqa: SLF001

    context = MigrationContext.configure(
        connection, opts={"fn": missing, "transactional_ddl": True}
    )
    _check_known({*context.get_current_heads()}, script)
    # The steps are given their operations: the library's global ones would mix up two databases
    # that are opened at the same time.
    context.run_migrations(op=Operations(context))


def _steps() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))


def _check_known(taken: set[str], script: ScriptDirectory) -> None:
    unknown = taken - {step.revision for step in script.walk_revisions()}
    if unknown:
        raise SchemaError(f"step {', '.join(sorted(unknown))}")
