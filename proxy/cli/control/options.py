"""What several commands take alike, and how each is run."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
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

Conf = Annotated[
    Path | None,
    typer.Option("-c", "--conf", metavar="FILE", help="A JSON file that says all of it."),
]
Header = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME=VALUE", help="May be repeated; never shown again."),
]

ENDINGS = "Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked."


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Return what texts of the form NAME=VALUE say."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or name in found:
            # Not what it says, which may be a secret.
            raise typer.BadParameter("Write NAME=VALUE, each name once.", param_hint=option)
        found[name] = value
    return found


def run(file: Path | None, work: Callable[[Credentials], None], *, json: bool) -> None:
    """Do *work* with the credentials of *file*, and end with the exit code that comes of it."""
    from proxy.cli.control import credentials as files
    from proxy.cli.control.endings import CommandError, ended

    def understood() -> None:
        try:
            work(files.load(path))
        except KeyError as error:
            message = f"The gateway's answer has no {error}."
            hint = "It may be of another version: northgate version tells both."
            raise CommandError("not-understood", message, hint) from None

    path = files.place(file, os.environ)
    raise typer.Exit(ended(understood, json=json))
