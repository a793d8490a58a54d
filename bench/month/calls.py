"""The calls of the month: who asks what, and in which words."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bench.month.notebook import principal
from bench.month.world import World
from policies.model import Entity, Fact
from proxy.identity.principal import Principal

MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"

ARGUMENTS: Final[Mapping[str, Sequence[Any]]] = {
    "mode": ("read", "write", "other", ["read", "read"], 5),
    "method": ("read", "post"),
    "dry_run": (True, False, "true"),
    "branch": ("release/1", "release/1/x", "hotfix/2", "main", 7),
    "url": (
        "https://a.good.example/x", "https://one.example/", "http://db.inside.example",
        "https://evil.example", "nonsense",
    ),
    "force": (True, False),
    "path": ("/srv/reports/q1", "/srv/reports", "/etc/passwd", "../x"),
    "amount": (1, 50, 100, 101, 400, 500, 501, -1, "5"),
    "language": ("en", "de"),
}  # fmt: skip
"""What is passed under each key, if anything is."""

_OF_TERMS: Final[Mapping[str, Sequence[str]]] = {
    "moded": ("mode", "method", "dry_run"),
    "branched": ("branch",),
    "outward": ("url",),
    "quiet": ("force",),
    "host": ("url",),
    "path": ("path",),
    "amount": ("amount",),
}
_ADDRESSES: Final = ("10.1.2.3", "10.200.0.1", "192.0.2.1")
_URIS: Final = (
    "file:///srv/public/a", "file:///srv/public/new", "file:///srv/secret/a", "note://one",
    "note://two", "not a uri",
)  # fmt: skip
_TASKS: Final[Mapping[str, Any]] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
_NAMED: Final = {
    "tools/call": "name", "prompts/get": "name", "resources/read": "uri", "tasks/get": "taskId",
}  # fmt: skip

Maker = Callable[["Callers", Principal, str], "Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """What is asked. `arguments` are its own, or those of the call that began its task."""

    method: str
    params: dict[str, Any]
    arguments: Mapping[str, Any]
    version: str = MODERN


@dataclass(frozen=True, slots=True)
class Made:
    """One request: whose it is, from where, to which server; `body` need not be acceptable."""

    principal: Principal
    address: str
    server: str
    headers: list[tuple[str, str]]
    body: bytes
    id: int
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the month: its handle, whose it is, and the call that began it."""

    handle: str
    principal: Principal
    server: str
    arguments: Mapping[str, Any]


