"""`northgate invoke`, `get prompt` and `get resource --read`: asking a server by hand."""

from __future__ import annotations

import json as text
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer

from proxy.cli.control.api import Api
from proxy.cli.control.configurations import object_of
from proxy.cli.control.contents import (
    pieces_of,
    pieces_read,
    print_json_text,
    says_the_same,
    tell,
)
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.rows import print_text
from proxy.cli.control.waiting import waiting
from proxy.cli.policy import console

_FILE: Final = "@"
_STDIN: Final = "-"
_FORM: Final = "Write a JSON object, @FILE, or - for standard input."


def invoke(credentials: Credentials, name: str, given: str, directory: Path, *, json: bool) -> None:
    """Call a tool and print what it gives. Raises `CommandError` if it reports an error."""
    document = {"name": name, "arguments": arguments_of(given)}
    answer = _asked(credentials, "/api/v0/tools/invoke", document, name)
    is_error = answer.get("isError") is True
    if json:
        console.print_json(answer)
        raise typer.Exit(Code.NO if is_error else Code.GOOD)
    pieces = pieces_of(answer.get("content", []))
    tell(pieces, directory, name)
    structured = answer.get("structuredContent")
    if structured is not None and not says_the_same(pieces, structured):
        print_json_text(structured)
    if is_error:
        message, hint = "The tool reports an error.", "What it says of that is on standard output."
        raise CommandError("tool-failed", message, hint, exit_code=Code.NO)


def render(
    credentials: Credentials,
    name: str,
    arguments: Mapping[str, str],
    directory: Path,
    *,
    json: bool,
) -> None:
    """Print the messages of a prompt."""
    document = {"name": name, "arguments": dict(arguments)}
    answer = _asked(credentials, "/api/v0/prompts/render", document, name)
    if json:
        console.print_json(answer)
        return
    if answer.get("description"):
        print_text(f"{answer['description']}\n\n")
    for message in answer["messages"]:
        print_text(f"{message['role']}:")
        content = message["content"]
        blocks = content if isinstance(content, list) else [content]
        tell(pieces_of(blocks), directory, name)


def read(credentials: Credentials, uri: str, directory: Path, *, json: bool) -> None:
    """Print what a resource holds, and save what of it is no text."""
    answer = _asked(credentials, "/api/v0/resources/read", {"uri": uri}, uri)
    if json:
        console.print_json(answer)
        return
    name = uri.rstrip("/").rpartition("/")[2].partition(".")[0]
    tell(pieces_read(answer["contents"]), directory, name)


def arguments_of(given: str) -> dict[str, Any]:
    """Return the arguments that are *given* as JSON, in a file, or on stdin."""
    if given.startswith(_FILE):
        return object_of(Path(given.removeprefix(_FILE)))
    try:
        found = text.loads(sys.stdin.read() if given == _STDIN else given)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CommandError("bad-input", "The arguments are no JSON object.", _FORM)
    return found


def _asked(
    credentials: Credentials, path: str, document: Mapping[str, Any], what: str
) -> dict[str, Any]:
    with waiting(f"Waiting for {what} ..."):
        return Api.of(credentials).call("POST", path, document=document, patient=True)
