"""An agent as anybody would write it: the client of the `mcp` package, with a bearer token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

_READ_SECONDS: Final = 30.0


TROUBLE: Final = (MCPError, httpx2.HTTPError, OSError)
"""What ends a conversation, perhaps in a group: the gateway refuses, or it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the agent was told: a result, or an error with its code.

    `decision_id` is that of the record, where the error names one.
    """

    text: str
    code: int | None = None
    decision_id: str | None = None


@asynccontextmanager
async def connected(url: str, token: str | None = None) -> AsyncIterator[Client]:
    """Run a client of the MCP server at *url* for as long as the block lasts."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    # Proxies that the environment names are for the world outside.
    async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, read_timeout_seconds=_READ_SECONDS) as client:
            yield client


async def tool_names(client: Client) -> list[str]:
    """Return the names of the tools that *client* is told of."""
    names = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        names += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return names


async def call(client: Client, tool: str, arguments: Mapping[str, str]) -> Told:
    """Call *tool* and return what the agent is told."""
    try:
        result = await client.call_tool(tool, dict(arguments))
    except MCPError as error:
        data = error.data if isinstance(error.data, dict) else {}
        return Told(error.message, error.code, data.get("decision_id"))
    return Told(" ".join(one.text for one in result.content if isinstance(one, TextContent)))


def first_of(troubles: BaseExceptionGroup[Exception]) -> str:
    """Return what the first of *troubles* says."""
    first: BaseException = troubles
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    text = first.message if isinstance(first, MCPError) else f"{type(first).__name__} {first}"
    return text.removesuffix(".")
