"""A raw upstream on a real socket, which does exactly what a test says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from proxy.upstream.addresses import Upstream, upstream

JSON = b"application/json"
SSE = b"text/event-stream"


@dataclass
class Line:
    """One connection, as the upstream sees it. `number` counts connections from 1."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    listener: Listener

    async def request(self) -> bytes:
        """Return the next request, head and body. Raises `IncompleteReadError` at the end."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
        body = await self.reader.readexactly(int(length[1]) if length else 0)
        self.listener.seen.append(head + body)
        self.listener.asked.set()
        return head + body

    async def send(self, *pieces: bytes) -> None:
        # Not `writelines`, which in Python 3.13.0 takes any amount without ever making anyone wait.
        self.writer.write(b"".join(pieces))
        await self.writer.drain()

    async def until_hung_up(self) -> None:
        while await self.reader.read(65536):
            pass


Script = Callable[[Line], Awaitable[None]]


@dataclass
class Listener:
    upstream: Upstream
    seen: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    """Connections that are not over."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """A request was read."""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """A connection is over for the upstream."""


@asynccontextmanager
async def listening(
    script: Script, *, tls: SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Listener]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        listener.connections += 1
        listener.open += 1
        try:
            await script(Line(reader, writer, listener.connections, listener))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            listener.hung_up.set()
            listener.open -= 1
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if tls is None else "https"
    listener = Listener(upstream(f"{scheme}://{host}:{port}/mcp", loopback=True))
    try:
        yield listener
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def eventually(wish: Callable[[], bool], seconds: float = 10) -> None:
    """Return once *wish* holds. Raises `TimeoutError` if it does not in time."""
    async with asyncio.timeout(seconds):
        while not wish():  # noqa: ASYNC110  a wish has no event
            await asyncio.sleep(0.005)


def whole(
    body: bytes, *, media: bytes = JSON, more: bytes = b"", status: bytes = b"200 OK"
) -> bytes:
    """Return a well-formed answer of known length; *more* are header lines with their ends."""
    length = b"Content-Length: %d\r\n" % len(body)
    return (
        b"HTTP/1.1 "
        + status
        + b"\r\nContent-Type: "
        + media
        + b"\r\n"
        + more
        + length
        + b"\r\n"
        + body
    )


def head(*, media: bytes = JSON, more: bytes = b"") -> bytes:
    """Return the head of an answer; without *more*, its body ends with the connection."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: " + media + b"\r\n" + more + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