class Callers:
    """Makes the calls, one after another."""

    def __init__(self, world: World, granted: Iterable[Fact], chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.tasks: list[Task] = []
        self._count = 0
        self._names = list(world.desks)
        self._usual: dict[object, list[str]] = {}
        for fact in granted:
            match fact.args:
                case (actor, _, Entity("Server", name)):
                    self._usual.setdefault(actor, []).append(name)

    def next(self, day: int) -> Made:
        """Return the next call, which is made on *day*."""
        chance = self.chance
        if self.tasks and chance.random() < 0.02:  # noqa: PLR2004
            task = chance.choice(self.tasks)
            params = {"taskId": task.handle}
            message = Message("tasks/get", params, task.arguments)
            return self._made(task.principal, task.server, message)
        actor = chance.choice(self.world.actors)
        server = chance.choice(self._usual[actor] if chance.random() < 0.92 else self._names)  # noqa: PLR2004
        if chance.random() < 0.005:  # noqa: PLR2004
            server = "nowhere"
        caller = self._caller(actor, day)
        maker = chance.choices(_MAKERS, _WEIGHTS)[0]
        return self._made(caller, server, maker(self, caller, server))

    def _caller(self, actor: Entity, day: int) -> Principal:
        chance, acts_for = self.chance, None
        if actor.type == "Client" and chance.random() < 0.15:  # noqa: PLR2004
            acts_for = chance.choice(self.world.users).id
        scope = ["write"] if chance.random() < 0.5 else []  # noqa: PLR2004
        return principal(actor.type, actor.id, f"{actor.id}-{day}", scope, acts_for)

    def _made(self, caller: Principal, server: str, message: Message) -> Made:
        self._count += 1
        params, version = message.params, message.version
        headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", version),
        ]
        if version == MODERN:
            meta = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": _TASKS,
            }
            params = {"_meta": meta, **params}
            headers.append(("Mcp-Method", message.method))
            if message.method in _NAMED:
                headers.append(("Mcp-Name", str(params[_NAMED[message.method]])))
        body = {"jsonrpc": "2.0", "id": self._count, "method": message.method, "params": params}
        if self.chance.random() < 0.005:  # noqa: PLR2004
            del body["jsonrpc"]
        address = self.chance.choice(_ADDRESSES)
        return Made(
            caller, address, server, headers, orjson.dumps(body), self._count, message.arguments
        )

    def tool(self, server: str) -> str:
        desk = self.world.desks.get(server)
        if desk is None or self.chance.random() < 0.02:  # noqa: PLR2004
            return "no_such_tool"
        return str(self.chance.choice(desk.items["tool"])["name"])

    def arguments(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return some arguments: most of *keys*, and now and then another."""
        chance = self.chance
        found = {key: chance.choice(ARGUMENTS[key]) for key in keys if chance.random() < 0.8}  # noqa: PLR2004
        if chance.random() < 0.3:  # noqa: PLR2004
            key = chance.choice([*ARGUMENTS])
            found[key] = chance.choice(ARGUMENTS[key])
        if chance.random() < 0.005:  # noqa: PLR2004
            found["Mode"] = "read"
        return found


def _call(callers: Callers, _caller: Principal, server: str) -> Message:
    name = callers.tool(server)
    term = callers.world.terms.get(Entity("Tool", f"{server}__{name}"), "")
    arguments = callers.arguments(_OF_TERMS.get(term, ()))
    return Message("tools/call", {"name": name, "arguments": arguments}, arguments)


def _prompt(callers: Callers, _caller: Principal, _server: str) -> Message:
    name = callers.chance.choice(["greet", "review", "none"])
    arguments = callers.arguments(["language"])
    return Message("prompts/get", {"name": name, "arguments": arguments}, arguments)


def _read(callers: Callers, _caller: Principal, _server: str) -> Message:
    return Message("resources/read", {"uri": callers.chance.choice(_URIS)}, {})


def _subscribe(callers: Callers, _caller: Principal, _server: str) -> Message:
    uri = callers.chance.choice(_URIS)
    return Message("resources/subscribe", {"uri": uri}, {}, LEGACY)


def _complete(callers: Callers, _caller: Principal, _server: str) -> Message:
    ref = callers.chance.choice(
        [
            {"type": "ref/prompt", "name": "greet"},
            {"type": "ref/resource", "uri": "note://{id}"},
            {"type": "ref/resource", "uri": "none://{id}"},
        ]
    )
    argument = {"name": "id", "value": "x"}
    return Message("completion/complete", {"ref": ref, "argument": argument}, {})


def _list(callers: Callers, _caller: Principal, _server: str) -> Message:
    kind = callers.chance.choice(["tools", "prompts", "resources", "resources/templates"])
    return Message(f"{kind}/list", {}, {})


def _level(_callers: Callers, _caller: Principal, _server: str) -> Message:
    return Message("logging/setLevel", {"level": "info"}, {}, LEGACY)


def _discover(_callers: Callers, _caller: Principal, _server: str) -> Message:
    return Message("server/discover", {}, {})


def _unknown(_callers: Callers, _caller: Principal, _server: str) -> Message:
    return Message("what/ever", {}, {})


_MAKERS: Final[Sequence[Maker]] = (
    _call, _prompt, _read, _subscribe, _complete, _list, _level, _discover, _unknown,
)  # fmt: skip
_WEIGHTS: Final = (78, 5, 7, 1, 2, 3, 1, 2, 0.5)
