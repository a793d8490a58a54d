"""Upstreams that answer in process, and what each of them offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from proxy.upstream.answers import Answer
from proxy.upstream.http import Pool
from proxy.upstream.offers import Offer, OfferKind, Offers, definition_hash
from proxy.upstream.reach import located
from proxy.wire.methods import VERSIONS

Item = dict[str, Any]

_NOWHERE: Final = "http://127.0.0.1:9/mcp"
_JSON: Final = MappingProxyType({b"content-type": b"application/json"})
_LISTS: Final[Mapping[str, tuple[str, OfferKind]]] = {
    "tools/list": ("tools", "tool"),
    "prompts/list": ("prompts", "prompt"),
    "resources/list": ("resources", "resource"),
    "resources/templates/list": ("resourceTemplates", "template"),
}
_NAMED: Final[Mapping[OfferKind, str]] = {
    "tool": "name", "prompt": "name", "resource": "uri", "template": "uriTemplate",
}  # fmt: skip
_RESULTS: Final[Mapping[str, Item]] = {
    "tools/call": {"content": []},
    "prompts/get": {"messages": []},
    "resources/read": {"contents": []},
    "completion/complete": {"completion": {"values": []}},
    "server/discover": {"supportedVersions": list(VERSIONS), "capabilities": {}},
}


class Desk(Pool):
    """An upstream called *name*. What it offers in `items` may be changed at any time."""

    def __init__(self, name: str) -> None:
        super().__init__(located(_NOWHERE, "loopback"))
        self.name = name
        self.items: dict[OfferKind, list[Item]] = {kind: [] for kind in _NAMED}
        self.tasks = 0

    @property
    def offers(self) -> Offers:
        found = [
            Offer(kind, one[_NAMED[kind]], definition_hash(kind, one), one)
            for kind, some in self.items.items()
            for one in some
        ]
        return Offers(VERSIONS, {}, tuple(found), ())

    async def post(
        self,
        headers: Sequence[tuple[bytes, bytes]],  # noqa: ARG002  as `Pool`
        body: bytes,
        *,
        deadline: float,  # noqa: ARG002
        repeatable: bool = False,  # noqa: ARG002
        endless: bool = False,  # noqa: ARG002
    ) -> Answer:
        asked = orjson.loads(body)
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": self._result(asked)}
        return Answer(200, "application/json", _JSON, orjson.dumps(answer))

    def _result(self, asked: Item) -> Item:
        method, params = asked["method"], asked.get("params") or {}
        if method in _LISTS:
            member, kind = _LISTS[method]
            return {member: self.items[kind]}
        if method == "tools/call" and params["name"].startswith("long_"):
            self.tasks += 1
            return {"resultType": "task", **_task(f"{self.name}-{self.tasks}")}
        if method.startswith("tasks/"):
            return _task(params["taskId"])
        return _RESULTS.get(method, {})


def _task(task_id: str) -> Item:
    return {"taskId": task_id, "status": "working", "ttlMs": 60_000}
