"""`northgate key ...` and `northgate admin rekey`: signing keys, and what they are kept under."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api, segment
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console
from proxy.datadir import DataDirectory
from proxy.identity.keyring import Plane
from proxy.identity.rekeying import rekey as seal_anew
from proxy.identity.sealing import (
    MASTER_KEY_VARIABLE,
    DamagedError,
    MasterKey,
    MasterKeyError,
    master_key,
    private_text,
    write_private,
)
from storage.journal.files import lock

NEW_MASTER_KEY_VARIABLE: Final = "NORTHGATE_NEW_MASTER_KEY"

_PATH: Final = "/api/v0/keys"
_LONGEST_LINE: Final = 1024
_YES: Final = frozenset({"y", "yes"})


def list_them(credentials: Credentials, *, plane: str | None, json: bool) -> None:
    """Print the signing keys, the oldest of each plane first."""
    parameters = {} if plane is None else {"plane": plane}
    _show(Api.of(credentials).call("GET", _PATH, parameters=parameters), json=json)


def rotate(credentials: Credentials, *, plane: str, algorithm: str | None, json: bool) -> None:
    """Sign with the next key from now on, and print the keys of its plane."""
    wish = {"plane": plane} | ({} if algorithm is None else {"algorithm": algorithm})
    _show(Api.of(credentials).call("POST", f"{_PATH}/rotate", document=wish), json=json)


def revoke(credentials: Credentials, key_id: str, *, why: str, yes: bool, json: bool) -> None:
    """Trust a key no more, once somebody agrees, and print the keys of its plane."""
    api, path = Api.of(credentials), f"{_PATH}/{segment(key_id)}/revoke"
    known = api.call("GET", _PATH)["keys"]
    key = next((one for one in known if one["key_id"] == key_id), None)
    if key is None:
        hint = "northgate key list shows what there is."
        raise CommandError("unknown-key", f"No key has the id {key_id}.", hint, exit_code=Code.NO)
    if not yes:
        _agreed(key)
    _show(api.call("POST", path, document={"why": why}), json=json)


def rekey(
    directory: Path,
    old_file: Path | None,
    new_file: Path | None,
    environ: Mapping[str, str],
    *,
    json: bool,
) -> None:
    """Keep the keys of a gateway that is not running under a new master key."""
    place = _own(directory)
    try:
        with _resting(place):
            old, new = _old(place, old_file, environ), _new(place, new_file, environ)
            if old.id == new.id:
                message = "The new master key is the old one."
                raise CommandError("same-key", message, "Give another, or none to have one made.")
            keyrings = {plane: place.keyring(plane.value) for plane in Plane}
            changed = seal_anew(keyrings, place.keyring("credentials"), old, new)
            _put_in_place(place, new_file, environ)
    except (MasterKeyError, DamagedError) as error:
        raise CommandError("bad-master-key", str(error)) from None
    except OSError as error:
        message = f"The keys in {directory} cannot be used: {error.strerror}."
        raise CommandError("no-data-dir", message, "Run it again: it goes on from there.") from None
    if json:
        files = [path.name for path in changed]
        console.print_json({"old": old.id, "new": new.id, "files": files})
        return
    text = f"{console.counted(len(changed), 'file')} sealed under the master key {new.id}."
    console.out().print(console.visible(text))
    console.err().print(console.visible(_next_step(place, environ)))


def _show(answer: Mapping[str, Any], *, json: bool) -> None:
    if json:
        console.print_json(answer)
        return
    head = ("PLANE", "ID", "ALGORITHM", "STATE", "SINCE", "TRUSTED UNTIL")
    rows = [row(*head, style="bold"), *map(_line, answer["keys"])]
    console.print_columns(console.out(), rows)


def _line(key: Mapping[str, Any]) -> list[Text]:
    return row(
        key["plane"],
        key["key_id"],
        key["algorithm"],
        key["state"],
        moment(key["since"]),
        "" if key["ends_at"] is None else moment(key["ends_at"]),
    )


def _agreed(key: Mapping[str, Any]) -> None:
    """Raise `CommandError` unless somebody says yes."""
    whose = "agents" if key["plane"] == "data" else "administrators, yours perhaps among them,"
    about = f"All tokens of {whose} that this {key['state']} key signed end at once."
    # Not typer's own question, of which a part goes to stdout.
    console.err().print(f"{about} Revoke it? [y/N] ", end="")
    if sys.stdin.readline(_LONGEST_LINE).strip().lower() not in _YES:
        hint = "Say yes, or use --yes where nobody can be asked."
        raise CommandError("not-revoked", "Nothing was revoked.", hint, exit_code=Code.NO)


def _own(directory: Path) -> DataDirectory:
    """Return the data directory *directory*. Raises `CommandError` unless it is this user's."""
    try:
        owner, is_ours = directory.stat().st_uid, (directory / "mode").is_file()
    except OSError:
        owner, is_ours = os.geteuid(), False
    if not is_ours:
        message = f"{directory} is not the data directory of a gateway."
        raise CommandError("no-data-dir", message, "Name the one that the settings call data_dir.")
    if owner != os.geteuid():
        message = f"{directory} belongs to another user, as whom the gateway runs."
        raise CommandError("other-owner", message, "Run this as that user.")
    return DataDirectory(directory)


