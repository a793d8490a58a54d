"""A server of both eras, made with the `mcp` package: `python -m tests.live.dual_era_server PORT`.

It says where it listens on its first line of output; port 0 is any that is free.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("dual-era", version="1.0", instructions="Tests call this server.")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool(
    annotations=ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fetch(url: str) -> str:
    """Pretend to fetch a page. Nothing leaves this process."""
    return f"fetched {url}"


@server.tool()
async def slow(seconds: float) -> str:
    """Answer after a while."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def fail(why: str) -> str:
    """Fail, always."""
    raise ToolError(why)


@server.prompt()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Greet {name} warmly."


@server.resource("note://static", mime_type="text/plain")
def static_note() -> str:
    """Read the one note that is always there."""
    return "A note."


@server.resource("note://{id}", mime_type="text/plain")
def note(id: str) -> str:  # noqa: A002  the name in the template
    """Read any other note."""
    return f"Note {id}."


def main(port: int) -> None:
    # Bound before the address is told, so whoever reads it is let in from then on.
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)  # noqa: T201
        config = uvicorn.Config(server.streamable_http_app(), log_level="warning", ws="none")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
