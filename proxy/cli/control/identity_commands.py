"""The commands about clients, users and teams: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.cli.control.identity_options import (
    AccessToken,
    Allow,
    Description,
    Name,
    NoAccessToken,
    Overlap,
    Roles,
    Teams,
    create,
    delete,
    help_of,
    list_them,
    update,
    words,
)
from proxy.cli.control.identity_options import turn as turn_one
from proxy.cli.control.kinds import CLIENT, TEAM, USER, Kind
from proxy.cli.control.options import ENDINGS, AsJson, CredentialsFile, Why, Yes, run
from proxy.cli.control.presented_commands import key, secret


def _group(text: str) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=text)


client = _group("Keep the identities of machines, and what each may use.")
user = _group("Keep the identities of people, and their roles.")
team = _group("Keep teams, whose members may do what the team may.")

client.add_typer(secret, name="secret")
client.add_typer(key, name="key")


@client.command(name="create", help=help_of(CLIENT, "Make a client; it has no token yet."))
def create_client(  # noqa: PLR0913  one for each option
    name: Name,
    *,
    allow: Allow = None,
    description: Description = None,
    teams: Teams = None,
    access_token: AccessToken = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms: dict[str, Any] = {
        "allow_list": words(allow),
        "description": description,
        "teams": words(teams),
    }
    terms["access_token"] = access_token
    create(CLIENT, lambda: terms | {"name": name, "why": why}, credentials, json=json)


@client.command(name="update", help=help_of(CLIENT, "Change what is said of a client, at once."))
def update_client(  # noqa: PLR0913  one for each option
    name: Name,
    *,
    allow: Allow = None,
    description: Description = None,
    teams: Teams = None,
    access_token: AccessToken = None,
    overlap: Overlap = None,
    no_access_token: NoAccessToken = False,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms: dict[str, Any] = {
        "allow_list": words(allow),
        "description": description,
        "teams": words(teams),
    }
    terms["access_token"] = access_token
    update(
        CLIENT,
        name,
        terms,
        credentials,
        overlap=overlap,
        no_access_token=no_access_token,
        why=why,
        json=json,
    )


@client.command(name="suspend")
def suspend_client(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="Suspend every client.")] = False,
    yes: Yes = False,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Let a client do nothing from now on, or with --all every client but you.

    It keeps what it has for when it is resumed.

    Exit code 0, also if it was suspended before, or 1 if you or the gateway say no, or 2 if it
    cannot be asked.

    JSON: as client show; with --all, suspended (names).
    """
    from proxy.cli.control import identities

    if (name is None) is not everybody:
        raise typer.BadParameter("Name one client, or say --all.")
    if name is not None:
        turn_one(CLIENT, name, "suspend", credentials, why=why, json=json)
    run(
        credentials,
        lambda found: identities.suspend_all(found, why=why, yes=yes, json=json),
        json=json,
    )


@client.command(name="resume")
def resume_client(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="Resume every client.")] = False,
    yes: Yes = False,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Let a client act again with what it had, or with --all every client.

    Exit code 0, also if it was not suspended, or 1 if you or the gateway say no, or 2 if it cannot
    be asked.

    JSON: as client show; with --all, resumed (names).
    """
    from proxy.cli.control import identities

    if (name is None) is not everybody:
        raise typer.BadParameter("Name one client, or say --all.")
    if name is not None:
        turn_one(CLIENT, name, "resume", credentials, why=why, json=json)
    run(
        credentials,
        lambda found: identities.resume_all(found, why=why, yes=yes, json=json),
        json=json,
    )


@user.command(name="create", help=help_of(USER, "Make a user; there is no token yet."))
def create_user(  # noqa: PLR0913  one for each option
    name: Name,
    *,
    roles: Roles = None,
    description: Description = None,
    teams: Teams = None,
    access_token: AccessToken = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms: dict[str, Any] = {
        "roles": words(roles),
        "description": description,
        "teams": words(teams),
    }
    terms["access_token"] = access_token
    create(USER, lambda: terms | {"name": name, "why": why}, credentials, json=json)


@user.command(name="update", help=help_of(USER, "Change what is said of a user, at once."))
def update_user(  # noqa: PLR0913  one for each option
    name: Name,
    *,
    roles: Roles = None,
    description: Description = None,
    teams: Teams = None,
    access_token: AccessToken = None,
    overlap: Overlap = None,
    no_access_token: NoAccessToken = False,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms: dict[str, Any] = {"description": description, "teams": words(teams)}
    terms["access_token"] = access_token
    update(
        USER,
        name,
        terms,
        credentials,
        roles=words(roles),
        overlap=overlap,
        no_access_token=no_access_token,
        why=why,
        json=json,
    )


@team.command(name="create", help=help_of(TEAM, "Make a team; nobody is in it yet."))
def create_team(
    name: Name,
    *,
    description: Description = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms = {"name": name, "description": description, "why": why}
    create(TEAM, lambda: terms, credentials, json=json)


@team.command(name="update", help=help_of(TEAM, "Change what is said of a team."))
def update_team(
    name: Name,
    *,
    description: Description = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    update(TEAM, name, {"description": description}, credentials, why=why, json=json)


def _add_reading(app: typer.Typer, kind: Kind) -> None:
    whole = help_of(kind, f"Show one {kind.noun}.")

    @app.command(name="show", help=whole)
    def show(name: Name, *, credentials: CredentialsFile = None, json: AsJson = False) -> None:
        from proxy.cli.control import identities

        run(credentials, lambda found: identities.show(found, kind, name, json=json), json=json)

    @app.command(
        name="list",
        help=f"List the {kind.noun}s, by name.\n\n{ENDINGS}\n\n"
        f"JSON: {kind.noun}s [as {kind.noun} show].",
    )
    def list_some(
        *,
        contains: Annotated[
            str | None, typer.Option(metavar="TEXT", help="Those with it in their names alone.")
        ] = None,
        suspended: Annotated[
            bool | None, typer.Option("--suspended/--active", help="Those alone who are.")
        ] = None,
        credentials: CredentialsFile = None,
        json: AsJson = False,
    ) -> None:
        list_them(kind, credentials, contains=contains, suspended=suspended, json=json)


def _add_turning(app: typer.Typer, kind: Kind, what: str, text: str) -> None:
    @app.command(name=what, help=help_of(kind, text))
    def turn(
        name: Name, *, why: Why = None, credentials: CredentialsFile = None, json: AsJson = False
    ) -> None:
        turn_one(kind, name, what, credentials, why=why, json=json)


def _add_deleting(app: typer.Typer, kind: Kind) -> None:
    text = f"Delete a {kind.noun}, with its grants and tokens, for ever."

    @app.command(name="delete", help=f"{text}\n\n{ENDINGS}\n\nJSON: deleted (the name).")
    def delete_one(
        name: Name,
        *,
        yes: Yes = False,
        why: Why = None,
        credentials: CredentialsFile = None,
        json: AsJson = False,
    ) -> None:
        delete(kind, name, credentials, why=why, yes=yes, json=json)


for _app, _kind in ((client, CLIENT), (user, USER), (team, TEAM)):
    _add_reading(_app, _kind)
    if _kind is not CLIENT:
        _add_turning(_app, _kind, "suspend", f"Let a {_kind.noun} do nothing from now on.")
        _add_turning(_app, _kind, "resume", f"Let a {_kind.noun} act again, with what it had.")
    _add_deleting(_app, _kind)
