"""Verbs that MCPJungle's users know, for what `northgate client` and `user` do."""

from __future__ import annotations

import typer

from proxy.cli.control import identity_commands as commands
from proxy.cli.control.identity_commands import Allow, Description, Name, words
from proxy.cli.control.kinds import CLIENT, USER
from proxy.cli.control.options import AsJson, CredentialsFile, Yes

create = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Create a client or a user.")
list_ = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List clients or users.")
delete = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Delete a client or a user.")


@create.command(name="mcp-client")
def create_mcp_client(
    name: Name,
    *,
    allow: Allow = None,
    description: Description = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Do what `northgate client create` does."""
    terms = {"allow_list": words(allow), "description": description}
    commands.create(CLIENT, name, terms, credentials, json=json)


@create.command(name="user")
def create_user(name: Name, *, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Do what `northgate user create --roles user` does."""
    commands.create(USER, name, {"roles": ["user"]}, credentials, json=json)


@list_.command(name="mcp-clients")
def list_mcp_clients(*, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Do what `northgate client list` does."""
    commands.list_them(CLIENT, credentials, json=json)


@list_.command(name="users")
def list_users(*, credentials: CredentialsFile = None, json: AsJson = False) -> None:
    """Do what `northgate user list` does."""
    commands.list_them(USER, credentials, json=json)


@delete.command(name="mcp-client")
def delete_mcp_client(
    name: Name, *, yes: Yes = False, credentials: CredentialsFile = None, json: AsJson = False
) -> None:
    """Do what `northgate client delete` does."""
    commands.delete(CLIENT, name, credentials, yes=yes, json=json)


@delete.command(name="user")
def delete_user(
    name: Name, *, yes: Yes = False, credentials: CredentialsFile = None, json: AsJson = False
) -> None:
    """Do what `northgate user delete` does."""
    commands.delete(USER, name, credentials, yes=yes, json=json)
