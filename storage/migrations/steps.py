"""Bringing a database to the newest schema."""

from __future__ import annotations

from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from storage.errors import SchemaError


def migrate(connection: Connection) -> None:
    """Take the steps that the database lacks, within the transaction of *connection*.

    Raise `SchemaError` if it took a step that is not known here.
    """
    script = ScriptDirectory(str(Path(__file__).parent))

    def missing(taken: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        # This is what `alembic upgrade` runs; its annotation forgets that there may be none.
        return script._upgrade_revs("heads", taken)  # type: ignore[arg-type]  # noqa: SLF001

    context = MigrationContext.configure(
        connection, opts={"fn": missing, "transactional_ddl": True}
    )
    unknown = {*context.get_current_heads()} - {step.revision for step in script.walk_revisions()}
    if unknown:
        raise SchemaError(f"step {', '.join(sorted(unknown))}")
    # The steps are given their operations: the library's global ones would mix up two databases
    # that are opened at the same time.
    context.run_migrations(op=Operations(context))
