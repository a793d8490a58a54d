"""A way to the database on which the copying of the record meets faults, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tests.storage.postgres import Server

_MARK: Final = b"json_to_recordset"
"""What only a connection says on which the record is copied."""
_DELAY_SECONDS: Final = 0.3
_CHUNK: Final = 2**16


class Fault(StrEnum):
    """What happens to what such a connection carries."""

    DROP = "drop"
    DELAY = "delay"
    HALF_OPEN = "half-open"
    RESET = "reset"


@dataclass(eq=False)
class Line:
    """One connection, and whether the record is copied on it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    copies: bool = False

    def cut(self) -> None:
        for one in (self.client, self.server):
            one.transport.abort()


@dataclass
class Way:
    """Where the server is reached, with the fault of the moment."""

    server: Server
    port: int = 0
    fault: Fault | None = None
    hit: asyncio.Event = field(default_factory=asyncio.Event)
    lines: set[Line] = field(default_factory=set)

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def heal(self) -> None:
        """Let everything through, on new connections where the old ones met the fault."""
        self.fault = None
        for line in self.lines:
            if line.copies:
                line.cut()

    async def meet(self, client: asyncio.StreamReader, answering: asyncio.StreamWriter) -> None:
        server, asking = await asyncio.open_connection("127.0.0.1", self.server.port)
        line = Line(answering, asking)
        self.lines.add(line)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(line, client, asking))
                both.create_task(self._carry(line, server, answering))
        except* OSError:
            pass
        finally:
            self.lines.discard(line)
            line.cut()

    async def _carry(
        self, line: Line, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        while chunk := await source.read(_CHUNK):
            line.copies = line.copies or _MARK in chunk
            if line.copies and not await self._passes(line, target):
                continue
            target.write(chunk)
            await target.drain()
        with suppress(OSError):
            target.write_eof()

    async def _passes(self, line: Line, target: asyncio.StreamWriter) -> bool:
        """Do to *line* what the fault of now does, and tell whether what it carries arrives."""
        if self.fault is None:
            return True
        self.hit.set()
        match self.fault:
            case Fault.DROP:
                return False
            case Fault.DELAY:
                await asyncio.sleep(_DELAY_SECONDS)
            case Fault.HALF_OPEN:
                return target is line.server
            case Fault.RESET:
                line.cut()
        return True


@asynccontextmanager
async def way_to(server: Server) -> AsyncIterator[Way]:
    way = Way(server)
    listener = await asyncio.start_server(way.meet, "127.0.0.1", 0)
    way.port = listener.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        listener.close()
        for line in list(way.lines):
            line.cut()
        async with asyncio.timeout(5):
            while way.lines:  # noqa: ASYNC110  each ends by itself
                await asyncio.sleep(0.005)
        await listener.wait_closed()
