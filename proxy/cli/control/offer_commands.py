"""The commands about what servers offer: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from proxy.cli.control.kinds import PROMPT, RESOURCE, TOOL, Offered
from proxy.cli.control.options import ENDINGS, AsJson, CredentialsFile, Why, pairs, run


class _ToolUnlessSaid(TyperGroup):
    """What MCPJungle once wrote: `enable NAME` is `enable tool NAME`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  of typer's own
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = [TOOL.noun, *args]
        return super().resolve_command(ctx, args)


def _turning(what: str) -> typer.Typer:
    return typer.Typer(
        cls=_ToolUnlessSaid,
        no_args_is_help=True,
        rich_markup_mode=None,
        help=f"{what.capitalize()} a tool, prompt or server; without a word before NAME, a tool.",
    )


enable = _turning("enable")
disable = _turning("disable")
get = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Get a prompt or a resource.")

_Tool = Annotated[str, typer.Argument(metavar="TOOL", help="Such as github__create_issue.")]
_Output = Annotated[
    Path,
    typer.Option("--output", metavar="DIR", help="Where what is no text is saved, in new files."),
]
_EFFECTS = {
    "enable": "may be used again",
    "disable": "may not be seen or used from now on, by nobody",
}


def usage(tool: _Tool, *, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Show what a tool is for, and what it takes.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: name, server, enabled, state, description, input_schema, and title, output_schema and
    annotations where it has them.
    """
    from proxy.cli.control import offers

    run(credentials, lambda found: offers.usage(found, tool, json=json), json=json)


def invoke(
    tool: _Tool,
    *,
    arguments: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="JSON",
            help="The arguments: a JSON object, @FILE, or - for standard input.",
        ),
    ] = "{}",
    output: _Output = Path(),
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Call a tool as yourself: judged, recorded and forwarded as any call is.

    Text goes to stdout; images and the like are saved, and never over what is there.

    Exit code 0, or 1 if the gateway refuses or the tool reports an error, or 2 if it cannot be
    asked.

    JSON: what the server answered: content, structuredContent, isError, _meta; nothing is saved.
    """
    from proxy.cli.control import invoking

    run(
        credentials,
        lambda found: invoking.invoke(found, tool, arguments, output, json=json),
        json=json,
    )


@get.command(name="prompt")
def get_prompt(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as github__review.")],
    *,
    arg: Annotated[
        list[str] | None,
        typer.Option("--arg", metavar="NAME=VALUE", help="An argument; may be repeated."),
    ] = None,
    output: _Output = Path(),
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Show the messages that a prompt gives.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: description, messages [role, content].
    """
    from proxy.cli.control import invoking

    arguments = pairs(arg or (), "--arg")
    run(
        credentials,
        lambda found: invoking.render(found, name, arguments, output, json=json),
        json=json,
    )


@get.command(name="resource")
def get_resource(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Such as github|file:///readme.")],
    *,
    read: Annotated[bool, typer.Option("--read", help="Show what it holds.")] = False,
    output: _Output = Path(),
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Show what is known of a resource, or with --read what it holds.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: as one of list resources; with --read, contents.
    """
    from proxy.cli.control import invoking, offers

    if read:
        run(credentials, lambda found: invoking.read(found, uri, output, json=json), json=json)
    run(credentials, lambda found: offers.show_resource(found, uri, json=json), json=json)


def add_listing(app: typer.Typer, kind: Offered) -> None:
    """Let *app* have the command that lists what there is of *kind*."""
    text = f"List the {kind.noun}s that you may see or administer, by {kind.identified}."

    @app.command(
        name=f"{kind.noun}s",
        help=f"{text}\n\n{ENDINGS}\n\nJSON: {kind.noun}s, each with all that is known of it.",
    )
    def list_some(
        *,
        server: Annotated[
            str | None, typer.Option("--server", metavar="NAME", help="Of this server alone.")
        ] = None,
        credentials: CredentialsFile = None,
        json: AsJson = False,
    ) -> None:
        from proxy.cli.control import offers

        run(
            credentials,
            lambda found: offers.list_them(found, kind, server=server, json=json),
            json=json,
        )


def _add_turning(app: typer.Typer, what: str, kind: Offered) -> None:
    @app.command(
        name=kind.noun,
        help=f"{what.capitalize()} a {kind.noun}, or all of a server: it {_EFFECTS[what]}.\n\n"
        f"{ENDINGS}\n\nJSON: names.",
    )
    def turn(
        name: Annotated[
            str, typer.Argument(metavar="NAME", help="SERVER__NAME, or the name of a server.")
        ],
        *,
        why: Why = None,
        credentials: CredentialsFile = None,
        json: AsJson = False,
    ) -> None:
        from proxy.cli.control import offers

        run(
            credentials,
            lambda found: offers.turn(found, kind, name, what, why=why, json=json),
            json=json,
        )


def _add_turning_of_servers(app: typer.Typer, what: str) -> None:
    @app.command(
        name="server",
        help=f"{what.capitalize()} a server, with all that it offers: it {_EFFECTS[what]}.\n\n"
        f"{ENDINGS}\n\nJSON: name, tools_affected, prompts_affected.",
    )
    def turn(
        name: Annotated[str, typer.Argument(metavar="NAME")],
        *,
        why: Why = None,
        credentials: CredentialsFile = None,
        json: AsJson = False,
    ) -> None:
        from proxy.cli.control import servers

        run(
            credentials,
            lambda found: servers.turn(found, name, what, why=why, json=json),
            json=json,
        )


for _app, _what in ((enable, "enable"), (disable, "disable")):
    for _kind in (TOOL, PROMPT):
        _add_turning(_app, _what, _kind)
    _add_turning_of_servers(_app, _what)

LISTED = (TOOL, PROMPT, RESOURCE)
