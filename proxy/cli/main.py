"""The command `northgate`."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Final

import typer

from proxy.cli import streams
from proxy.cli.backup import commands as backups
from proxy.cli.control import commands as control
from proxy.cli.control import familiar
from proxy.cli.control import login_commands as own
from proxy.cli.control import offer_commands as offers
from proxy.cli.control import server_commands as servers
from proxy.cli.control.access_commands import access
from proxy.cli.control.export_commands import export, import_
from proxy.cli.control.fact_commands import fact
from proxy.cli.control.identity_commands import client, team, user
from proxy.cli.policy import commands as policy
from proxy.cli.record import commands as record
from proxy.cli.replay.commands import replay
from proxy.cli.review.commands import narrow, review
from proxy.cli.why.commands import why
from proxy.workers.worker import MOST_WORKERS

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
access.command()(review)
access.command()(narrow)
app.add_typer(access, name="access")
app.add_typer(fact, name="fact")
app.add_typer(servers.server, name="server")
app.add_typer(control.key, name="key")
app.add_typer(control.admin, name="admin")
app.add_typer(familiar.create, name="create")
app.add_typer(familiar.update, name="update")
app.add_typer(familiar.list_, name="list")
app.add_typer(offers.get, name="get")
app.add_typer(familiar.delete, name="delete")
app.add_typer(offers.enable, name="enable")
app.add_typer(offers.disable, name="disable")
app.command(name="init-server")(control.init_server)
app.command()(backups.backup)
app.command()(backups.restore)
app.command()(own.login)
app.command()(own.logout)
app.command()(own.version)
app.command()(servers.register)
app.command()(servers.deregister)
app.command()(offers.usage)
app.command()(offers.invoke)
app.command()(export)
app.command(name="import")(import_)
app.command()(why)
app.command()(replay)

_READING_SETTINGS: Final = frozenset({"serve", "start", "admin", "backup", "restore"})
_DOTENV: Final = Path(".env")


def _show_version(wanted: bool) -> None:  # noqa: FBT001  the form of a callback
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415  slow, and seldom wanted

        typer.echo(f"northgate {version('northgate')}")
        raise typer.Exit


def _take_dotenv() -> None:
    from proxy.config import SettingsError  # noqa: PLC0415  slow, and seldom wanted
    from proxy.config.dotenv import read  # noqa: PLC0415

    try:
        os.environ.update(read(_DOTENV, os.environ))
    except SettingsError as error:
        typer.echo("The settings cannot be used:", err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
        raise typer.Exit(2) from None


@app.callback()
def northgate(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001  its callback does it
        bool,
        typer.Option(
            "--version", "-v", callback=_show_version, is_eager=True, help="Tell the version."
        ),
    ] = False,
) -> None:
    """Guard MCP servers by policy."""
    if context.invoked_subcommand in _READING_SETTINGS and _DOTENV.is_file():
        _take_dotenv()


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings; northgate.toml, if it is here."
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=MOST_WORKERS,
            help="Processes that share the ports; about one for each core.",
        ),
    ] = 1,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Settings come from FILE and from NORTHGATE_* variables. With several workers, one that dies is
    started again, and limits for each principal hold in each worker. Exit code 0 when it was told
    to stop, 1 if a worker did not stop as it should, 2 with every problem named if it cannot start.
    """
    # What a command needs is loaded with it.
    if workers > 1:
        from proxy.cli import supervising  # noqa: PLC0415

        raise typer.Exit(supervising.run(config, workers))
    from proxy.cli import serving  # noqa: PLC0415

    raise typer.Exit(serving.run(config))


@app.command()
def start(
    *,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65_535, help="Where agents connect, on 127.0.0.1."),
    ] = None,
    enterprise: Annotated[
        bool, typer.Option("--enterprise", "--prod", help="In enterprise mode, as usual.")
    ] = False,
    sqlite_db_path: Annotated[
        Path | None,
        typer.Option("--sqlite-db-path", metavar="FILE", help="The SQLite database."),
    ] = None,
) -> None:
    """Do what `northgate serve` does; these options go before files and variables."""
    from proxy.cli.serving import run  # noqa: PLC0415  what a command needs is loaded with it

    said = {
        ("PORT", "NORTHGATE_DATA__LISTEN"): None if port is None else f"127.0.0.1:{port}",
        ("SERVER_MODE", "NORTHGATE_MODE"): "enterprise" if enterprise else None,
        ("SQLITE_DB_PATH", "NORTHGATE_DATABASE__URL"): (
            None if sqlite_db_path is None else f"sqlite:///{sqlite_db_path}"
        ),
    }
    for (familiar_name, ours), value in said.items():
        if value is not None:
            os.environ.pop(familiar_name, None)
            os.environ[ours] = value
    raise typer.Exit(run(None))


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
