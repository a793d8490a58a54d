"""What the commands about clients, users and teams take alike, and what they have done."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.cli.control.kinds import Kind
from proxy.cli.control.options import ENDINGS, CredentialsFile, run

if TYPE_CHECKING:
    from proxy.cli.control.credentials import Credentials

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

AccessToken = Annotated[
    str | None,
    typer.Option(
        "--access-token",
        metavar="TEXT",
        help="A token of your own, of 8 characters or more, for who comes from MCPJungle; - reads "
        "it from standard input, unseen by others.",
    ),
]
Overlap = Annotated[
    str | None,
    typer.Option(
        "--overlap", metavar="TIME", help="How long the old access token stays good: 30m, 2h."
    ),
]
NoAccessToken = Annotated[
    bool, typer.Option("--no-access-token", help="End the access token; none takes its place.")
]

_DOCUMENT = (
    "JSON: name, description, is_suspended, created_at (seconds since the epoch), created_by"
)
_LISTS = {"client": ", allow_list, teams, warnings", "user": ", roles, teams", "team": ""}


def words(text: str | None) -> list[str] | None:
    """Return the words of a list with commas; None stands for no list."""
    return None if text is None else [one.strip() for one in text.split(",") if one.strip()]


def help_of(kind: Kind, text: str) -> str:
    return f"{text}\n\n{ENDINGS}\n\n{_DOCUMENT}{_LISTS[kind.noun]}."


def create(
    kind: Kind,
    terms: Callable[[], dict[str, Any]],
    credentials: CredentialsFile,
    *,
    json: bool,
) -> None:
    from proxy.cli.control import identities

    run(credentials, lambda found: identities.create(found, kind, terms(), json=json), json=json)


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


def update(  # noqa: PLR0913  what may be changed, and of whom
    kind: Kind,
    name: str,
    terms: dict[str, Any],
    credentials: CredentialsFile,
    *,
    roles: list[str] | None = None,
    overlap: str | None = None,
    no_access_token: bool = False,
    why: str | None = None,
    json: bool,
) -> None:
    from proxy.cli.control import identities
    from proxy.cli.control.tokens import seconds

    def work(found: Credentials) -> None:
        kept = {} if overlap is None else {"access_token_overlap_seconds": seconds(overlap)}
        identities.update(
            found,
            kind,
            name,
            terms | kept,
            roles=roles,
            no_access_token=no_access_token,
            why=why,
            json=json,
        )

    run(credentials, work, json=json)


def turn(
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