@contextmanager
def _resting(place: DataDirectory) -> Iterator[None]:
    """Keep gateways from starting in *place*. Raises `CommandError` if one runs there."""
    held = []
    try:
        for path in sorted(place.journal.glob("*.lock")):
            try:
                held.append(lock(path))
            except BlockingIOError:
                message = f"A gateway is running in {place.path}."
                raise CommandError("running", message, "Stop it, and run this again.") from None
        yield
    finally:
        for handle in held:
            os.close(handle)


def _old(place: DataDirectory, file: Path | None, environ: Mapping[str, str]) -> MasterKey:
    if file is None and MASTER_KEY_VARIABLE in environ:
        return master_key(place.master_key, environ)
    return _in_file(place.master_key if file is None else file)


def _new(place: DataDirectory, file: Path | None, environ: Mapping[str, str]) -> MasterKey:
    given = environ.get(NEW_MASTER_KEY_VARIABLE)
    if given is not None:
        return master_key(place.master_key, {MASTER_KEY_VARIABLE: given})
    # One that was made stays where it is found again, should this be interrupted.
    return master_key(_waiting(place), {}) if file is None else _in_file(file)


def _waiting(place: DataDirectory) -> Path:
    return place.master_key.with_name(f"{place.master_key.name}.next")


def _in_file(path: Path) -> MasterKey:
    if not path.is_file():
        message = f"There is no master key in {path}."
        hint = f"Name its file, or set {MASTER_KEY_VARIABLE} as the gateway has it."
        raise CommandError("no-master-key", message, hint)
    return master_key(path, {})


def _put_in_place(place: DataDirectory, file: Path | None, environ: Mapping[str, str]) -> None:
    """Let the gateway find the new key where it looks, unless it is given by a variable."""
    if NEW_MASTER_KEY_VARIABLE in environ:
        return
    if file is None:
        _waiting(place).replace(place.master_key)
    else:
        write_private(place.master_key, private_text(file))


def _next_step(place: DataDirectory, environ: Mapping[str, str]) -> str:
    if NEW_MASTER_KEY_VARIABLE in environ:
        rest = f" Remove {place.master_key}." if place.master_key.exists() else ""
        return f"Start the gateway with {MASTER_KEY_VARIABLE} set to the new master key.{rest}"
    if MASTER_KEY_VARIABLE in environ:
        return f"It is in {place.master_key}: start the gateway without {MASTER_KEY_VARIABLE}."
    return f"It is in {place.master_key}: start the gateway as before."
