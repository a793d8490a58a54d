"""The commands about grants: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli.control.options import AsJson, CredentialsFile, Why, run

access = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Grant access, end it, and see who has it."
)

_Actor = Annotated[
    str, typer.Argument(metavar="ACTOR", help="Such as client:ci, user:ann or team:ops.")
]
_Role = Annotated[str, typer.Argument(metavar="ROLE", help="Such as caller or viewer.")]
_Resource = Annotated[
    str,
    typer.Argument(
        metavar="RESOURCE",
        help="Such as server:github, tool:github__echo, prompt:github__review, "
        "document:github|file:///a, toolset:triage or matching:github__get_*.",
    ),
]


@access.command(name="grant")
def grant_access(
    actor: _Actor,
    role: _Role,
    resource: _Resource,
    *,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it ends: 30m, 2h, 7d, or 2027-01-31T18:00:00Z."),
    ] = None,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Let ACTOR have ROLE on RESOURCE, from the next call on.

    The same grant twice changes nothing; with another --until it then ends at that time.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: id, actor, role, resource, until (seconds since the epoch, or null), origin, version,
    added_at, added_by, why.
    """
    from proxy.cli.control.access import grant

    words = {"actor": actor, "role": role, "resource": resource, "until": until, "why": why}
    run(credentials, lambda found: grant(found, words, json=json), json=json)


@access.command(name="revoke")
def revoke_access(
    actor: _Actor,
    role: _Role,
    resource: _Resource,
    *,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """End what access grant gave, or an allow-list did, and leases of the same, at once.

    Exit code 0, or 1 if the gateway refuses, as for what is not granted or is written in the
    policy, or 2 if it cannot be asked.

    JSON: ended [actor, role, resource, until, origin].
    """
    from proxy.cli.control.access import revoke

    words = {"actor": actor, "role": role, "resource": resource, "why": why}
    run(credentials, lambda found: revoke(found, words, json=json), json=json)


@access.command(name="list")
def list_access(
    *,
    actor: Annotated[str | None, typer.Option(metavar="ACTOR", help="Of this actor alone.")] = None,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Of this role alone.")] = None,
    resource: Annotated[
        str | None,
        typer.Option(metavar="RESOURCE", help="On this alone; everywhere for roles on nothing."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="As it was then: 2027-01-31T18:00:00Z, a Unix second, or a version of the facts, "
            "as records name it.",
        ),
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """List what is granted, or was: to whom, by whom and why. What policy files state is not here.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: grants [as of access grant], version (of the facts).
    """
    from proxy.cli.control.access import list_them

    wanted = {"actor": actor, "role": role, "resource": resource, "as_of": as_of}
    run(credentials, lambda found: list_them(found, wanted, json=json), json=json)


@access.command(name="who-can")
def who_can_access(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as call or connect.")],
    resource: Annotated[
        str,
        typer.Argument(
            metavar="RESOURCE",
            help="Such as github__delete_repo, where the action tells the type; "
            "prompt:github__review, document:github|file:///a, server:github or gateway.",
        ),
    ],
    *,
    server: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The server, where RESOURCE is a name on it alone."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show why: rules by file and line, and who granted what, when."
        ),
    ] = False,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Tell who may do ACTION on RESOURCE now, of all identities, on what terms and until when.

    The gateway's own engine is asked about each of them, alone and on behalf of each user. What
    depends on a call is told as conditions: arguments, claims of the token, the caller's network.

    Exit code 0, even if nobody may, or 1 if there is no such thing or the gateway refuses, or 2 if
    it cannot be asked.

    JSON: action, resource, policy, version (of the facts), now, asked (how many),
    principals [principal, acts_for, access (always or sometimes), ways, until, rules,
    proofs, facts [predicate, args, origin, added_at, added_by, why]].
    """
    from proxy.cli.control.holders import who_can

    wanted = {"action": action, "resource": resource, "server": server}
    run(credentials, lambda found: who_can(found, wanted, explain=explain, json=json), json=json)
