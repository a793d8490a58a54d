"""Calls by hand, through the control plane of a gateway with an upstream of either era."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from policies.model import Entity, Fact
from proxy.admin.issuing import Author, wanted_for
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from storage.journal import Record
from tests.gateway.desk import Deed, offering
from tests.gateway.harness import CI, Rig, free_port, is_answer, may, shared, until
from tests.gateway.raw import Said, request
from tests.gateway.streams import OPENING
from tests.upstream.scripted import Line, Listener, chunk
from tests.upstream.speaking import (
    EVERYTHING,
    Message,
    Speech,
    legacy,
    result_of,
    understood,
    written,
)

ADMIN_URL: Final = "http://localhost:8081"
NEW, OLD, OFF = "up", "old", "off"
ERAS: Final = (NEW, OLD)
"""An upstream that speaks both eras, one that speaks the legacy one alone, and one that is down."""

ANN, EVE, SUE = "ann", "eve", "sue"
"""A user who may call one tool, one who may do nothing, and one who is suspended."""

CAREFUL: Final = "careful"
"""A client that may say one thing alone."""

USERS: Final = frozenset({ANN, EVE, SUE})
POLICY: Final = """
has_permission(client: Client, "connect", _: Server) if client = Client{"careful"};

has_permission(client: Client, "call", tool: Tool) if
  client = Client{"careful"} and argument(tool, "text", "please");
"""


def _user(name: str) -> Entity:
    return Entity("User", name)


FACTS: Final = (
    *(may(CI, "caller", "Server", one) for one in (NEW, OLD, OFF)),
    *(
        Fact("has_role", (_user(who), "caller", Entity("Tool", f"{one}__echo")))
        for who in (ANN, SUE)
        for one in ERAS
    ),
    Fact("is_suspended", (_user(SUE),)),
    *(Fact("is_disabled", (Entity("Tool", f"{one}__wipe"),)) for one in ERAS),
)


def world(directory: Path, **settings: object) -> Any:  # noqa: ANN401  as `shared`
    """Run the gateway; *settings* by their dotted names, with two underscores for a dot."""
    old = offering() | legacy(**EVERYTHING)
    return shared(
        directory,
        speeches={NEW: offering(), OLD: old},
        urls={OFF: f"http://127.0.0.1:{free_port()}/mcp"},
        policy=POLICY,
        facts=FACTS,
        settings={name.replace("__", "."): value for name, value in settings.items()},
    )


async def token(rig: Rig, who: str = CI) -> str:
    """Return a token of the control plane."""
    type_ = ActorType.USER if who in USERS else ActorType.CLIENT
    wanted = wanted_for(type_, who, ADMIN_URL, 600)
    author = Author({"type": "System", "id": "test"}, "System:test")
    issued = await rig.gateway.issuing.issue(Plane.CONTROL, wanted, author)
    return issued.text.reveal().decode()


async def asked(rig: Rig, what: str, body: object, who: str = CI) -> bytes:
    """Return the bytes of a request for *what*."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [
        ("Host", f"127.0.0.1:{rig.gateway.control[1]}"),
        ("Authorization", f"Bearer {await token(rig, who)}"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(sent))),
    ]
    return request("POST", f"/api/v0/{what}", headers, sent)


async def ask(rig: Rig, what: str, body: object, who: str = CI) -> Said:
    return await rig.say(await asked(rig, what, body, who), plane="control")


async def invoke(
    rig: Rig, name: str, arguments: Mapping[str, Any] | None = None, who: str = CI
) -> Said:
    return await ask(rig, "tools/invoke", {"name": name, "arguments": arguments or {}}, who)


def asks(method: str, params: Message) -> Deed:
    """Return what a tool does that asks for something, and is done once it has an answer."""

    async def deed(line: Line, asked: Message) -> None:
        before = len(answers(line.listener))
        request = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params}
        await line.send(OPENING, chunk(b"data: %b\n\n" % written(request)))
        await until(lambda: len(answers(line.listener)) > before)
        result = written(result_of(asked, {"content": []}))
        await line.send(chunk(b"data: %b\n\n" % result), b"0\r\n\r\n")

    return deed


def answers(listener: Listener) -> list[Message]:
    """Return what clients have answered to what this upstream asked."""
    return [json.loads(raw.partition(b"\r\n\r\n")[2]) for raw in listener.seen if is_answer(raw)]


@contextmanager
def saying(rig: Rig, speeches: Mapping[str, Speech]) -> Iterator[None]:
    """Let the upstreams of both eras say *speeches* until the block ends."""
    desks = [rig.desks[one] for one in ERAS]
    before = [dict(desk.speeches) for desk in desks]
    for desk in desks:
        desk.speeches |= speeches
    try:
        yield
    finally:
        for desk, speeches_before in zip(desks, before, strict=True):
            desk.speeches = speeches_before


def seen(rig: Rig, server: str, method: str = "tools/call") -> int:
    """Return how often the upstream was asked for *method*."""
    asked = [one for one in rig.listeners[server].seen if not is_answer(one)]
    return [understood(one)[0] for one in asked].count(method)


def about(records: list[Record], type_: str = "Tool") -> list[Record]:
    """Return the decisions of *records* on a resource of that type."""
    return [one for one in records if one.payload["resource"]["type"] == type_]
