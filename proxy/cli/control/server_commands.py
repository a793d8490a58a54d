"""The commands about servers: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.cli.control.options import (
    ENDINGS,
    AsJson,
    Conf,
    CredentialsFile,
    Header,
    Why,
    Yes,
    pairs,
    run,
)

if TYPE_CHECKING:
    from proxy.cli.control.credentials import Credentials

server = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See servers, and whether the policy is enforced.",
)

Name = Annotated[str, typer.Argument(metavar="NAME")]
_Url = Annotated[str | None, typer.Option("--url", metavar="URL", help="Where it answers.")]
_Description = Annotated[str | None, typer.Option("--description", metavar="TEXT")]
_Bearer = Annotated[
    str | None,
    typer.Option(
        "--bearer-token",
        metavar="TEXT",
        help="The token that the server wants; - reads it from standard input, unseen by others.",
    ),
]
_BearerFile = Annotated[
    Path | None,
    typer.Option("--bearer-token-file", metavar="FILE", help="A file with that token."),
]
_Network = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="WHERE",
        help="Where its address may be: public (usually), private or loopback.",
    ),
]
_Sessions = Annotated[
    str | None,
    typer.Option("--session-mode", metavar="MODE", help="stateful (usually) or stateless."),
]

_FILE = "bearer_token_file"
_MEMBERS = (
    "JSON: name, transport, url, description, network, session_mode, headers (names), has_bearer, "
    "enabled, enforcement, observed_until, source, registered_at, registered_by, catalogue (known, "
    "tools, prompts, resources, last_failure, taken_at)."
)


def _said(
    url: str | None,
    description: str | None,
    bearer_token: str | None,
    bearer_token_file: Path | None,
    header: list[str] | None,
    network: str | None,
    session_mode: str | None,
) -> dict[str, Any]:
    return {
        "url": url,
        "description": description,
        "bearer_token": bearer_token,
        _FILE: bearer_token_file,
        "headers": None if header is None else pairs(header, "--header"),
        "network": network,
        "session_mode": session_mode,
    }


def _resolved(said: dict[str, Any]) -> dict[str, Any]:
    """Return what is *said* with the bearer token in its place, from wherever it comes."""
    from proxy.cli.control.asking import secret_of
    from proxy.cli.control.configurations import first_line

    terms, token = {**said}, said["bearer_token"]
    file = terms.pop(_FILE)
    if file is not None:
        terms["bearer_token"] = first_line(file)
    elif token is not None:
        terms["bearer_token"] = secret_of(token, "The server's token")
    return terms


def _terms(
    conf: Path | None, words: Callable[[], dict[str, Any]], reason: dict[str, Any]
) -> dict[str, Any]:
    """Return what the file says, or else those of *words* that were given, with *reason*."""
    from proxy.cli.control.api import given
    from proxy.cli.control.configurations import server_of

    found = given(words()) if conf is None else server_of(conf, os.environ)
    return found | given(reason)


def _check_alone(conf: Path | None, *others: object) -> None:
    if conf is not None and any(one is not None for one in others):
        raise typer.BadParameter("What --conf names says all of the server; leave the rest out.")


def register(  # noqa: PLR0913  one for each option
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME")] = None,
    url: _Url = None,
    description: _Description = None,
    bearer_token: _Bearer = None,
    bearer_token_file: _BearerFile = None,
    header: Header = None,
    network: _Network = None,
    session_mode: _Sessions = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take the place of a server of the same name.")
    ] = False,
    conf: Conf = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Register a server, once it has answered the gateway; its tools are approved with that.

    FILE is a JSON object such as MCPJungle takes, and ${VARIABLE} in it is of this terminal.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked or the server does not
    answer.

    JSON: server (as server show).
    """
    from proxy.cli.control import servers

    said = _said(url, description, bearer_token, bearer_token_file, header, network, session_mode)
    _check_alone(conf, name, *said.values())

    def words() -> dict[str, Any]:
        return _resolved(said) | {"name": name}

    def work(found: Credentials) -> None:
        terms = _terms(conf, words, {"force": force or None, "why": why})
        servers.register(found, terms, json=json)

    run(credentials, work, json=json)


