"""The commands about what clients show at the token endpoint: what each takes and promises."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.control.options import ENDINGS, AsJson, CredentialsFile, run

secret = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep the secrets with which a client gets tokens.",
)
key = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keep the public keys whose signatures bring a client tokens.",
)

_Client = Annotated[str, typer.Argument(metavar="CLIENT")]
_Which = Annotated[str, typer.Argument(metavar="ID", help="As list shows it.")]
_Ttl = Annotated[
    str | None, typer.Option(metavar="TIME", help="How long it is good: 30m, 12h or 90d.")
]


@secret.command(name="add")
def add_secret(
    client: _Client, *, ttl: _Ttl = None, credentials: CredentialsFile = None, json: AsJson = False
) -> None:
    """Make a secret, and write it alone on stdout; it is never shown again.

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: client_id, client_secret, secret_id, created_at, created_by, expires_at.
    """
    from proxy.cli.control import presented

    run(
        credentials,
        lambda found: presented.add_secret(found, client, ttl=ttl, json=json),
        json=json,
    )


@key.command(name="add")
def add_key(
    client: _Client,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The public key, as a JSON web key (RFC 7517).")
    ],
    *,
    ttl: _Ttl = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Let a client get tokens with what it signs itself (private_key_jwt).

    Exit code 0, or 1 if the gateway refuses, or 2 if it cannot be asked.

    JSON: key_id, jwk, created_at, created_by, expires_at (or null).
    """
    from proxy.cli.control import presented

    run(
        credentials,
        lambda found: presented.add_key(found, client, file, ttl=ttl, json=json),
        json=json,
    )


def _add_rest(app: typer.Typer, kind: str, never: str) -> None:
    members = f"{kind}_id, created_at, created_by, expires_at"

    @app.command(
        name="list",
        help=f"List the {kind}s of a client{never}.\n\n{ENDINGS}\n\nJSON: {kind}s [{members}].",
    )
    def list_some(
        client: _Client, *, credentials: CredentialsFile = None, json: AsJson = False
    ) -> None:
        from proxy.cli.control import presented

        run(
            credentials,
            lambda found: presented.list_them(found, client, kind, json=json),
            json=json,
        )

    @app.command(
        name="delete",
        help=f"Delete a {kind} of a client: it brings no token any more.\n\n{ENDINGS}\n\n"
        f"JSON: {members}.",
    )
    def delete_one(
        client: _Client,
        which: _Which,
        *,
        credentials: CredentialsFile = None,
        json: AsJson = False,
    ) -> None:
        from proxy.cli.control import presented

        run(
            credentials,
            lambda found: presented.delete(found, client, kind, which, json=json),
            json=json,
        )


_add_rest(secret, "secret", "; never their text")
_add_rest(key, "key", "")
