"""The commands that talk to a running gateway: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.control.options import AsJson, CredentialsFile, Why, Yes

token = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Issue and revoke tokens.")
definition = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="See and approve what servers offer."
)
key = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Rotate and revoke signing keys."
)
admin = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Administer this machine.")


def _run(work: Callable[[], None], *, json: bool) -> None:
    from proxy.cli.control.endings import ended

    raise typer.Exit(ended(work, json=json))


def init_server(
    *,
    url: Annotated[
        str,
        typer.Option("--url", "--registry", metavar="URL", help="The gateway's control listener."),
    ] = "http://localhost:8081",
    secret: Annotated[
        str | None,
        typer.Option("--secret", metavar="TEXT", help="The bootstrap secret; asked for if absent."),
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Become the administrator of a gateway, with the secret that it printed.

    The secret may also come on standard input. URL and token are kept in a file that only you can
    read, for the commands that follow.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: url, credentials (the file), token_id, subject, expires_at.
    """
    from proxy.cli.control import beginning
    from proxy.cli.control import credentials as files

    path = files.place(credentials, os.environ)
    _run(lambda: beginning.init_server(url, secret, path, json=json), json=json)


@token.command(name="issue")
def issue_token(
    name: Annotated[str, typer.Argument(metavar="CLIENT", help="Whom the token is for.")],
    *,
    user: Annotated[bool, typer.Option("--user", help="CLIENT is the name of a user.")] = False,
    ttl: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long it lives: 90, 30m, 12h or 7d; usually 12h."),
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The one place where it is good; usually all servers."),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="WORD", help="May be repeated.")
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Issue a token, and write it alone on stdout: TOKEN=$(northgate token issue ci).

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: token, token_id, subject, audience, issued_at, expires_at (seconds since the epoch).
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import tokens

    path = files.place(credentials, os.environ)
    _run(
        lambda: tokens.issue(
            files.load(path),
            name,
            is_user=user,
            ttl=ttl,
            audience=audience,
            scope=scope or [],
            json=json,
        ),
        json=json,
    )


@token.command(name="list")
def list_tokens(
    *,
    subject: Annotated[
        str | None, typer.Option(metavar="WHOSE", help="Such as client:ci or user:alice.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, the newest first.")] = 50,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """List tokens that were issued; never their text.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: tokens [token_id, plane, subject, audience, issued_at, expires_at, client_id, issued_by,
    revoked_at, revoked_by], next (the last id, if there are more; else null).
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import tokens

    path = files.place(credentials, os.environ)
    _run(
        lambda: tokens.list_them(files.load(path), subject=subject, limit=limit, json=json),
        json=json,
    )


@token.command(name="revoke")
def revoke_token(
    token_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="As token list shows it.")
    ] = None,
    *,
    subject: Annotated[
        str | None,
        typer.Option(metavar="WHOSE", help="All of this one, such as client:ci or user:alice."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="All issued before then: 2027-01-31T18:00:00Z."),
    ] = None,
    yes: Yes = False,
    why: Why = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Revoke a token, or with --subject, --before or both all such; they are refused from then on.

    Exit code 0, also if it was revoked before, or 1 if you or the gateway say no, or 2 if it cannot
    be asked.

    JSON: as one token of `token list`; with --subject or --before, revoked (how many).
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import tokens

    some = {"subject": subject, "issued_before": before}
    if (token_id is None) is not any(one is not None for one in some.values()):
        raise typer.BadParameter("Name one token, or say --subject or --before.")
    path = files.place(credentials, os.environ)
    if token_id is not None:
        if why is not None:
            raise typer.BadParameter("--why goes with --subject and --before alone.")
        _run(lambda: tokens.revoke(files.load(path), token_id, json=json), json=json)
    _run(lambda: tokens.revoke_some(files.load(path), some, why=why, yes=yes, json=json), json=json)


@definition.command(name="list")
def list_definitions(
    *,
    server: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this server alone.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="In this state: new, approved, changed or gone."),
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """List what servers offer, and whether it is approved.

    A tool is neither listed nor called unless it is. What is changed differs from what was approved
    or seen before; what is gone is not offered any more.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: definitions [server, kind, name, state, hash, description, definition (all that the hash
    is of)].
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import definitions

    path = files.place(credentials, os.environ)
    _run(
        lambda: definitions.list_them(files.load(path), server=server, state=state, json=json),
        json=json,
    )


@definition.command(name="approve")
def approve_definition(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="Who offers it.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="As definition list shows it.")],
    *,
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="One of tool, prompt, resource and template.")
    ] = "tool",
    hash_: Annotated[
        str | None,
        typer.Option("--hash", metavar="HASH", help="What was reviewed; then nobody is asked."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Show it, and do not ask.")] = False,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Approve what a server offers, as it is now: show it, ask, and let it be used.

    What the server changes afterwards, even while you read, is not approved.

    Exit code 0, also if it was approved before, or 1 if you or the gateway say no, or 2 if it
    cannot be asked.

    JSON: as one definition of `definition list`.
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import definitions

    path = files.place(credentials, os.environ)
    reviewed = {"server": server, "kind": kind, "name": name}
    _run(
        lambda: definitions.approve(files.load(path), reviewed, hash_=hash_, yes=yes, json=json),
        json=json,
    )


@key.command(name="list")
def list_keys(
    *,
    plane: Annotated[
        str | None, typer.Option(metavar="PLANE", help="Of this plane alone: data or control.")
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """List the keys that sign tokens, and in what state they are.

    A prepared key is published and signs later; a retired one is trusted until the last token that
    it signed has ended.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: keys [plane, key_id, algorithm, state, made_at, since, ends_at].
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import keys

    path = files.place(credentials, os.environ)
    _run(lambda: keys.list_them(files.load(path), plane=plane, json=json), json=json)


@key.command(name="rotate")
def rotate_key(
    *,
    plane: Annotated[
        str, typer.Option(metavar="PLANE", help="Whose tokens: data (agents) or control.")
    ] = "data",
    algorithm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="EdDSA, ES256 or RS256; else the kind that signs now."),
    ] = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Sign with the prepared key from now on, or with a new one if none of that kind waits.

    Tokens that were issued stay good until they end.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: as `key list`, of that plane.
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import keys

    path = files.place(credentials, os.environ)
    _run(
        lambda: keys.rotate(files.load(path), plane=plane, algorithm=algorithm, json=json),
        json=json,
    )


@key.command(name="revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As key list shows it.")],
    *,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Trust a key no more, for when it leaked: every token that it signed is refused at once.

    Another key takes the place of an active one. Whoever loses his own token begins again with
    northgate admin recover.

    Exit code 0, also if it was revoked before, or 1 if you or the gateway say no, or 2 if it cannot
    be asked.

    JSON: as `key list`, of that plane.
    """
    from proxy.cli.control import credentials as files
    from proxy.cli.control import keys

    path = files.place(credentials, os.environ)
    _run(lambda: keys.revoke(files.load(path), key_id, why=why, yes=yes, json=json), json=json)


@admin.command()
def rekey(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings; northgate.toml, if it is here."
        ),
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The old master key; usually as the gateway finds it."),
    ] = None,
    new: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The new master key; one is made if there is none."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Keep all that is secret under a new master key, on the gateway's own machine.

    Stop every gateway on the same database first: one that runs goes on with the keys it knows,
    and opens no others. The new master key is NORTHGATE_NEW_MASTER_KEY, or else put into
    master.key in the data directory; gateways on other machines must be given it. No token and no
    secret of a client ends by it; sessions begin again. Whoever is interrupted runs it again.

    Exit code 0, or 2 if nothing came of it.

    JSON: old and new (the ids of the master keys), secrets (the names of those that were changed).
    """
    from proxy.cli.control import offline

    _run(lambda: offline.rekey(config, old, new, os.environ, json=json), json=json)


@admin.command()
def recover(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings; northgate.toml, if it is here."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a new bootstrap secret, on the gateway's own machine, for init-server.

    It needs the database and the master key, as the gateway has them. The secret is written alone
    on stdout. One that waited is no good any more.

    Exit code 0, or 2 if nothing came of it.

    JSON: secret.
    """
    from proxy.cli.control import offline

    _run(lambda: offline.recover(config, os.environ, json=json), json=json)
