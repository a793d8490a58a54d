"""What tests of handles share: clients that come back, and an ear at all that clients are told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.gateway import desk
from tests.gateway.harness import CI, PATH, Rig
from tests.gateway.raw import ENVELOPE, LEGACY, MODERN, Header, Line, Said
from tests.upstream.scripted import SSE, whole
from tests.upstream.speaking import Message, Speech, result_of, understood, written

OWN: Final = "own-7c41d9"
"""What every handle of an upstream's own begins with, so that none is overlooked."""

TASKS: Final = "io.modelcontextprotocol/tasks"
RELATED: Final = "io.modelcontextprotocol/related-task"
SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"


@contextmanager
def overheard() -> Iterator[list[bytes]]:
    """Collect the bytes of every answer to a client until the block ends."""
    heard: list[bytes] = []

    with pytest.MonkeyPatch.context() as patch:
        plain = Line.answer

        async def answer(line: Line) -> Said:
            said = await plain(line)
            heard.append(repr(said.headers).encode() + said.raw)
            return said

        patch.setattr(Line, "answer", answer)
        yield heard


@contextmanager
def attentive() -> Iterator[None]:
    """Let desks tell a GET from a DELETE, neither of which has a body."""

    def read(raw: bytes) -> tuple[str, Message]:
        if raw.startswith(b"GET "):
            return "GET", {"method": "GET"}
        return understood(raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, "understood", read)
        yield


def messages_of(said: Said) -> list[Any]:
    """Return the messages of a stream, some of whose events may hold none."""
    lines = said.body.split(b"\n")
    return [json.loads(one[6:]) for one in lines if one.startswith(b"data: {")]


def in_form(carrier: str, result: object, **more: bytes) -> Speech:
    """Return the speech that gives *result*, whole or as an event."""

    def speech(asked: Message) -> bytes:
        answer = result_of(asked, result)
        if carrier == "json":
            return whole(written(answer), **more)
        return whole(b"data: %b\n\n" % written(answer), media=SSE, **more)

    return speech


def able(*names: str) -> dict[str, Any]:
    """Return what a modern client that knows tasks, and *names*, says with each request."""
    declared: dict[str, object] = {name: {} for name in names}
    declared["extensions"] = {TASKS: {}}
    return {"_meta": ENVELOPE | {CAPABILITIES: declared}}


async def begun(rig: Rig, client: str = CI, *, path: str = PATH) -> str:
    """Return the handle of a new session of *client*."""
    params = {"protocolVersion": LEGACY, "capabilities": {}}
    said = await rig.ask("initialize", params, version=LEGACY, client=client, path=path)
    handle = said.header("mcp-session-id")
    assert said.status == 200
    assert handle is not None
    return handle


def in_session(handle: str) -> list[Header]:
    return [("Mcp-Session-Id", handle)]


async def bare(
    rig: Rig, verb: str, handle: str, client: str = CI, *, more: list[Header] | None = None
) -> Said:
    """Send a GET or a DELETE in a session."""
    headers = [
        ("Authorization", rig.bearer(client)),
        ("Accept", "text/event-stream"),
        ("MCP-Protocol-Version", LEGACY),
        *in_session(handle),
        *(more or []),
    ]
    return await rig.post(headers, b"", verb=verb)


async def of_task(
    rig: Rig,
    method: str,
    handle: str,
    *,
    era: str,
    client: str = CI,
    path: str = PATH,
    **more: object,
) -> Said:
    """Ask something of the task *handle*."""
    params: dict[str, Any] = {"taskId": handle} | more
    named: list[Header] = []
    if era == MODERN:
        params = able() | params
        named = [("Mcp-Name", handle)]
    return await rig.ask(method, params, version=era, client=client, path=path, more=named)


def told(rig: Rig, server: str = "up") -> Message:
    """Return the last message that an upstream got."""
    message: Message = json.loads(rig.listeners[server].seen[-1].partition(b"\r\n\r\n")[2])
    return message


@dataclass
class Sessions:
    """An upstream that keeps sessions: each has an id of its own."""

    count: int = 0
    known: set[str] = field(default_factory=set)

    def initialize(self, asked: Message) -> bytes:
        self.count += 1
        session = f"{OWN}-session-{self.count}"
        self.known.add(session)
        beginning: Mapping[str, Any] = {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}, "tasks": {"list": {}, "cancel": {}}},
        }
        more = f"Mcp-Session-Id: {session}\r\n".encode()
        return whole(written(result_of(asked, beginning)), more=more)
