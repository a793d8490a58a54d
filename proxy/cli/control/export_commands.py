"""The commands that write a gateway's state to files and read it back."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.control.options import AsJson, CredentialsFile, run

_USUAL = Path(".northgate")


def export(
    *,
    directory: Annotated[
        Path,
        typer.Option("-d", "--dir", metavar="DIR", help="An empty directory, or a new one."),
    ] = _USUAL,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Write servers, clients and grants to files, for register -c, create mcp-client -c or import.

    No secret is in them: where there was one stands ${VARIABLE}.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked or DIR is not empty.

    JSON: files, variables (to be set before they are used), left_out.
    """
    from proxy.cli.control import exporting

    run(
        credentials,
        lambda found: exporting.export(found, directory, json=json),
        json=json,
    )


def import_(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="As export has written it.")],
    *,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Register, create and grant what export wrote to DIR; what is there already stays as it is.

    Exit code 0, or 1 if the gateway refuses any of it, or 2 if DIR or the gateway cannot be used.

    JSON: done (files), refused [file, code, message].
    """
    from proxy.cli.control import exporting

    run(
        credentials,
        lambda found: exporting.import_(found, directory, json=json),
        json=json,
    )
