"""A gateway and whoever administers its servers over HTTP, with upstreams that come and go."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from jsonschema_rs import Draft202012Validator

from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from tests.gateway.desk import Desk, offering
from tests.gateway.harness import Rig, accepting
from tests.gateway.raw import Said, request
from tests.upstream.scripted import Listener, listening
from tests.upstream.speaking import Speech

ADMIN_URL: Final = "http://localhost:8081"
SERVERS: Final = "/api/v0/servers"

ROOT = (ActorType.USER, "admin")


@dataclass(frozen=True)
class Control:
    """Asks the control plane of a gateway."""

    rig: Rig
    described: dict[str, Any] = field(default_factory=dict)
    """What the control plane says of itself, once it was asked."""

    async def ask(
        self,
        verb: str,
        path: str,
        body: object = None,
        *,
        who: tuple[ActorType, str] = ROOT,
        query: Mapping[str, object] | None = None,
    ) -> Said:
        type_, name = who
        holder = name if type_ is ActorType.CLIENT else "northgate"
        wanted = TokenRequest(type_, name, ADMIN_URL, 600, holder)
        token = self.rig.gateway.tokens[Plane.CONTROL].issuer.issue(wanted).text.reveal().decode()
        headers = [
            ("Host", f"127.0.0.1:{self.rig.gateway.control[1]}"),
            ("Authorization", f"Bearer {token}"),
        ]
        raw = b"" if body is None else json.dumps(body).encode()
        if raw:
            headers.append(("Content-Type", "application/json"))
        if verb != "GET":
            headers.append(("Content-Length", str(len(raw))))
        target = f"{path}?{urlencode(query)}" if query else path
        said = await self.rig.say(request(verb, target, headers, raw), plane="control")
        await self._check(verb, path.partition("?")[0], said)
        return said

    async def _check(self, verb: str, path: str, said: Said) -> None:
        """Fail if what was *said* is not what the interface is described to say."""
        if not self.described:
            host = ("Host", f"127.0.0.1:{self.rig.gateway.control[1]}")
            served = request("GET", "/api/v0/openapi.json", [host])
            self.described.update((await self.rig.say(served, plane="control")).message)
        templates = [one for one in self.described["paths"] if _is_of(one, path)]
        operation = self.described["paths"][min(templates, key=len)][verb.lower()]
        assert str(said.status) in operation["responses"], (said.status, said.body)
        content = operation["responses"][str(said.status)].get("content")
        assert (content is None) is (said.body == b"")
        if content is not None:
            schema = content["application/json"]["schema"]
            components = self.described["components"]
            Draft202012Validator({**schema, "components": components}).validate(said.message)

    async def register(self, name: str, url: str, **more: object) -> Said:
        return await self.ask("POST", SERVERS, {"name": name, "url": url, **more})

    async def names(self, kind: str, **query: object) -> dict[str, bool]:
        """Return the names of a page of tools or the like, and whether each is enabled."""
        said = await self.ask("GET", f"/api/v0/{kind}", query=query)
        assert said.status == 200, said.body
        key = "uri" if kind == "resources" else "name"
        return {one[key]: one["enabled"] for one in said.message[kind]}


def _is_of(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(template)), path) is not None


def url_of(listener: Listener) -> str:
    return f"http://127.0.0.1:{listener.upstream.port}/mcp"


def path_of(name: str) -> str:
    return f"/servers/{name}/mcp"


@asynccontextmanager
async def another(
    speeches: Mapping[str, Speech] | None = None,
) -> AsyncIterator[tuple[Desk, Listener]]:
    """Run an upstream that nobody knows yet."""
    desk = Desk(dict(offering() if speeches is None else speeches))
    async with listening(accepting(desk)) as listener:
        yield desk, listener


async def tools(rig: Rig, name: str, **how: Any) -> list[str] | None:  # noqa: ANN401  as `Rig.ask`
    """Return the tools that a client is shown of a server; None where there is none for him."""
    said = await rig.ask("tools/list", path=path_of(name), **how)
    if said.status == 404:
        return None
    return [one["name"] for one in said.message["result"]["tools"]]


async def called(rig: Rig, name: str, tool: str = "echo", **how: Any) -> tuple[int, int | None]:  # noqa: ANN401  as above
    said = await rig.ask("tools/call", {"name": tool}, path=path_of(name), **how)
    return said.status, said.code
