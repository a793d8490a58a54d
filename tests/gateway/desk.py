"""An upstream that speaks both eras, says what a test tells it to, and counts what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.wire.methods import VERSIONS
from tests.upstream.scripted import Line, whole
from tests.upstream.speaking import (
    ACCEPTED,
    EVERYTHING,
    GONE,
    SESSION,
    Message,
    Speech,
    gives,
    refuses,
    result_of,
    says,
    understood,
    written,
)

TOOLS: Final = ("echo", "wipe", "fetch", "mirror")
PROMPTS: Final = ("greet", "plot")
DOCUMENTS: Final = ("note://one", "note://two")
TEMPLATES: Final = ("note://{id}", "plan://{id}")
"""What the usual upstream offers, in its order."""

MIRROR: Final = {
    "type": "object",
    "properties": {"where": {"type": "string", "x-mcp-header": "Where"}},
}


Deed = Callable[[Line, Message], Awaitable[None]]


@dataclass
class Desk:
    """Answers each method with its speech, which a test may replace; any other does not exist.

    An empty answer is silence. Where there is a `gate`, no answer is given before it is set. What a
    `deed` does with its connection is up to it, and the connection ends with it.
    """

    speeches: dict[str, Speech]
    gate: asyncio.Event | None = None
    hangs_up: bool = False
    deeds: dict[str, Deed] = field(default_factory=dict)

    @contextmanager
    def hanging_up(self) -> Iterator[None]:
        """Let each connection end with its answer until the block ends."""
        self.hangs_up = True
        try:
            yield
        finally:
            self.hangs_up = False

    async def script(self, line: Line) -> None:
        while True:
            method, asked = understood(await line.request())
            if self.gate is not None:
                await self.gate.wait()
            if method in self.deeds:
                await self.deeds[method](line, asked)
                return
            answer = self.speeches.get(method, refuses(-32601))(asked)
            if not answer:
                await line.until_hung_up()
                return
            await line.send(answer)
            if self.hangs_up:
                line.writer.write_eof()
                return


def tool(name: str, **more: Any) -> Message:  # noqa: ANN401  members of any type
    return {"name": name, "description": f"To {name}.", "inputSchema": {"type": "object"}} | more


def prompt(name: str) -> Message:
    return {"name": name, "description": f"To {name}."}


def document(uri: str) -> Message:
    return {"uri": uri, "name": uri}


def template(uri: str) -> Message:
    return {"uriTemplate": uri, "name": uri}


def tools_of(names: Sequence[str] = TOOLS) -> list[Message]:
    return [tool(one, inputSchema=MIRROR) if one == "mirror" else tool(one) for one in names]


def offering(tools: Sequence[Message] | None = None) -> dict[str, Speech]:
    """Return what the usual upstream says."""
    introduction = {
        "supportedVersions": list(VERSIONS),
        "capabilities": EVERYTHING,
        "serverInfo": {"name": "desk", "version": "1"},
    }
    beginning = {"protocolVersion": "2025-11-25", "capabilities": EVERYTHING}
    listed = tools_of() if tools is None else list(tools)
    return {
        "server/discover": gives(introduction),
        "initialize": gives(beginning, more=SESSION),
        "notifications/initialized": says(ACCEPTED),
        "notifications/cancelled": says(ACCEPTED),
        "ping": gives({}),
        "DELETE": says(GONE),
        "tools/list": gives({"tools": listed}),
        "prompts/list": gives({"prompts": [prompt(one) for one in PROMPTS]}),
        "resources/list": gives({"resources": [document(one) for one in DOCUMENTS]}),
        "resources/templates/list": gives(
            {"resourceTemplates": [template(one) for one in TEMPLATES]}
        ),
        "tools/call": echo,
        "prompts/get": gives({"messages": []}),
        "resources/read": reads,
        "completion/complete": gives({"completion": {"values": []}}),
        "logging/setLevel": gives({}),
    }


def echo(asked: Message) -> bytes:
    """Answer with what was asked for."""
    text = written(asked["params"].get("arguments", {})).decode()
    return whole(written(result_of(asked, {"content": [{"type": "text", "text": text}]})))


def hangs_up(asked: Message) -> bytes:
    """End the connection without an answer."""
    raise ConnectionAbortedError(asked["method"])


def reads(asked: Message) -> bytes:
    uri = asked["params"]["uri"]
    if uri not in DOCUMENTS:
        error = {"code": -32002, "message": f"no {uri} in the cellar"}
        return whole(written({"jsonrpc": "2.0", "id": asked["id"], "error": error}))
    return whole(written(result_of(asked, {"contents": [{"uri": uri, "text": "A note."}]})))
