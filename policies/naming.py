"""What a policy has to name for the gateway, as plain strings: claims, networks, zones, globs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class Naming(NamedTuple):
    """Which argument names something, what that is, and what is wrong with a name, or None."""

    place: int
    what: str
    problem: Callable[[str], str | None]


def glob_form(text: str) -> str | None:
    """Return a sentence for the author of a glob that means nothing, else `None`."""
    if "***" in text:
        return "In a glob `*` and `**` are wildcards, and three stars in a row mean neither."
    return None


def _nothing(_: str) -> None:
    return None


def _network(text: str) -> str | None:
    try:
        ip_network(text)
    except ValueError:
        return (
            "Write an address range such as 10.0.0.0/8 or fd00::/8, with no bits set after the "
            "prefix."
        )
    return None


def _zone(text: str) -> str | None:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "Write the name of a time zone, such as Europe/Berlin or UTC."
    return None


NAMING: Mapping[str, Naming] = {
    "claim": Naming(1, "name of the claim", _nothing),
    "source_address": Naming(1, "address range", _network),
    "hour_of_day": Naming(0, "time zone", _zone),
    "weekday": Naming(0, "time zone", _zone),
    "uri_matches": Naming(1, "glob", glob_form),
    "uri_under": Naming(1, "prefix", _nothing),
}
"""By predicate. Without the name in the policy's own text the gateway never states the fact."""
