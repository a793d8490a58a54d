"""The commands about credentials of one's own: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.control.options import AsJson, CredentialsFile

_Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        "--registry",
        metavar="URL",
        help="The gateway's control listener; that of the last login, or http://localhost:8081.",
    ),
]


def _run(file: Path | None, work: Callable[[Path], None], *, json: bool) -> None:
    from proxy.cli.control import credentials as files
    from proxy.cli.control.endings import ended

    path = files.place(file, os.environ)
    raise typer.Exit(ended(lambda: work(path), json=json))


def login(
    token: Annotated[
        str | None,
        typer.Argument(
            metavar="TOKEN",
            help="Better left out, for others see command lines: it is asked for, or read from "
            "standard input.",
        ),
    ] = None,
    *,
    url: _Url = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Keep a token for the commands that follow, in a file that only you can read.

    It is one for the control plane, such as northgate token issue --user --audience makes. Where it
    is no good, what was kept before stays.

    Exit code 0, or 1 if the gateway refuses the token, or 2 if it cannot be asked.

    JSON: url, credentials (the file), subject, expires_at.
    """
    from proxy.cli.control import login as logging_in

    _run(credentials, lambda path: logging_in.login(url, token, path, json=json), json=json)


def logout(*, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Forget the gateway's URL and your token.

    Exit code 0, also if nothing was kept, or 2 if the file cannot be removed.

    JSON: credentials (the file), removed (whether it was there).
    """
    from proxy.cli.control import login as logging_in

    _run(credentials, lambda path: logging_in.logout(path, json=json), json=json)


def version(*, url: _Url = None, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Tell the versions of this command and of the gateway.

    Exit code 0, also if the gateway cannot be asked.

    JSON: command, gateway (url, version or null, problem or null).
    """
    from proxy.cli.control import login as logging_in

    _run(credentials, lambda path: logging_in.tell_versions(url, path, json=json), json=json)
