"""`northgate access ...`: what is granted to whom, now or at any moment that ever was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from proxy.cli.control.api import Api, given
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console

_PATH: Final = "/api/v0/grants"
_LARGEST_PAGE: Final = "500"
_LAST_SECOND: Final = 253_402_300_799


def grant(credentials: Credentials, words: Mapping[str, str | None], *, json: bool) -> None:
    """Make the grant of *words*, those of them that are not None."""
    answer = Api.of(credentials).call("POST", _PATH, document=given(words))
    if json:
        console.print_json(answer)
        return
    until = answer["until"]
    ends = "" if until is None else f", until {moment(until)}"
    line = f"{answer['actor']} is {answer['role']} of {answer['resource']}{ends}."
    console.out().print(console.visible(line))


def revoke(credentials: Credentials, words: Mapping[str, str | None], *, json: bool) -> None:
    """End the grant of *words*, and every lease of the same."""
    answer = Api.of(credentials).call("DELETE", _PATH, document=given(words))
    if json:
        console.print_json(answer)
        return
    for one in answer["ended"]:
        line = f"{one['actor']} is not {one['role']} of {one['resource']} any more."
        console.out().print(console.visible(f"{line} It was stated by: {one['origin']}."))


def list_them(credentials: Credentials, wanted: Mapping[str, str | None], *, json: bool) -> None:
    """Print the grants that are *wanted*, of all pages."""
    api, parameters = Api.of(credentials), given(wanted) | {"limit": _LARGEST_PAGE}
    found: list[dict[str, Any]] = []
    while True:
        page = api.call("GET", _PATH, parameters=parameters)
        found += page["grants"]
        if page["next"] is None:
            break
        # The pages that follow are of the same facts, whatever is changed meanwhile.
        parameters |= {"after": page["next"], "as_of": str(page["version"])}
    if json:
        console.print_json({"grants": found, "version": page["version"]})
        return
    head = ("ACTOR", "ROLE", "RESOURCE", "UNTIL", "SINCE", "BY", "FROM", "WHY")
    now = time.time()
    lines = [row(*head, style="bold"), *(_line(one, now) for one in found)]
    console.print_columns(console.out(), lines)


def _line(one: Mapping[str, Any], now: float) -> list[Text]:
    until = one["until"]
    ends = "" if until is None else moment(min(until, _LAST_SECOND))
    return row(
        one["actor"],
        str(one["role"]),
        one["resource"],
        f"{ends} (over)" if until is not None and until <= now else ends,
        moment(one["added_at"]),
        one["added_by"],
        one["origin"],
        one["why"],
    )
