"""The command `northgate`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli import streams
from proxy.cli.control import commands as control
from proxy.cli.control import familiar
from proxy.cli.control.access_commands import access
from proxy.cli.control.identity_commands import client, team, user
from proxy.cli.policy import commands as policy
from proxy.cli.record import commands as record

app = typer.Typer(
    name="northgate",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(policy.app, name="policy")
app.add_typer(record.app, name="record")
app.add_typer(control.token, name="token")
app.add_typer(control.definition, name="definition")
app.add_typer(client, name="client")
app.add_typer(user, name="user")
app.add_typer(team, name="team")
app.add_typer(access, name="access")
app.add_typer(control.key, name="key")
app.add_typer(control.admin, name="admin")
app.add_typer(familiar.create, name="create")
app.add_typer(familiar.list_, name="list")
app.add_typer(familiar.delete, name="delete")
app.command(name="init-server")(control.init_server)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  the form of a callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  slow, and seldom wanted

        typer.echo(f"northgate {version('northgate')}")
        raise typer.Exit


@app.callback()
def northgate(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Guard MCP servers by policy."""


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings; northgate.toml, if it is here."
        ),
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Settings come from FILE and from NORTHGATE_* variables. Exit code 0 when it was told to stop,
    2 with every problem named if it cannot start.
    """
    from proxy.cli.serving import run  # noqa: PLC0415  what a command needs is loaded with it

    raise typer.Exit(run(config))


@app.command()
def quickstart(
    *,
    directory: Annotated[
        Path,
        typer.Option("--dir", metavar="DIR", help="Where everything goes, or was put before."),
    ] = Path("northgate-quickstart"),
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65_535, help="Where agents connect; 8080, if it is free."
        ),
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End after the demonstration.")] = False,
) -> None:
    """Show a gateway at work, with a small server behind it, and leave it running.

    Exit code 0, or 1 with --exit if something did not come out as it should, or 2 if it cannot
    begin.
    """
    from proxy.cli.quickstart.run import run  # noqa: PLC0415  what a command needs is loaded with it

    raise typer.Exit(run(directory, port, leave=leave))


def main() -> None:
    """Run the command that the arguments name, and end the process.

    Exit codes: 0 good, 1 the answer is no, 2 wrong usage, unusable input or a fault of ours, 130
    interrupted, 141 the reader of the output went away.
    """
    streams.accept_any_text()
    try:
        app(prog_name="northgate")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # noqa: BLE001  whatever it is, it must not pass for the answer no
        traceback.print_exc()
        sys.exit(2)
    finally:
        streams.flush()


if __name__ == "__main__":
    main()