def update(  # noqa: PLR0913  one for each option
    name: Name,
    *,
    url: _Url = None,
    description: _Description = None,
    bearer_token: _Bearer = None,
    bearer_token_file: _BearerFile = None,
    no_bearer_token: Annotated[
        bool, typer.Option("--no-bearer-token", help="It wants no token any more.")
    ] = False,
    header: Header = None,
    no_headers: Annotated[
        bool, typer.Option("--no-headers", help="It wants no headers any more.")
    ] = False,
    network: _Network = None,
    session_mode: _Sessions = None,
    conf: Conf = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Change a server that was registered, once it has answered so; calls go on meanwhile.

    What is not named stays; with --conf all of it is as FILE says.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked or the server does not
    answer.

    JSON: server (as server show).
    """
    from proxy.cli.control import servers

    said = _said(url, description, bearer_token, bearer_token_file, header, network, session_mode)
    _check_alone(conf, *said.values(), no_bearer_token or None, no_headers or None)
    gone: dict[str, Any] = {"bearer_token": None} if no_bearer_token else {}
    gone |= {"headers": {}} if no_headers else {}

    def work(found: Credentials) -> None:
        terms = _terms(conf, lambda: _resolved(said), {}) | gone
        if terms and why is not None:
            terms["why"] = why
        if conf is not None and terms.pop("name", name) != name:
            raise typer.BadParameter(f"{conf} is about another server.")
        servers.update(found, name, terms, anew=conf is not None, json=json)

    run(credentials, work, json=json)


def deregister(
    name: Name,
    *,
    yes: Yes = False,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Forget a server that was registered, at once, with all that it offers.

    Exit code 0, or 1 if you or the gateway say no, or 2 if it cannot be asked.

    JSON: deregistered (the name).
    """
    from proxy.cli.control import servers

    run(
        credentials,
        lambda found: servers.deregister(found, name, why=why, yes=yes, json=json),
        json=json,
    )


@server.command(name="show", help=f"Show one server.\n\n{ENDINGS}\n\n{_MEMBERS}")
def show_server(name: Name, *, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    from proxy.cli.control import servers

    run(credentials, lambda found: servers.show(found, name, json=json), json=json)


_OF_ENFORCEMENT = f"{ENDINGS}\n\nJSON: name, enforcement (enforce or observe), observed_until."


@server.command(
    name="observe",
    help="Record what the policy denies on a server, and make the call all the same.\n\nFor the "
    "time in which a policy is rolled out: `northgate record list --observed` shows what it would "
    "have refused. Whoever is suspended, unknown or too fast is refused as ever, and so is what is "
    f"disabled, or new or changed and not approved.\n\n{_OF_ENFORCEMENT}",
)
def observe_server(
    name: Name,
    *,
    lasting: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="TIME", help="How long, as 12h or 7d, or until when; at most 90d."
        ),
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")],
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    from proxy.cli.control import servers

    run(
        credentials,
        lambda found: servers.observe(found, name, lasting=lasting, why=why, json=json),
        json=json,
    )


@server.command(
    name="enforce",
    help=f"Enforce the policy on a server again, from the next call on.\n\n{_OF_ENFORCEMENT}",
)
def enforce_server(
    name: Name, *, why: Why = None, credentials: CredentialsFile = None, json: AsJson = False
) -> None:
    from proxy.cli.control import servers

    run(credentials, lambda found: servers.enforce(found, name, why=why, json=json), json=json)


def list_servers(*, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """List the servers that you may use or administer, by name.

    A `?` stands for what is not known yet. Nothing secret is shown.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: servers [as server show].
    """
    from proxy.cli.control import servers

    run(credentials, lambda found: servers.list_them(found, json=json), json=json)


server.command(name="list")(list_servers)
