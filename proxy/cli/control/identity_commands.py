"""The commands about clients, users and teams: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.cli.control.kinds import CLIENT, TEAM, USER, Kind
from proxy.cli.control.options import ENDINGS, AsJson, CredentialsFile, Why, Yes, run


def _group(text: str) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=text)


client = _group("Keep the identities of machines, and what each may use.")
user = _group("Keep the identities of people, and their roles.")
team = _group("Keep teams, whose members may do what the team may.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
Description = Annotated[str | None, typer.Option("--description", metavar="TEXT")]
Allow = Annotated[
    str | None,
    typer.Option(
        "--allow",
        metavar="LIST",
        help="All that it may use, with commas: servers, SERVER__NAME of a tool or prompt, "
        "toolset:NAME, patterns such as github__get_*; * is every server; empty is nothing.",
    ),
]
Teams = Annotated[
    str | None, typer.Option("--teams", metavar="LIST", help="All its teams, with commas.")
]
Roles = Annotated[
    str | None,
    typer.Option("--roles", metavar="LIST", help="All roles it has everywhere, with commas."),
]

_DOCUMENT = (
    "JSON: name, description, is_suspended, created_at (seconds since the epoch), created_by"
)
_LISTS = {"client": ", allow_list, teams, warnings", "user": ", roles, teams", "team": ""}


def words(text: str | None) -> list[str] | None:
    """Return the words of a list with commas; None stands for no list."""
    return None if text is None else [one.strip() for one in text.split(",") if one.strip()]


def _help(kind: Kind, text: str) -> str:
    return f"{text}\n\n{ENDINGS}\n\n{_DOCUMENT}{_LISTS[kind.noun]}."


def create(
    kind: Kind, name: str, terms: dict[str, Any], credentials: CredentialsFile, *, json: bool
) -> None:
    from proxy.cli.control import identities

    run(
        credentials,
        lambda found: identities.create(found, kind, name, terms, json=json),
        json=json,
    )


def delete(
    kind: Kind,
    name: str,
    credentials: CredentialsFile,
    *,
    why: str | None = None,
    yes: bool,
    json: bool,
) -> None:
    from proxy.cli.control import identities

    run(
        credentials,
        lambda found: identities.delete(found, kind, name, why=why, yes=yes, json=json),
        json=json,
    )


def list_them(
    kind: Kind,
    credentials: CredentialsFile,
    *,
    contains: str | None = None,
    suspended: bool | None = None,
    json: bool,
) -> None:
    from proxy.cli.control import identities

    run(
        credentials,
        lambda found: identities.list_them(
            found, kind, contains=contains, suspended=suspended, json=json
        ),
        json=json,
    )


def _update(
    kind: Kind,
    name: str,
    terms: dict[str, Any],
    credentials: CredentialsFile,
    *,
    roles: list[str] | None = None,
    why: str | None,
    json: bool,
) -> None:
    from proxy.cli.control import identities

    run(
        credentials,
        lambda found: identities.update(found, kind, name, terms, roles=roles, why=why, json=json),
        json=json,
    )


def _turn(
    kind: Kind,
    name: str,
    what: str,
    credentials: CredentialsFile,
    *,
    why: str | None,
    json: bool,
) -> None:
    from proxy.cli.control import identities

    run(
        credentials,
        lambda found: identities.turn(found, kind, name, what, why=why, json=json),
        json=json,
    )


@client.command(name="create", help=_help(CLIENT, "Make a client; it has no token yet."))
def create_client(
    name: Name,
    *,
    allow: Allow = None,
    description: Description = None,
    teams: Teams = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms = {"allow_list": words(allow), "description": description, "teams": words(teams)}
    create(CLIENT, name, terms | {"why": why}, credentials, json=json)


@client.command(name="update", help=_help(CLIENT, "Change what is said of a client, at once."))
def update_client(
    name: Name,
    *,
    allow: Allow = None,
    description: Description = None,
    teams: Teams = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms = {"allow_list": words(allow), "description": description, "teams": words(teams)}
    _update(CLIENT, name, terms, credentials, why=why, json=json)


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
        _turn(CLIENT, name, "suspend", credentials, why=why, json=json)
    run(
        credentials,
        lambda found: identities.suspend_all(found, why=why, yes=yes, json=json),
        json=json,
    )


@user.command(name="create", help=_help(USER, "Make a user; there is no token yet."))
def create_user(
    name: Name,
    *,
    roles: Roles = None,
    description: Description = None,
    teams: Teams = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms = {"roles": words(roles), "description": description, "teams": words(teams)}
    create(USER, name, terms | {"why": why}, credentials, json=json)


@user.command(name="update", help=_help(USER, "Change what is said of a user, at once."))
def update_user(
    name: Name,
    *,
    roles: Roles = None,
    description: Description = None,
    teams: Teams = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    terms = {"description": description, "teams": words(teams)}
    _update(USER, name, terms, credentials, roles=words(roles), why=why, json=json)


@team.command(name="create", help=_help(TEAM, "Make a team; nobody is in it yet."))
def create_team(
    name: Name,
    *,
    description: Description = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    create(TEAM, name, {"description": description, "why": why}, credentials, json=json)


@team.command(name="update", help=_help(TEAM, "Change what is said of a team."))
def update_team(
    name: Name,
    *,
    description: Description = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    _update(TEAM, name, {"description": description}, credentials, why=why, json=json)


def _add_reading(app: typer.Typer, kind: Kind) -> None:
    whole = _help(kind, f"Show one {kind.noun}.")

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
    @app.command(name=what, help=_help(kind, text))
    def turn(
        name: Name, *, why: Why = None, credentials: CredentialsFile = None, json: AsJson = False
    ) -> None:
        _turn(kind, name, what, credentials, why=why, json=json)


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
