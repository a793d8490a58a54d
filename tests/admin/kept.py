"""Identities and grants in tests: who may do what, and shortcuts to the routes."""

from __future__ import annotations

from functools import cache
from typing import Any

from policies import bundle as bundles
from policies.bundle import Bundle, read_sources
from policies.model import Fact
from proxy.identity.principal import ActorType
from tests.admin.controlled import RULES, Controlled, Said

API = "/api/v0"
KEEPER = (ActorType.USER, "keeper")
STAFF = (ActorType.USER, "staff")
GRANTER = (ActorType.USER, "granter")

SPLIT = b"""
# Each may do one thing.
has_permission(user: User, "manage_clients", _: Gateway) if user = User{"keeper"};
has_permission(user: User, "manage_users", _: Gateway) if user = User{"staff"};
has_permission(user: User, "manage_grants", _: Gateway) if user = User{"granter"};
"""


@cache
def with_rules(text: bytes = SPLIT, **replaced: tuple[str, str]) -> Bundle:
    """Return the shipped policy with *text* beside it, and files with a text *replaced* in them."""
    sources = {name: bytes(content) for name, content in read_sources([RULES]).items()}
    for name, (before, after) in replaced.items():
        file = f"{name}.polar"
        assert before.encode() in sources[file]
        sources[file] = sources[file].replace(before.encode(), after.encode())
    return bundles.load({**sources, "more.polar": text}, portable=True)


async def say(
    controlled: Controlled,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str | None = None,
) -> Said:
    """Ask below the API, as the administrator unless with another *token*."""
    return await controlled.ask(method, API + path, token or controlled.token(), json=body)


async def made(controlled: Controlled, path: str, *names: str, **more: Any) -> None:  # noqa: ANN401
    for name in names:
        said = await say(controlled, "POST", path, {"name": name} | more)
        assert said.status == 201, said.document


def stored(controlled: Controlled, predicate: str) -> set[Fact]:
    """Return the facts of *predicate* that hold and no test stated by itself."""
    facts = controlled.standing.grounds.facts.facts()
    return {fact for fact, origins in facts if fact.predicate == predicate and origins != ("test",)}


def fields(said: Said) -> list[str]:
    return [one["field"] for one in said.document["problems"]]


def changes(controlled: Controlled) -> list[str]:
    return [one.payload["what"] for one in controlled.records("change")]
