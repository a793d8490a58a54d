"""Lists as one principal may see them: judged item by item, in their order, and never shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from policies.model import Entity
from proxy.question import document_id, template_id
from proxy.upstream.server import Server
from proxy.wire import names
from proxy.wire.lookalikes import ITEM, lookalike
from proxy.wire.names import UnnameableError

MOST_TTL_MS: Final = 60_000
"""How long a client may keep a filtered list: a change of policy has to reach it."""

# The member of a result, and how its items are known: type, member that names one.
_ITEMS: Final = {
    "tools": ("Tool", "name"),
    "prompts": ("Prompt", "name"),
    "resources": ("Document", "uri"),
    "resourceTemplates": ("Document", "uriTemplate"),
}


Recognised = Callable[[Server, str, Mapping[str, Any]], bool]
"""Tells whether a server's item of a type is the one that is judged under its name."""


class UnlistableError(Exception):
    """A list that cannot be filtered, so nothing of it may be shown."""


def type_of(listed: str) -> str:
    """Return the type of the items under *listed*, a member of a result."""
    return _ITEMS[listed][0]


def identified(
    result: dict[str, Any],
    listed: str,
    server: Server,
    verbatim: frozenset[str],
    recognised: Recognised,
) -> list[tuple[Entity, dict[str, Any]]]:
    """Return the items of *result* that a policy can be asked about.

    Left out are items without a usable name or with a look-alike of a member, all items of a name
    that occurs twice, and those that are not *recognised*. Raises `UnlistableError`.
    """
    items = result.get(listed)
    if type(items) is not list or not all(type(item) is dict for item in items):
        raise UnlistableError(listed)
    type_, key = _ITEMS[listed]
    name_of = _namers(server, verbatim)[listed]
    found: dict[Entity, list[dict[str, Any]]] = {}
    for item in items:
        name = item.get(key)
        # A client that reads `Name` as `name` would be shown something else than was judged.
        if type(name) is not str or lookalike(item, ITEM) is not None:
            continue
        try:
            found.setdefault(name_of(name), []).append(item)
        except UnnameableError:
            continue
    once = [(entity, same[0]) for entity, same in found.items() if len(same) == 1]
    return [one for one in once if recognised(server, type_, one[1])]


def filtered(
    result: dict[str, Any], listed: str, shown: Sequence[dict[str, Any]], *, modern: bool
) -> dict[str, Any]:
    """Return *result* with the items *shown* alone; what is left is nobody else's."""
    return (private(result) if modern else result) | {listed: list(shown)}


def next_cursor(result: Mapping[str, Any]) -> str | None:
    """Return the cursor of the next page, which may be empty; None on the last page.

    Raises `UnlistableError` for one that is no text: then nobody could ask for the rest.
    """
    cursor = result.get("nextCursor")
    if cursor is not None and type(cursor) is not str:
        raise UnlistableError("nextCursor")
    return cursor


def without_other_lists(members: dict[str, Any], listed: str | None = None) -> dict[str, Any]:
    """Return *members* without lists beside *listed*, which nobody asked for or would filter."""
    others = _ITEMS.keys() & members.keys() - {listed}
    if not others:
        return members
    return {name: value for name, value in members.items() if name not in others}


def private(result: dict[str, Any]) -> dict[str, Any]:
    """Return *result* for one principal: cached for nobody else, and not for long."""
    ttl = result.get("ttlMs")
    bounded = min(ttl, MOST_TTL_MS) if type(ttl) is int and ttl >= 0 else 0
    return result | {"cacheScope": "private", "ttlMs": bounded}


def _namers(server: Server, verbatim: frozenset[str]) -> dict[str, Callable[[str], Entity]]:
    return {
        "tools": lambda name: names.tool(server.name, name, verbatim=verbatim),
        "prompts": lambda name: names.prompt(server.name, name, verbatim=verbatim),
        "resources": lambda uri: document_id(server.name, uri),
        "resourceTemplates": lambda template: template_id(server.name, template),
    }
