"""`northgate client secret` and `client key`: what a client shows at the token endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from proxy.cli.control.api import Api, given, segment
from proxy.cli.control.configurations import object_of
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.rows import moment, print_table
from proxy.cli.control.tokens import seconds
from proxy.cli.policy import console

_ALWAYS: Final = "until it is deleted"


def add_secret(credentials: Credentials, client: str, *, ttl: str | None, json: bool) -> None:
    """Print a new secret, alone on stdout, so that a shell can take it from there."""
    wish = {} if ttl is None else {"ttl_seconds": seconds(ttl)}
    answer = Api.of(credentials).call("POST", _path(client, "secret"), document=wish)
    if json:
        console.print_json(answer)
        return
    console.out().print(answer["client_secret"])
    line = f"Secret {answer['secret_id']} of client:{client}, good {_until(answer)}."
    console.err().print(console.visible(line))


def add_key(
    credentials: Credentials, client: str, file: Path, *, ttl: str | None, json: bool
) -> None:
    """Let the client sign with the private key to the public one in *file*."""
    jwk = object_of(file)
    wish = {"jwk": jwk} | given({"ttl_seconds": None if ttl is None else seconds(ttl)})
    answer = Api.of(credentials).call("POST", _path(client, "key"), document=wish)
    if json:
        console.print_json(answer)
        return
    line = f"Key {answer['key_id']} of client:{client} is good {_until(answer)}."
    console.out().print(console.visible(line))


def list_them(credentials: Credentials, client: str, kind: str, *, json: bool) -> None:
    """Print the secrets or keys of a client, never a secret's text."""
    answer = Api.of(credentials).call("GET", _path(client, kind))
    if json:
        console.print_json(answer)
        return
    print_table(
        ("ID", "CREATED", "BY", "ENDS"),
        (
            [one[f"{kind}_id"], moment(one["created_at"]), one["created_by"], _end(one)]
            for one in answer[f"{kind}s"]
        ),
    )


def delete(credentials: Credentials, client: str, kind: str, which: str, *, json: bool) -> None:
    """Delete one, at once."""
    answer = Api.of(credentials).call("DELETE", f"{_path(client, kind)}/{segment(which)}")
    if json:
        console.print_json(answer)
        return
    line = f"There is no {kind} {answer[f'{kind}_id']} of client:{client} any more."
    console.out().print(console.visible(line))
    console.out().print("Tokens that it brought go on: northgate token revoke ends them.")


def _path(client: str, kind: str) -> str:
    return f"/api/v0/clients/{segment(client)}/{kind}s"


def _end(one: Mapping[str, Any]) -> str:
    ends = one["expires_at"]
    return "" if ends is None else moment(ends)


def _until(one: Mapping[str, Any]) -> str:
    end = _end(one)
    return f"until {end}" if end else _ALWAYS
