"""What the official conformance suite calls: `python -m tests.live.conformance_server PORT`.

A server of both eras, with sessions whose streams can be resumed. It says where it listens on its
first line of output; port 0 is any that is free. `GET /seen` tells how many messages of each method
it has seen, those apart that the gateway sends on its own account.
"""

from __future__ import annotations

import json
import socket
import sys
import warnings
from collections import Counter
from typing import Any, Final

import uvicorn
from mcp import MCPDeprecationWarning
from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import (
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmptyResult,
    JSONRPCMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.live.conformance_offers import offer_prompts, offer_resources
from tests.live.conformance_rounds import offer_rounds
from tests.live.conformance_tasks import TaskExtension
from tests.live.conformance_tools import offer_tools, schema_tool

RETRY_MILLISECONDS: Final = 100
GATEWAY: Final = "northgate"
"""The name by which the gateway introduces itself where nobody asked it to call."""


class Events(EventStore):
    """Keeps the messages of all streams in memory, in the order they were sent.

    Streams of two sessions may have one name, so clients that resume must not run side by side.
    """

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        last = int(last_event_id)
        stream, _ = self._events[last - 1]
        for number, (name, message) in enumerate(self._events[last:], last + 1):
            if name == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class Witness:
    """Counts what comes in, by method; what answers the server's own requests is a `response`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._seen: Counter[str] = Counter()
        self._sessions_of_the_gateway: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/seen":
            await JSONResponse(self._seen)(scope, receive, send)
        else:
            await self._watch(scope, receive, send)

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        message = _read(body)
        session = dict(scope["headers"]).get(b"mcp-session-id")
        is_gateway = session in self._sessions_of_the_gateway or _sender(message) == GATEWAY
        if not is_gateway:
            self._seen[_label(scope["method"], message)] += 1
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        async def noting(sent: Message) -> None:
            if is_gateway and sent["type"] == "http.response.start":
                begun = dict(sent["headers"]).get(b"mcp-session-id")
                self._sessions_of_the_gateway |= set() if begun is None else {begun}
            await send(sent)

        await self._app(scope, again, noting)


async def _body(receive: Receive) -> bytes:
    pieces, more = [], True
    while more:
        piece = await receive()
        pieces.append(piece.get("body", b""))
        more = piece.get("more_body", False)
    return b"".join(pieces)


def _read(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _sender(message: dict[str, Any]) -> object:
    """Return the name by which whoever sent *message* introduces itself in it, if it does."""
    match message:
        case {"params": {"clientInfo": {"name": name}}}:
            return name
        case {"params": {"_meta": {"io.modelcontextprotocol/clientInfo": {"name": name}}}}:
            return name
    return None


def _label(verb: str, message: dict[str, Any]) -> str:
    if verb != "POST":
        return verb
    is_response = "result" in message or "error" in message
    return "response" if is_response else str(message.get("method"))


async def _complete(
    _ctx: ServerRequestContext[Any], params: CompleteRequestParams
) -> CompleteResult:
    known = ("test-1", "test-2")
    values = [value for value in known if value.startswith(params.argument.value)]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))


async def _accept(_ctx: ServerRequestContext[Any], _params: object) -> EmptyResult:
    return EmptyResult()


def made() -> MCPServer:
    """Return the server with all that it offers."""
    server = MCPServer(
        "conformance",
        version="1.0",
        log_level="WARNING",
        tools=[schema_tool()],
        extensions=[TaskExtension()],
    )
    offer_tools(server)
    offer_rounds(server)
    offer_prompts(server)
    offer_resources(server)
    # The friendly server has no words for these, most of which are of the legacy era alone.
    add = server._lowlevel_server.add_request_handler  # noqa: SLF001
    add("completion/complete", CompleteRequestParams, _complete)
    add("logging/setLevel", SetLevelRequestParams, _accept)
    add("resources/subscribe", SubscribeRequestParams, _accept)
    add("resources/unsubscribe", UnsubscribeRequestParams, _accept)
    return server


def main(port: int) -> None:
    # The suite wants what is deprecated, too.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    app = made().streamable_http_app(event_store=Events(), retry_interval=RETRY_MILLISECONDS)
    # Bound before the address is told, so whoever reads it is let in from then on.
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"http://localhost:{listener.getsockname()[1]}/mcp", flush=True)  # noqa: T201
        config = uvicorn.Config(
            Witness(app),
            # The other parser leaves the spaces after a header's value (RFC 9110, 5.5).
            http="h11",
            log_level="warning",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
