"""`northgate register`, `deregister`, `update server` and what tells about servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.cli.control.api import Api, given, segment
from proxy.cli.control.asking import agreed
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.rows import cut, moment, print_details, print_table
from proxy.cli.control.waiting import waiting
from proxy.cli.policy import console

PATH: Final = "/api/v0/servers"

_OTHERWISE: Final = "Say yes, or use --yes where nobody can be asked."
_COUNTED: Final = ("tools", "prompts", "resources")


def register(credentials: Credentials, terms: Mapping[str, Any], *, json: bool) -> None:
    """Register a server with *terms*, once it has answered the gateway."""
    name = terms.get("name")
    if not isinstance(name, str) or not name:
        raise CommandError("no-name", "The server has no name.", "Give it with --name.")
    with waiting(f"Waiting for {name} to answer ..."):
        answer = Api.of(credentials).call("POST", PATH, document=dict(terms), patient=True)
    _told(answer["server"], "is registered", json=json, whole=answer)


def update(
    credentials: Credentials,
    name: str,
    terms: Mapping[str, Any],
    *,
    anew: bool,
    json: bool,
) -> None:
    """Change *terms* of a server, or with *anew* all that it has, once it has answered so."""
    if not terms:
        message = "Nothing was said to change of the server."
        raise CommandError("nothing-to-do", message, "See --help for what can be changed.")
    path, method = f"{PATH}/{segment(name)}", "PUT" if anew else "PATCH"
    with waiting(f"Waiting for {name} to answer ..."):
        answer = Api.of(credentials).call(method, path, document=dict(terms), patient=True)
    _told(answer["server"], "is changed", json=json, whole=answer)


def deregister(
    credentials: Credentials, name: str, *, why: str | None, yes: bool, json: bool
) -> None:
    """Forget a server, after somebody agreed unless *yes*."""
    api, path = Api.of(credentials), f"{PATH}/{segment(name)}"
    if not yes:
        question = f"Deregister the server {name}, with all that it offers?"
        agreed(question, "not-deregistered", "Nothing was deregistered.", _OTHERWISE)
    api.call("DELETE", path, parameters=given({"why": why}))
    if json:
        console.print_json({"deregistered": name})
        return
    console.out().print(console.visible(f"There is no server {name} any more."))
    console.out().print("Grants on it stay, for when a server of that name comes back.")


def list_them(credentials: Credentials, *, json: bool) -> None:
    """Print all servers that the caller may see, by name."""
    found = list(Api.of(credentials).pages(PATH, "servers", {}))
    if json:
        console.print_json({"servers": found})
        return
    head = (
        "NAME",
        "STATE",
        "POLICY",
        *map(str.upper, _COUNTED),
        "FROM",
        "URL",
        "PROBLEM",
        "DESCRIPTION",
    )
    print_table(head, map(_line, found))


def show(credentials: Credentials, name: str, *, json: bool) -> None:
    answer = Api.of(credentials).call("GET", f"{PATH}/{segment(name)}")
    if json:
        console.print_json(answer)
    else:
        print_details(answer)


def turn(credentials: Credentials, name: str, what: str, *, why: str | None, json: bool) -> None:
    """Enable or disable a server with all that it offers, whichever *what* is."""
    path = f"{PATH}/{segment(name)}/{what}"
    answer = Api.of(credentials).call("POST", path, document=given({"why": why}))
    if json:
        console.print_json(answer)
        return
    counts = " and ".join(
        console.counted(len(answer[f"{kind}s_affected"]), kind) for kind in ("tool", "prompt")
    )
    line = f"The server {answer['name']} is {what}d, with {counts}."
    console.out().print(console.visible(line))


def observe(
    credentials: Credentials, name: str, *, lasting: str | None, why: str, json: bool
) -> None:
    """Have denials on a server recorded and not enforced, for as long as *lasting* says."""
    _set_enforcement(credentials, name, "observe", {"until": lasting, "why": why}, json=json)


def enforce(credentials: Credentials, name: str, *, why: str | None, json: bool) -> None:
    """Have denials on a server enforced again."""
    _set_enforcement(credentials, name, "enforce", {"why": why}, json=json)


def _set_enforcement(
    credentials: Credentials, name: str, what: str, said: Mapping[str, str | None], *, json: bool
) -> None:
    path = f"{PATH}/{segment(name)}/{what}"
    answer = Api.of(credentials).call("POST", path, document=given(said))
    if json:
        console.print_json(answer)
        return
    lines = [f"On the server {answer['name']} the policy is enforced."]
    if answer["enforcement"] == "observe":
        until = answer["observed_until"]
        ends = "until it is enforced again" if until is None else f"until {moment(until)}"
        lines = [
            f"On the server {answer['name']} the policy is observed {ends}.",
            f"Next: northgate record list --server {answer['name']} --observed",
        ]
    for line in lines:
        console.out().print(console.visible(line))


def _told(server: Mapping[str, Any], what: str, *, json: bool, whole: Mapping[str, object]) -> None:
    if json:
        console.print_json(whole)
        return
    catalogue = server["catalogue"]
    counts = ", ".join(console.counted(catalogue[kind], kind[:-1]) for kind in _COUNTED)
    console.out().print(console.visible(f"The server {server['name']} {what}: {counts}."))
    line = f"Next: northgate access grant client:NAME caller server:{server['name']}"
    console.out().print(console.visible(line))


def _line(one: Mapping[str, Any]) -> list[str]:
    catalogue = one["catalogue"]
    counts = [str(catalogue[kind]) if catalogue["known"] else "?" for kind in _COUNTED]
    return [
        one["name"],
        "enabled" if one["enabled"] else "disabled",
        f"{one['enforcement'].removesuffix('e')}ed",
        *counts,
        one.get("source") or "",
        one.get("url") or "",
        cut(catalogue.get("last_failure") or ""),
        cut(one.get("description") or ""),
    ]
