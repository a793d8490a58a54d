"""`northgate key ...`: signing keys."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api, segment
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console

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
