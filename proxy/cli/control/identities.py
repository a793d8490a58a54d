"""`northgate client`, `user` and `team`: who there is, and what each may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api, segment
from proxy.cli.control.asking import agreed
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.kinds import CLIENT, Kind
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console

_LARGEST_PAGE: Final = "500"
_MOST_SHOWN: Final = 60
_OTHERWISE: Final = "Say yes, or use --yes where nobody can be asked."


def create(
    credentials: Credentials, kind: Kind, name: str, terms: Mapping[str, Any], *, json: bool
) -> None:
    """Make an identity with those of *terms* that are not None."""
    document = {"name": name} | _given(terms)
    answer = Api.of(credentials).call("POST", kind.path, document=document)
    if _told(answer, json=json):
        return
    console.out().print(console.visible(f"The {kind.noun} {answer['name']} is there now."))
    if kind.noun != "team":
        option = " --user" if kind.noun == "user" else ""
        line = f"Next: northgate token issue {answer['name']}{option}"
        console.out().print(console.visible(line))


def list_them(
    credentials: Credentials,
    kind: Kind,
    *,
    contains: str | None,
    suspended: bool | None,
    json: bool,
) -> None:
    """Print all that there are, or those that were asked for, by name."""
    state = None if suspended is None else str(suspended).lower()
    wanted = _given({"contains": contains, "suspended": state})
    found = list(_pages(Api.of(credentials), kind, wanted))
    if json:
        console.print_json({f"{kind.noun}s": found})
        return
    head = ("NAME", *kind.lists, "STATE", "CREATED", "BY", "DESCRIPTION")
    lines = [row(*head, style="bold"), *(_line(kind, one) for one in found)]
    console.print_columns(console.out(), lines)


def show(credentials: Credentials, kind: Kind, name: str, *, json: bool) -> None:
    _shown(Api.of(credentials).call("GET", _one(kind, name)), json=json)


def update(
    credentials: Credentials,
    kind: Kind,
    name: str,
    terms: Mapping[str, Any],
    *,
    roles: Sequence[str] | None = None,
    why: str | None = None,
    json: bool,
) -> None:
    """Change those of *terms*, and *roles*, that are not None."""
    api, given, reason = Api.of(credentials), _given(terms), _given({"why": why})
    if not given and roles is None:
        message = f"Nothing was said to change of the {kind.noun}."
        raise CommandError("nothing-to-do", message, "See --help for what can be changed.")
    answer: dict[str, Any] = {}
    if given:
        answer = api.call("PATCH", _one(kind, name), document=given | reason)
    if roles is not None:
        document = {"roles": list(roles)} | reason
        answer = api.call("PUT", _one(kind, name, "/roles"), document=document)
    _shown(answer, json=json)


def turn(
    credentials: Credentials, kind: Kind, name: str, what: str, *, why: str | None, json: bool
) -> None:
    """Suspend or resume one, whichever *what* is."""
    answer = Api.of(credentials).call(
        "POST", _one(kind, name, f"/{what}"), document=_given({"why": why})
    )
    if _told(answer, json=json):
        return
    state = "is suspended: it may do nothing" if answer["is_suspended"] else "may act again"
    console.out().print(console.visible(f"The {kind.noun} {answer['name']} {state}."))


def suspend_all(credentials: Credentials, *, why: str | None, yes: bool, json: bool) -> None:
    """Suspend every client, after somebody agreed unless *yes*."""
    api = Api.of(credentials)
    if not yes:
        agreed("Suspend every client?", "not-suspended", "Nobody was suspended.", _OTHERWISE)
    path = f"{CLIENT.path}/suspend-all"
    answer = api.call("POST", path, document=_given({"why": why}))
    if _told(answer, json=json):
        return
    count = console.counted(len(answer["suspended"]), "client")
    console.out().print(f"Suspended: {count}.")
    console.out().print("One by one they may act again: northgate client resume NAME")


def delete(
    credentials: Credentials, kind: Kind, name: str, *, why: str | None, yes: bool, json: bool
) -> None:
    """Delete one with all that it has, after somebody agreed unless *yes*."""
    api, path = Api.of(credentials), _one(kind, name)
    if not yes:
        question = f"Delete the {kind.noun} {name}, with its grants and tokens?"
        agreed(question, "not-deleted", "Nothing was deleted.", _OTHERWISE)
    api.call("DELETE", path, parameters=_given({"why": why}))
    if json:
        console.print_json({"deleted": name})
        return
    console.out().print(console.visible(f"There is no {kind.noun} {name} any more."))


def _one(kind: Kind, name: str, what: str = "") -> str:
    return f"{kind.path}/{segment(name)}{what}"


def _pages(api: Api, kind: Kind, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    parameters = dict(wanted) | {"limit": _LARGEST_PAGE}
    while True:
        page = api.call("GET", kind.path, parameters=parameters)
        yield from page[f"{kind.noun}s"]
        if page["next"] is None:
            return
        parameters["after"] = page["next"]


def _given(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in terms.items() if value is not None}


def _told(answer: Mapping[str, Any], *, json: bool) -> bool:
    """Write what the gateway warns of, and the whole of it with *json*; tell if that was all."""
    if json:
        console.print_json(answer)
        return True
    for warning in answer.get("warnings", ()):
        console.err().print(console.visible(f"warning: {warning}"))
    return False


def _shown(answer: Mapping[str, Any], *, json: bool) -> None:
    if _told(answer, json=json):
        return
    told = {name: value for name, value in answer.items() if name != "warnings"}
    lines = [row(name.replace("_", " "), _cell(name, value)) for name, value in told.items()]
    console.print_columns(console.out(), lines)


def _cell(name: str, value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith("_at"):
            return moment(value)
        case list():
            return " ".join(map(str, value)) or "none"
    return str(value)


def _line(kind: Kind, one: Mapping[str, Any]) -> list[Text]:
    words = one["description"]
    return row(
        one["name"],
        *(_cut(" ".join(one[name])) for name in kind.lists.values()),
        "suspended" if one["is_suspended"] else "active",
        moment(one["created_at"]),
        one["created_by"],
        _cut(words),
    )


def _cut(words: str) -> str:
    return words if len(words) <= _MOST_SHOWN else f"{words[: _MOST_SHOWN - 3]}..."
