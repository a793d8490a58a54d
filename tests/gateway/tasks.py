"""An upstream that makes tasks of calls, clients who own some, and what they ask of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from tests.gateway.desk import echo, offering
from tests.gateway.handles import (
    CAPABILITIES,
    OWN,
    RELATED,
    TASKS,
    Sessions,
    able,
    attentive,
    in_form,
    overheard,
)
from tests.gateway.harness import CI, PATH, Rig, may, shared
from tests.gateway.raw import ERAS, LEGACY, MODERN, Said
from tests.upstream.scripted import whole
from tests.upstream.speaking import (
    Message,
    Speech,
    events,
    gives,
    result_of,
    written,
)

OTHER = "/servers/other/mcp"
ANN, BOB, ONE = "ann", "bob", "one"
"""Two who may do everything on `up`, and one who may call a single tool of it."""

ECHO, FETCH = Entity("Tool", "up__echo"), Entity("Tool", "up__fetch")
HOST = Fact("allowed_host", (FETCH, "ok.example"))
FACTS = (
    *(may(one, "caller", "Server", "up") for one in (CI, ANN, BOB)),
    *(may(one, "caller", "Server", "other") for one in (CI, ANN)),
    may(ONE, "caller", "Tool", "up__echo"),
    may(CI, "caller", "Tool", "up__fetch"),
    Fact("has_tag", (FETCH, "guarded")),
    HOST,
)
METHODS = {
    LEGACY: ("tasks/get", "tasks/result", "tasks/cancel"),
    MODERN: ("tasks/get", "tasks/update", "tasks/cancel"),
}
EACH_METHOD = [(era, method) for era, methods in METHODS.items() for method in methods]

each_era = pytest.mark.parametrize("era", ERAS)
each_carrier = pytest.mark.parametrize("carrier", ["json", "stream"])
each_method = pytest.mark.parametrize(("era", "method"), EACH_METHOD)


@dataclass
class Works:
    """An upstream that makes a task of a call, if it may, and has a name of its own for each."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def call(self, asked: Message, carrier: str = "json", **more: object) -> bytes:
        params = asked["params"]
        declared = (params.get("_meta") or {}).get(CAPABILITIES) or {}
        if "task" not in params and TASKS not in declared.get("extensions", {}):
            return echo(asked)
        self.count += 1
        task = self.state(f"{OWN}-task-{self.count}") | more
        self.ids.append(str(task["taskId"]))
        if "task" in params:
            return in_form(carrier, {"task": task})(asked)
        return in_form(carrier, {"resultType": "task"} | task)(asked)

    def state(self, task_id: str) -> Message:
        return {"taskId": task_id, "status": "working", "ttl": 60_000, "ttlMs": 60_000}

    def get(self, asked: Message) -> bytes:
        return whole(written(result_of(asked, self.state(asked["params"]["taskId"]))))

    def result(self, asked: Message) -> bytes:
        meta = {RELATED: {"taskId": asked["params"]["taskId"]}, "kept": 1}
        return whole(written(result_of(asked, {"content": [], "_meta": meta})))

    def listed(self, asked: Message) -> bytes:
        tasks = [self.state(one) for one in self.ids]
        return whole(written(result_of(asked, {"tasks": tasks})))

    @property
    def speeches(self) -> dict[str, Speech]:
        return offering() | {
            "initialize": Sessions().initialize,
            "tools/call": self.call,
            "tasks/get": self.get,
            "tasks/cancel": self.get,
            "tasks/result": self.result,
            "tasks/update": gives({}),
            "tasks/list": self.listed,
        }


@contextmanager
def working(directory: Path) -> Iterator[tuple[Rig, Works]]:
    """Run a gateway that is listened to: nothing that it tells may be an upstream's own."""
    works = Works()
    speeches = {"up": works.speeches, "other": Works().speeches}
    with (
        attentive(),
        overheard() as heard,
        shared(directory, speeches=speeches, facts=FACTS) as rig,
    ):
        yield rig, works
        assert [one for one in heard if OWN.encode() in one] == []


async def task_of(
    rig: Rig,
    era: str,
    client: str = CI,
    *,
    tool_: str = "echo",
    where: str = PATH,
    **arguments: object,
) -> str:
    """Let *client* begin a task, and return the handle that it gets."""
    said = await started(rig, era, client, tool_=tool_, where=where, **arguments)
    result = said.message["result"]
    handle: str = (result["task"] if era == LEGACY else result)["taskId"]
    return handle


async def started(
    rig: Rig,
    era: str,
    client: str = CI,
    *,
    tool_: str = "echo",
    where: str = PATH,
    **arguments: object,
) -> Said:
    params: dict[str, Any] = {"name": tool_, "arguments": arguments}
    params |= {"task": {"ttl": 60_000}} if era == LEGACY else able()
    return await rig.ask("tools/call", params, version=era, client=client, path=where)


def unknown(said: Said) -> bool:
    return said.status == 200 and said.code == -32602 and b"Unknown task" in said.body


async def listed(rig: Rig, client: str = CI, **params: object) -> Said:
    return await rig.ask("tasks/list", params, version=LEGACY, client=client)


async def own_list(rig: Rig, client: str = CI) -> list[str]:
    said = await listed(rig, client)
    assert said.status == 200
    return [one["taskId"] for one in said.message["result"]["tasks"]]


def telling(*messages: Message) -> Speech:
    """Say *messages*, and then answer with nothing in particular."""
    return lambda asked: events(*messages, result_of(asked, {}))


def note(method: str, **params: object) -> Message:
    return {"jsonrpc": "2.0", "method": method, "params": params}
