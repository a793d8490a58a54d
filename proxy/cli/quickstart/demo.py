"""A small MCP server to guard: some notes, and pages that are never really fetched."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

import uvicorn
from mcp.server import MCPServer
from mcp.types import ToolAnnotations

PATH: Final = "/mcp"
HOST: Final = "127.0.0.1"

_STOP_SECONDS: Final = 5.0


def notes_server() -> MCPServer:
    """Return a server of both protocol eras, whose notes live as long as it does."""
    server = MCPServer("demo", version="1.0", instructions="Keeps notes.")
    notes: list[str] = []

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def list_notes() -> str:
        """List the notes."""
        return "\n".join(notes) or "There are no notes."

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False))
    def add_note(text: str) -> str:
        """Keep a note."""
        notes.append(text)
        return f"Noted: {text}"

    @server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=True))
    def fetch_page(url: str) -> str:
        """Fetch a page. As this is a demonstration, nothing leaves the machine."""
        return f"would fetch {url}"

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True))
    def delete_all_notes() -> str:
        """Delete every note, for good."""
        notes.clear()
        return "All notes are gone."

    return server


@contextmanager
def serving(listener: socket.socket) -> Iterator[None]:
    """Serve the notes on *listener* until the block ends, in a thread of its own."""
    config = uvicorn.Config(
        notes_server().streamable_http_app(),
        # What it has to say goes where everything that libraries log goes.
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],), name="demo-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
