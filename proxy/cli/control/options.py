"""What several commands take alike, and how each is run."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from proxy.cli.control.credentials import Credentials

CredentialsFile = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        metavar="FILE",
        help="Where URL and token are kept; ~/.config/northgate/credentials.json.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Why = Annotated[
    str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")
]

ENDINGS = "Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked."


def run(file: Path | None, work: Callable[[Credentials], None], *, json: bool) -> None:
    """Do *work* with the credentials of *file*, and end with the exit code that comes of it."""
    from proxy.cli.control import credentials as files
    from proxy.cli.control.endings import ended

    path = files.place(file, os.environ)
    raise typer.Exit(ended(lambda: work(files.load(path)), json=json))
