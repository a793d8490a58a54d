"""Verbs that MCPJungle's users know, for what `northgate client` and `user` do."""
# ruff: noqa: PLC0415  What a command does is imported when it runs, so that help comes at once.

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.cli.control import identity_options as commands
from proxy.cli.control import server_commands
from proxy.cli.control.identity_options import (
    AccessToken,
    Allow,
    Description,
    Name,
    Overlap,
    words,
)
from proxy.cli.control.kinds import CLIENT, USER
from proxy.cli.control.offer_commands import LISTED, add_listing
from proxy.cli.control.options import AsJson, Conf, CredentialsFile, Yes


def _group(text: str) -> typer.Typer:
    return typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=text)


create = _group("Create a client or a user.")
list_ = _group("List servers, what they offer, clients or users.")
delete = _group("Delete a client or a user.")
update = _group("Change a server, or the access token of a client or user.")

_NameOrConf = Annotated[str | None, typer.Argument(metavar="NAME")]


def _terms(conf: Path | None, said: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return what makes the terms: of the file, or else *said*."""
    if conf is None:
        return lambda: said
    if any(one is not None for one in said.values()):
        raise typer.BadParameter("What --conf names says all of it; leave the rest out.")

    def read() -> dict[str, Any]:
        from proxy.cli.control.configurations import identity_of

        return identity_of(conf, os.environ)

    return read


@create.command(name="mcp-client")
def create_mcp_client(
    name: _NameOrConf = None,
    *,
    allow: Allow = None,
    description: Description = None,
    access_token: AccessToken = None,
    conf: Conf = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Do what `northgate client create` does, or with --conf what a file of MCPJungle says."""
    said = {
        "name": name,
        "allow_list": words(allow),
        "description": description,
        "access_token": access_token,
    }
    commands.create(CLIENT, _terms(conf, said), credentials, json=json)


@create.command(name="user")
def create_user(
    name: _NameOrConf = None,
    *,
    access_token: AccessToken = None,
    conf: Conf = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Do what `northgate user create --roles user` does, or what a file of MCPJungle says."""
    terms = _terms(conf, {"name": name, "access_token": access_token})
    commands.create(USER, lambda: {"roles": ["user"]} | terms(), credentials, json=json)


@update.command(name="mcp-client")
def update_mcp_client(
    name: Name,
    *,
    access_token: AccessToken = None,
    overlap: Overlap = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Do what `northgate client update --access-token` does."""
    terms = {"access_token": access_token}
    commands.update(CLIENT, name, terms, credentials, overlap=overlap, json=json)


@update.command(name="user")
def update_user(
    name: Name,
    *,
    access_token: AccessToken = None,
    overlap: Overlap = None,
    credentials: CredentialsFile = None,
    json: AsJson = False,
) -> None:
    """Do what `northgate user update --access-token` does."""
    terms = {"access_token": access_token}
    commands.update(USER, name, terms, credentials, overlap=overlap, json=json)


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


update.command(name="server")(server_commands.update)
list_.command(name="servers")(server_commands.list_servers)
for _kind in LISTED:
    add_listing(list_, _kind)
