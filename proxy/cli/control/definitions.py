"""`northgate definition ...`: what servers offer, listed and approved."""

from __future__ import annotations

import json as text
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api
from proxy.cli.control.asking import agreed
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.rows import row
from proxy.cli.policy import console

_PATH: Final = "/api/v0/definitions"
_LARGEST_PAGE: Final = "500"
_MOST_SHOWN: Final = 80
_OTHERWISE: Final = "Say yes, or use --yes or --hash where nobody can be asked."
_WAITING: Final = frozenset({"new", "changed"})


def list_them(
    credentials: Credentials, *, server: str | None, state: str | None, json: bool
) -> None:
    """Print every definition, by server, kind and name."""
    found = _found(Api.of(credentials), {"server": server, "state": state})
    if json:
        console.print_json({"definitions": found})
        return
    head = ("SERVER", "KIND", "NAME", "STATE", "HASH", "DESCRIPTION")
    console.print_columns(console.out(), [row(*head, style="bold"), *map(_line, found)])


def approve(
    credentials: Credentials,
    reviewed: Mapping[str, str],
    *,
    hash_: str | None,
    yes: bool,
    json: bool,
) -> None:
    """Approve the definition with the server, kind and name of *reviewed*.

    Without *hash_* it is shown first, and without *yes* somebody has to agree to it.
    """
    api = Api.of(credentials)
    if hash_ is None:
        shown = _shown(api, reviewed)
        if shown["state"] in _WAITING and not yes:
            agreed("Approve it?", "not-approved", "Nothing was approved.", _OTHERWISE)
        hash_ = shown["hash"]
    answer = api.call("POST", f"{_PATH}/approve", document={**reviewed, "hash": hash_})
    if json:
        console.print_json(answer)
        return
    about = f"The {answer['kind']} {answer['name']} of {answer['server']} is approved"
    console.out().print(console.visible(f"{about}, as of {answer['hash']}."))


def _found(api: Api, wanted: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return what is *wanted*, of all pages."""
    parameters = {name: _sendable(value) for name, value in wanted.items() if value is not None}
    parameters["limit"] = _LARGEST_PAGE
    found: list[dict[str, Any]] = []
    while True:
        page = api.call("GET", _PATH, parameters=parameters)
        found += page["definitions"]
        if page["next"] is None:
            return found
        parameters["after"] = page["next"]


def _shown(api: Api, reviewed: Mapping[str, str]) -> dict[str, Any]:
    """Return what would be approved, having shown all of it on stderr."""
    found = _found(api, reviewed)
    if not found:
        message = f"{reviewed['server']} never offered a {reviewed['kind']} {reviewed['name']}."
        hint = "northgate definition list shows what there is."
        raise CommandError("unknown-definition", message, hint, exit_code=Code.NO)
    shown = found[0]
    about = f"The {shown['kind']} {shown['name']} of {shown['server']} is {shown['state']}:"
    stream = console.err()
    # ASCII alone: what a model would read and a person would not must not hide here.
    for line in (about, *text.dumps(shown["definition"], indent=2).splitlines(), shown["hash"]):
        stream.print(console.visible(line))
    return shown


def _sendable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"This is no text: {value!a}"
        raise CommandError("bad-name", message, "Write it in UTF-8.") from None
    return value


def _line(one: dict[str, Any]) -> list[Text]:
    description = one["description"]
    words = " ".join(description.split()) if isinstance(description, str) else ""
    cut = words if len(words) <= _MOST_SHOWN else f"{words[: _MOST_SHOWN - 3]}..."
    return row(one["server"], one["kind"], one["name"], one["state"], one["hash"], cut)
