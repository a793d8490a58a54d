"""A server of both eras, made with FastMCP: `python tests/live/fastmcp_server.py PORT`.

It runs in an environment of its own, where nothing of ours can be imported. It says where it
listens on its first line of output; port 0 is any that is free.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastmcp import FastMCP  # type: ignore[import-not-found]  # in the environment it runs in

server = FastMCP("fast", version="1.0", instructions="Tests call this server.")


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


def whisper(text: str) -> str:
    """Say it softer."""
    return text.lower()


def count(words: list[str]) -> int:
    """Count words."""
    return len(words)


def brief(topic: str) -> str:
    """Ask for a brief."""
    return f"Write a brief about {topic}."


def fixed_page() -> str:
    """Read the page that is always there."""
    return "A page."


def page(number: str) -> str:
    """Read any other page."""
    return f"Page {number}."


def main(port: int) -> None:
    for tool in (shout, whisper, count):
        server.tool(tool)
    server.prompt(brief)
    server.resource("page://fixed", mime_type="text/plain")(fixed_page)
    server.resource("page://{number}", mime_type="text/plain")(page)
    # Bound before the address is told, so whoever reads it is let in from then on.
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)  # noqa: T201
        config = uvicorn.Config(server.http_app(), log_level="warning", ws="none")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
