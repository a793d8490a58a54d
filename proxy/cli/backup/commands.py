"""The commands `northgate backup` and `northgate restore`: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

_Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The gateway's settings; northgate.toml, if it is here."
    ),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]


def _run(work: Callable[[], None], *, json: bool) -> None:
    from proxy.cli.control.endings import ended

    raise typer.Exit(ended(work, json=json))


def backup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The backup to write; - is stdout.", show_default=False
        ),
    ],
    *,
    config: _Config = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a FILE that exists.")] = False,
    json: _AsJson = False,
) -> None:
    """Write the whole state to FILE, as it is at one moment, while gateways run or not.

    Settings come from --config and from NORTHGATE_* variables. FILE is for its owner alone, and
    there only once it is whole. What is secret in it is sealed under the master key.

    Not in it: the master key, without which what is sealed is lost, so keep a copy elsewhere; the
    record, which is evidence that its own chain proves, so copy the directory of the journal as it
    is; the files of the policy, and those that records cite in policies-kept; the settings. A
    database of an older release is brought to the schema of this one first, as when a gateway
    starts.

    Exit code 0, or 2 if it cannot be written.

    JSON: file, bytes, schema, created_at (seconds since the epoch), northgate, database,
    master_key (its id), rows (by table), not_included (where master_key, record and policy are).
    """
    from proxy.cli.backup import writing

    _run(lambda: writing.run(file, config, os.environ, force=force, json=json), json=json)


def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The backup to read.", show_default=False)
    ],
    *,
    config: _Config = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Lose what the database holds now.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell whether FILE is whole.")
    ] = False,
    json: _AsJson = False,
) -> None:
    """Put what FILE holds into the database of the gateway, all of it or nothing.

    Stop every gateway on that database first. The database may be of another kind than the one
    that was backed up, and FILE of an older release. The master key must be the one of then:
    NORTHGATE_MASTER_KEY, or master.key in the data directory.

    FILE is read to its end before anything is changed. Everything is as it was when it was backed
    up, the version of the facts too, which records refer to: what was revoked, suspended or ended
    since is not so any more.

    Exit code 0, or 1 if FILE is damaged, of a newer release or sealed under another master key, or
    if the database is in use or holds a state, or 2 if it cannot be done.

    JSON: file, schema, created_at (seconds since the epoch), northgate, database, master_key (its
    id), rows (by table), proven (whether the master key shows that FILE is as it was written).
    """
    from proxy.cli.backup import restoring

    def work() -> None:
        if check:
            restoring.check(file, config, os.environ, json=json)
        else:
            restoring.run(file, config, os.environ, replace=replace, json=json)

    _run(work, json=json)
