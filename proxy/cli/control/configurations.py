"""JSON files that say what to register or create, those of MCPJungle among them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from proxy.cli.control.endings import CommandError

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TOKEN: Final = "access_token"  # noqa: S105  the name of a member
_REFERENCE: Final = "access_token_ref"
_FAMILIAR: Final = {"allowed_servers": "allow_list", "username": "name"}
_WANTED: Final = (
    'Give access_token or access_token_ref; or write "access_token": null, and run northgate token '
    "issue NAME then."
)
_MOST_BYTES: Final = 1024**2


def server_of(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the file at *path* says of a server, with each `${VARIABLE}` in its place.

    Raises `CommandError`, as everything here does, before anything is sent.
    """
    return _expanded(object_of(path), environ, path)


def identity_of(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the file at *path* says of a client or user: as for servers, and with the token.

    A token written there goes before one in a variable, and that before one in a file.
    """
    document = _expanded(object_of(path), environ, path)
    reference = document.pop(_REFERENCE, {})
    if _TOKEN not in document or (document[_TOKEN] == "" and reference):
        document[_TOKEN] = _referred(reference, environ, path)
    elif document[_TOKEN] is None:
        del document[_TOKEN]
    return {_FAMILIAR.get(name, name): value for name, value in document.items()}


def first_line(path: Path) -> str:
    """Return the secret that is all of the file at *path*."""
    text = _content(path).strip()
    if not text or len(text.split()) != 1:
        message = f"{path} does not hold one secret alone."
        raise CommandError("bad-file", message, "Write it there, and nothing else.")
    return text


def _referred(reference: object, environ: Mapping[str, str], path: Path) -> str:
    if not isinstance(reference, dict):
        reference = {}
    variable, file = reference.get("env"), reference.get("file")
    if isinstance(variable, str) and variable:
        token = environ.get(variable, "").strip()
        if not token:
            message = f"The variable {variable}, which {path} names, is not set."
            raise CommandError("no-token", message, "Nothing was sent.")
        return token
    if isinstance(file, str) and file:
        return first_line(Path(file))
    raise CommandError("no-token", f"{path} gives no token.", _WANTED)


def object_of(path: Path) -> dict[str, Any]:
    """Return the JSON object that is all of the file at *path*."""
    try:
        document = json.loads(_content(path), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = f": {error}" if isinstance(error, ValueError) else ""
        message = f"{path} cannot be read as JSON{reason}."
        raise CommandError("bad-file", message, "Nothing was sent.") from None
    if not isinstance(document, dict):
        message = f"{path} holds no JSON object."
        raise CommandError("bad-file", message, 'Write {"name": ...}.')
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name is there twice")
    return document


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise CommandError("bad-file", f"{path} is over 1 MiB.")
        return content.decode()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise CommandError("no-file", message, "Nothing was sent.") from None
    except UnicodeDecodeError:
        raise CommandError("bad-file", f"{path} is no text in UTF-8.") from None


def _expanded(document: dict[str, Any], environ: Mapping[str, str], path: Path) -> dict[str, Any]:
    missing: dict[str, None] = {}

    def value_of(found: re.Match[str]) -> str:
        if found[1] not in environ:
            missing[found[1]] = None
        return environ.get(found[1], "")

    expanded: dict[str, Any] = _replaced(document, lambda text: _VARIABLE.sub(value_of, text))
    if missing:
        message = f"{path} names variables that are not set: {', '.join(missing)}."
        raise CommandError("unset-variable", message, "Set them; nothing was sent.")
    return expanded


def _replaced(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401  whatever JSON holds
    match value:
        case str():
            return change(value)
        case list():
            return [_replaced(one, change) for one in value]
        case dict():
            return {name: _replaced(one, change) for name, one in value.items()}
    return value
