"""`northgate client`, `user` and `team`: who there is, and what each may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api, given, segment
from proxy.cli.control.asking import agreed, secret_of
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.kinds import CLIENT, Kind
from proxy.cli.control.rows import cut, moment, print_details, row
from proxy.cli.policy import console

_OTHERWISE: Final = "Say yes, or use --yes where nobody can be asked."


def create(credentials: Credentials, kind: Kind, terms: Mapping[str, Any], *, json: bool) -> None:
    """Make an identity with those of *terms* that are not None."""
    document = _with_secret(given(terms))
    if not document.get("name"):
        message = f"The {kind.noun} has no name."
        raise CommandError("no-name", message, "Write NAME, or a file with one for --conf.")
    answer = Api.of(credentials).call("POST", kind.path, document=document)
    if _told(answer, json=json):
        return
    console.out().print(console.visible(f"The {kind.noun} {answer['name']} is there now."))
    if kind.noun != "team" and "access_token" not in document:
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
    wanted = given({"contains": contains, "suspended": state})
    found = list(Api.of(credentials).pages(kind.path, f"{kind.noun}s", wanted))
    if json:
        console.print_json({f"{kind.noun}s": found})
        return
    head = ("NAME", *kind.lists, "STATE", "CREATED", "BY", "DESCRIPTION")
    lines = [row(*head, style="bold"), *(_line(kind, one) for one in found)]
    console.print_columns(console.out(), lines)


def show(credentials: Credentials, kind: Kind, name: str, *, json: bool) -> None:
    _show(Api.of(credentials).call("GET", _one(kind, name)), json=json)


def update(  # noqa: PLR0913  what may be changed, and of whom
    credentials: Credentials,
    kind: Kind,
    name: str,
    terms: Mapping[str, Any],
    *,
    roles: Sequence[str] | None = None,
    no_access_token: bool = False,
    why: str | None = None,
    json: bool,
) -> None:
    """Change those of *terms*, and *roles*, that are not None."""
    api, named, reason = Api.of(credentials), _with_secret(given(terms)), given({"why": why})
    if no_access_token:
        named["access_token"] = None
    if not named and roles is None:
        message = f"Nothing was said to change of the {kind.noun}."
        raise CommandError("nothing-to-do", message, "See --help for what can be changed.")
    answer: dict[str, Any] = {}
    if named:
        answer = api.call("PATCH", _one(kind, name), document=named | reason)
    if roles is not None:
        document = {"roles": list(roles)} | reason
        answer = api.call("PUT", _one(kind, name, "/roles"), document=document)
    _show(answer, json=json)


def turn(
    credentials: Credentials, kind: Kind, name: str, what: str, *, why: str | None, json: bool
) -> None:
    """Suspend or resume one, whichever *what* is."""
    answer = Api.of(credentials).call(
        "POST", _one(kind, name, f"/{what}"), document=given({"why": why})
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
    answer = api.call("POST", path, document=given({"why": why}))
    if _told(answer, json=json):
        return
    count = console.counted(len(answer["suspended"]), "client")
    console.out().print(f"Suspended: {count}.")
    console.out().print("They may act again with northgate client resume NAME, or --all.")


def resume_all(credentials: Credentials, *, why: str | None, yes: bool, json: bool) -> None:
    """Let every client act again, after somebody agreed unless *yes*."""
    api = Api.of(credentials)
    if not yes:
        agreed("Let every client act again?", "not-resumed", "Nobody was resumed.", _OTHERWISE)
    answer = api.call("POST", f"{CLIENT.path}/resume-all", document=given({"why": why}))
    if _told(answer, json=json):
        return
    count = console.counted(len(answer["resumed"]), "client")
    console.out().print(f"Resumed: {count}.")


def delete(
    credentials: Credentials, kind: Kind, name: str, *, why: str | None, yes: bool, json: bool
) -> None:
    """Delete one with all that it has, after somebody agreed unless *yes*."""
    api, path = Api.of(credentials), _one(kind, name)
    if not yes:
        question = f"Delete the {kind.noun} {name}, with its grants and tokens?"
        agreed(question, "not-deleted", "Nothing was deleted.", _OTHERWISE)
    api.call("DELETE", path, parameters=given({"why": why}))
    if json:
        console.print_json({"deleted": name})
        return
    console.out().print(console.visible(f"There is no {kind.noun} {name} any more."))


def _with_secret(terms: dict[str, Any]) -> dict[str, Any]:
    """Return *terms* with the access token in its place that was to be asked for."""
    token = terms.get("access_token")
    if token is None:
        return terms
    return terms | {"access_token": secret_of(token, "The access token")}


def _one(kind: Kind, name: str, what: str = "") -> str:
    return f"{kind.path}/{segment(name)}{what}"


def _told(answer: Mapping[str, Any], *, json: bool) -> bool:
    """Write what the gateway warns of, and the whole of it with *json*; tell if that was all."""
    if json:
        console.print_json(answer)
        return True
    for warning in answer.get("warnings", ()):
        console.err().print(console.visible(f"warning: {warning}"))
    return False


def _show(answer: Mapping[str, Any], *, json: bool) -> None:
    if not _told(answer, json=json):
        print_details({name: value for name, value in answer.items() if name != "warnings"})


def _line(kind: Kind, one: Mapping[str, Any]) -> list[Text]:
    words = one["description"]
    return row(
        one["name"],
        *(cut(" ".join(one[name])) for name in kind.lists.values()),
        "suspended" if one["is_suspended"] else "active",
        moment(one["created_at"]),
        one["created_by"],
        cut(words),
    )
