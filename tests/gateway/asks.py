"""A world in which upstreams ask clients: who may be asked what, and both sides of the talk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from policies.model import Entity, Fact
from tests.gateway.harness import CI, Rig, is_answer, may, shared, until
from tests.gateway.raw import LEGACY, Header, Said
from tests.gateway.streams import Channel, Ear, hearing, posting, streaming, told, tuned
from tests.upstream.speaking import Message, written

FEW, PUZZLED, CHANGING = "few", "puzzled", "changing"
SAMPLE, ELICIT, ROOTS = RIGHTS = ("sample", "elicit", "list_roots")
"""Rights, and the clients that have that one right beside a tool, a prompt and a document."""

CANARY: Final = "canary-61c0de"

# The last rule takes more steps than a question may, and finds nothing.
POLICY = """
declare right(Client, String, Server);
declare number(Integer);

has_permission(client: Client, action: String, server: Server) if right(client, action, server);

has_permission(client: Client, "sample", _: Server) if
  client = Client{"puzzled"}
  and number(a) and number(b) and a > b
  and number(c) and b > c and c > a;
"""


def right(client: str, action: str) -> Fact:
    return Fact("right", (Entity("Client", client), action, Entity("Server", "up")))


FACTS = (
    may(CI, "caller", "Server", "up"),
    *(may(one, "caller", "Tool", "up__echo") for one in (FEW, PUZZLED, CHANGING, *RIGHTS)),
    *(may(one, "caller", "Prompt", "up__greet") for one in RIGHTS),
    *(may(one, "caller", "Document", "up|note://one") for one in RIGHTS),
    *(right(one, one) for one in RIGHTS),
    *(Fact("number", (n,)) for n in range(160)),
)

FORM = {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object"}}
ASKS: Final[Mapping[str, tuple[str, Message]]] = {
    "sampling/createMessage": (SAMPLE, {"messages": [], "maxTokens": 9, "includeContext": "none"}),
    "elicitation/create": (ELICIT, FORM),
    "roots/list": (ROOTS, {"_meta": {"progressToken": 3}}),
}
"""What is asked, the right that it needs, and its params."""


def world(directory: Path) -> AbstractContextManager[Rig]:
    """Run a gateway whose clients have one right each, all of them, or none."""
    return shared(directory, policy=POLICY, facts=FACTS)


@asynccontextmanager
async def talking(
    rig: Rig, way: str, client: str, *, session: str = "s-1", version: str = LEGACY
) -> AsyncIterator[tuple[Ear, Channel]]:
    """Let *client* listen to the upstream: to the answer of a call, or to what it says at all."""
    shown = rig.session(client, session, version)
    if way == "GET":
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, shown[1], client=client) as both:
                yield both
        return
    raw = posting(
        rig, "tools/call", {"name": "echo"}, version=version, bearer=rig.bearer(client),
        more=[shown],
    )  # fmt: skip
    with streaming(rig, "tools/call") as studio:
        async with hearing(rig, raw) as ear:
            assert ear.status == 200
            yield ear, await studio.channel()


def asking(method: str, params: object = None, id_: object = 5) -> Message:
    message = {"jsonrpc": "2.0", "id": id_, "method": method}
    return message if params is None else message | {"params": params}


async def reply(
    rig: Rig, handle: object, outcome: Message, *, client: str = CI, more: tuple[Header, ...] = ()
) -> Said:
    """Answer the request *handle* as *client*, in its session unless *more* is shown instead."""
    headers = [
        ("Authorization", rig.bearer(client)),
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", LEGACY),
        *(more or (rig.session(client),)),
    ]
    return await rig.post(headers, written({"jsonrpc": "2.0", "id": handle} | outcome))


async def answers(rig: Rig, since: int, count: int = 1) -> list[tuple[dict[str, str], Message]]:
    """Return headers and body of the answers that the upstream got, once there are *count*."""

    def found() -> list[bytes]:
        return [raw for raw in rig.upstream.seen[since:] if is_answer(raw)]

    await until(lambda: len(found()) >= count)
    read = []
    for raw in found():
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        read.append((lines, json.loads(body)))
    assert len(read) == count
    return read


def decided(rig: Rig, since: int) -> list[tuple[str, ...]]:
    """Return what was decided on: method, action, verdict and reason of each."""
    keys = ("method", "action", "verdict", "reason")
    return [tuple(one.payload[key] for key in keys) for one in rig.records()[since:]]


OUTCOMES: Final[tuple[Message, ...]] = (
    {"result": {"action": "accept", "content": {"a": "\u00e4"}}},
    {"error": {"code": -1, "message": "The user said no.", "data": {"x": 1}}},
)


def refused(message: Message, id_: object, code: int) -> bool:
    told_of: object = (message["id"], message["error"]["code"])
    return told_of == (id_, code)


MARK = told("notifications/message", level="info", data="mark")


async def hears_nothing(ear: Ear, channel: Channel, rig: Rig, client: str) -> None:
    """Say something that *client* may hear, and see that it is what it hears next."""
    await rig.state(right(client, "set_log_level"))
    await channel.say(MARK)
    assert await ear.event() == MARK
    await rig.unstate(right(client, "set_log_level"))
    assert CANARY.encode() not in ear.heard


def messages(rig: Rig, since: int = 0) -> list[Message]:
    """Return what the upstream was sent."""
    return [json.loads(raw.partition(b"\r\n\r\n")[2] or b"{}") for raw in rig.upstream.seen[since:]]


def fail(*_args: object) -> int:
    raise OSError(28, "No space left")


async def mended(rig: Rig) -> None:
    """Return once calls are recorded again."""
    async with asyncio.timeout(10):
        while (said := await rig.ask("tools/call", {"name": "echo"})).status != 200:
            assert (said.status, said.code) == (503, 50302)
            await asyncio.sleep(0.01)
