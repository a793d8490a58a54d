"""What goes over the wire while the gateway is measured: one call, its answer, and the catalogue.

Every answer that an upstream gives is fixed, so that a server which cannot read bodies can give it:
it looks at `Mcp-Method` alone. The ids of the catalogue are those that the gateway's own questions
have, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from policies.model import Entity, Fact

VERSION: Final = "2026-07-28"
CLIENT: Final = "bench"
TOOL: Final = "post"
LIMIT: Final = 500
"""The most that the policy lets the tool be called with."""

AMOUNTS: Final = tuple(range(LIMIT - 63, LIMIT + 1))
"""What the tool is called with, so that no two calls in a row are the same question."""

FAST, SLOW = "fast", "slow"
"""The gateway's names of the upstream that answers at once, and of the one that takes its time."""

TOO_MUCH_CODE: Final = 40301
"""The code of the denial that a call over the limit gets."""

_ID: Final = 7


class Request(NamedTuple):
    """What a load sends again and again, `bodies` in turns, and the one answer that is right."""

    path: str
    headers: dict[str, str]
    bodies: tuple[bytes, ...]
    answer: bytes


def path(server: str) -> str:
    return f"/servers/{server}/mcp"


def call(server: str, token: str, amounts: Iterable[int] = AMOUNTS) -> Request:
    """Return calls of the guarded tool of *server*, one with each of *amounts*."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": TOOL,
    }
    return Request(path(server), headers, tuple(map(_call, amounts)), ANSWERS["tools/call"])


def facts() -> tuple[Fact, ...]:
    """Return the grants by which the client may call the tool within its limit."""
    client = Entity("Client", CLIENT)
    tools = [Entity("Tool", f"{server}__{TOOL}") for server in (FAST, SLOW)]
    return (
        *(Fact("has_role", (client, "caller", Entity("Server", name))) for name in (FAST, SLOW)),
        *(Fact("has_tag", (tool, "guarded")) for tool in tools),
        *(Fact("amount_limit", (tool, LIMIT)) for tool in tools),
    )


def _call(amount: int) -> bytes:
    arguments = {
        "account": "4711-0815",
        "amount": amount,
        "currency": "EUR",
        "memo": "Office supplies for the second quarter, as agreed on with the supplier",
        "approved": True,
        "lines": [{"item": "paper", "count": 12}, {"item": "ink", "count": 3}],
    }
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1.0"},
    }
    params = {"name": TOOL, "arguments": arguments, "_meta": meta}
    return orjson.dumps({"jsonrpc": "2.0", "id": _ID, "method": "tools/call", "params": params})


def _answer(id_: int, result: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {"jsonrpc": "2.0", "id": id_, "result": {"resultType": "complete"} | result}
    )


_DEFINITION: Final = {
    "name": TOOL,
    "description": "Post an amount to an account.",
    "inputSchema": {
        "type": "object",
        "properties": {"account": {"type": "string"}, "amount": {"type": "integer"}},
        "required": ["account", "amount"],
    },
}

ANSWERS: Final = {
    "server/discover": _answer(
        1,
        {
            "supportedVersions": [VERSION],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "ledger", "version": "1.0"},
        },
    ),
    "tools/list": _answer(2, {"tools": [_DEFINITION]}),
    "tools/call": _answer(
        _ID,
        {
            "content": [
                {"type": "text", "text": "Posted to account 4711-0815 as its entry 90125 today."}
            ],
            "isError": False,
        },
    ),
}
"""The answer to each method that an upstream is asked."""
