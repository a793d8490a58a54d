"""`northgate export` and `import`: what a gateway was told, as files of JSON without a secret."""

from __future__ import annotations

import json as text
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from proxy.cli.control.api import Api
from proxy.cli.control.configurations import identity_of, object_of, server_of
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.rows import moment
from proxy.cli.control.waiting import waiting
from proxy.cli.policy import console

GRANTS: Final = "grants.json"
SERVERS: Final = "servers"
CLIENTS: Final = "clients"

_UNFIT: Final = re.compile(r"[^A-Z0-9_]")
_KEPT_OF_SERVERS: Final = ("name", "transport", "url", "description", "network", "session_mode")
_KEPT_OF_CLIENTS: Final = ("name", "description", "allow_list", "teams")
_BY_ITSELF: Final = "grant"


class File(NamedTuple):
    """A file to be written: where in the directory, and what it says."""

    place: Path
    document: dict[str, Any]


def export(credentials: Credentials, directory: Path, *, json: bool) -> None:
    """Write servers, clients and grants to *directory*, which has to be empty or not there."""
    _check_empty(directory)
    api = Api.of(credentials)
    with waiting("Reading what the gateway knows ..."):
        servers = list(api.pages("/api/v0/servers", "servers", {}))
        clients = list(api.pages("/api/v0/clients", "clients", {}))
        found = list(api.pages("/api/v0/grants", "grants", {}))
    grants = [one for one in found if _counts(one, time.time())]
    files = [
        *(File(Path(SERVERS, f"{one['name']}.json"), _server(one)) for one in servers),
        *(File(Path(CLIENTS, f"{one['name']}.json"), _client(one)) for one in clients),
        File(Path(GRANTS), {"grants": [_grant(one) for one in grants]}),
    ]
    _write(directory, files)
    unset = sorted({name for file in files for name in _variables(file.document)})
    states = [*_states(servers, clients)]
    if json:
        written = [str(directory / file.place) for file in files]
        console.print_json({"files": written, "variables": unset, "left_out": states})
        return
    counts = ", ".join(
        console.counted(len(some), noun)
        for some, noun in ((servers, "server"), (clients, "client"), (grants, "grant"))
    )
    console.out().print(console.visible(f"Written to {directory}: {counts}."))
    if unset:
        line = f"Secrets are not in it. Set these before it is used: {' '.join(unset)}"
        console.out().print(console.visible(line))
    for state in states:
        console.err().print(console.visible(f"warning: {state}"))


def import_(credentials: Credentials, directory: Path, *, json: bool) -> None:
    """Register, create and grant what *directory* holds; what is there already stays as it is."""
    api, done, refused = Api.of(credentials), list[str](), list[tuple[str, CommandError]]()
    # All is read before anything is sent.
    for file, send in list(_steps(api, directory)):
        try:
            with waiting(f"Sending {file} ..."):
                send()
        except CommandError as problem:
            refused.append((file, problem))
        else:
            done.append(file)
    if json:
        left = [{"file": file, "code": one.code, "message": one.message} for file, one in refused]
        console.print_json({"done": done, "refused": left})
    else:
        console.out().print(f"Done: {len(done)} of {len(done) + len(refused)}.")
    for file, error in refused:
        console.err().print(console.visible(f"{file}: error[{error.code}]: {error.message}"))
    if refused:
        # Not an error of its own: which was refused, and why, has been told.
        raise typer.Exit(Code.NO)


def _steps(api: Api, directory: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    def sending(path: str, document: Mapping[str, Any]) -> Callable[[], object]:
        return lambda: api.call("POST", path, document=document, patient=True)

    for file in _found(directory / SERVERS):
        yield str(file), sending("/api/v0/servers", server_of(file, os.environ))
    for file in _found(directory / CLIENTS):
        yield str(file), sending("/api/v0/clients", identity_of(file, os.environ))
    grants = directory / GRANTS
    if grants.exists():
        for number, one in enumerate(_listed(object_of(grants), grants), 1):
            yield f"{grants}, grant {number}", sending("/api/v0/grants", one)


def _found(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.json"))


def _listed(document: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    found = document.get("grants")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise CommandError("bad-file", f"{file} has no list of grants.", "Nothing was sent.")
    return found


def _check_empty(directory: Path) -> None:
    try:
        is_empty = not directory.exists() or not any(directory.iterdir())
    except OSError as error:
        raise _unusable(directory, error) from None
    if not is_empty:
        message = f"{directory} is not empty."
        raise CommandError("not-empty", message, "Name another directory with --dir.")


def _write(directory: Path, files: list[File]) -> None:
    try:
        for file in files:
            path = directory / file.place
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(text.dumps(file.document, indent=2) + "\n")
    except OSError as error:
        raise _unusable(directory, error) from None


def _unusable(directory: Path, error: OSError) -> CommandError:
    message = f"{directory} cannot be used: {error.strerror}."
    return CommandError("no-directory", message, "Name another directory with --dir.")


def _server(one: Mapping[str, Any]) -> dict[str, Any]:
    document = {name: one[name] for name in _KEPT_OF_SERVERS if one.get(name) is not None}
    if one.get("has_bearer"):
        document["bearer_token"] = _placeholder(one["name"], "bearer_token")
    headers = {name: _placeholder(one["name"], name) for name in one.get("headers") or ()}
    return document | ({"headers": headers} if headers else {})


def _client(one: Mapping[str, Any]) -> dict[str, Any]:
    document = {name: one[name] for name in _KEPT_OF_CLIENTS}
    token = _placeholder(one["name"], "access_token") if one.get("has_access_token") else None
    return document | {"access_token": token}


def _grant(one: Mapping[str, Any]) -> dict[str, Any]:
    document = {name: one[name] for name in ("actor", "role", "resource", "why")}
    until = one["until"]
    return document if until is None else document | {"until": moment(until)}


def _counts(one: Mapping[str, Any], now: float) -> bool:
    """Tell whether a grant was made by itself, and is no part of a client or user, nor over."""
    return one["origin"] == _BY_ITSELF and (one["until"] is None or one["until"] > now)


def _placeholder(*words: str) -> str:
    name = _UNFIT.sub("_", "_".join(words).upper())
    return f"${{{name if not name[0].isdigit() else f'_{name}'}}}"


def _variables(document: Mapping[str, Any]) -> Iterator[str]:
    secrets = [document.get("bearer_token"), document.get("access_token")]
    for value in (*secrets, *document.get("headers", {}).values()):
        if value is not None:
            yield value.removeprefix("${").removesuffix("}")


def _states(servers: list[dict[str, Any]], clients: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what the files do not say."""
    for one in servers:
        if not one["enabled"]:
            yield f"The server {one['name']} is disabled, which no file says."
    for one in clients:
        if one["is_suspended"]:
            yield f"The client {one['name']} is suspended, which no file says."
