"""Real clients by name, and what they find at a server with a gateway before it and without one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from policies.model import Fact
from storage.journal import Record
from tests.gateway.harness import Rig, shared
from tests.live import node_clients, python_client
from tests.live.agents import Agent, RefusedError
from tests.live.node_clients import typescript
from tests.node import Node

LEGACY, MODERN = "2025-11-25", "2026-07-28"

CLIENTS: Final = (
    "python auto",
    "python legacy",
    "python pinned",
    "v1 legacy",
    "v2 default",
    "v2 auto",
    "v2 pinned",
)
"""The SDK of each, and how it chooses a version."""

_HANDLE: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


def version_of(client: str, newest: str) -> str | None:
    """Return the version that *client* comes to with a server; None if they cannot."""
    how = client.partition(" ")[2]
    if how == "pinned":
        return MODERN if newest == MODERN else None
    return newest if how == "auto" else LEGACY


@dataclass(frozen=True)
class Stage:
    """A gateway, the servers behind it, and clients that go to either."""

    rig: Rig
    urls: Mapping[str, str]
    nodes: Mapping[str, Node]

    @asynccontextmanager
    async def directly(
        self, client: str, server: str, declares: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Agent]:
        """Connect *client* to *server* itself."""
        async with self._connected(client, self.urls[server], None, declares) as agent:
            yield agent

    @asynccontextmanager
    async def through(
        self,
        client: str,
        server: str,
        principal: str,
        declares: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Agent]:
        """Connect *client* to *server* through the gateway, with a token of *principal*."""
        token = self.rig.bearer(principal).partition(" ")[2]
        async with self._connected(client, self.url(server), token, declares) as agent:
            yield agent

    def url(self, server: str) -> str:
        return f"http://{self.rig.host}/servers/{server}/mcp"

    @asynccontextmanager
    async def _connected(
        self, client: str, url: str, token: str | None, declares: Mapping[str, Any] | None
    ) -> AsyncIterator[Agent]:
        sdk, _, how = client.partition(" ")
        if sdk == "python":
            mode = MODERN if how == "pinned" else how
            async with python_client.connected(url, token, mode=mode, declares=declares) as found:
                yield found
        else:
            node = self.nodes[sdk]
            async with node_clients.connected(node, url, token, era=how, declares=declares) as it:
                yield it

    def recorded(self, since: int, method: str) -> list[Record]:
        """Return the decisions on *method* after the first *since* of all."""
        return [one for one in self.rig.records()[since:] if one.payload["method"] == method]

    def judged(
        self, since: int, *, principal: str | None = None, method: str | None = None
    ) -> list[tuple[str, str, str]]:
        """Return action, resource and verdict of the decisions after the first *since* of all."""
        return [
            (one["action"], one["resource"]["id"], one["verdict"])
            for one in (record.payload for record in self.rig.records()[since:])
            if principal in (None, one["principal"]["id"]) and method in (None, one["method"])
        ]


@contextmanager
def staged(directory: Path, urls: Mapping[str, str], facts: tuple[Fact, ...]) -> Iterator[Stage]:
    """Run a gateway before the servers at *urls*, and the clients that are Node processes."""
    with (
        typescript("v1") as v1,
        typescript("v2") as v2,
        shared(directory, speeches={}, urls=urls, facts=facts) as rig,
    ):
        yield Stage(rig, urls, {"v1": v1, "v2": v2})


async def outcome(agent: Agent, what: str, **question: object) -> Any:  # noqa: ANN401  JSON
    """Return what came of a question, or code and data of its refusal, without passing ids."""
    try:
        return unmarked(await agent.ask(what, **question))
    except RefusedError as error:
        return unmarked([error.code, error.data])


def unmarked(value: Any) -> Any:  # noqa: ANN401  JSON
    """Return *value* without the ids in it that are new each time."""
    match value:
        case str():
            return _HANDLE.sub("ID", value)
        case list():
            return [unmarked(one) for one in value]
        case dict():
            return {key: unmarked(one) for key, one in value.items()}
    return value


def names(listed: Mapping[str, Any]) -> set[str]:
    """Return what the items of a list are called, by name or by URI."""
    (items,) = (value for value in listed.values() if isinstance(value, list))
    return {one.get("uriTemplate") or one.get("uri") or one["name"] for one in items}


def text_of(result: Mapping[str, Any]) -> str:
    return "".join(block.get("text", "") for block in result["content"])
