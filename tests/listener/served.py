"""A listener on a real socket, what reached its handler, and a client that says what it is told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from proxy.listener.answers import Answer, EventStream
from proxy.listener.incoming import Incoming
from proxy.listener.limits import Limits
from proxy.listener.listener import Listener
from proxy.listener.names import Names

DEADLINE = 5.0
"""Seconds in which anything awaited here happens, or the test fails."""

ANSWER = b'{"answer":true}'

HOST = b"HOST"
"""Stands for the listener's name and port in what a client says."""

Wish = Callable[[], bool]
Run = Callable[[Coroutine[object, object, None]], None]

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@dataclass
class Seen:
    """One request that reached the handler, with its whole body."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass
class Served:
    listener: Listener = field(init=False)
    host: str = ""
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    entered: int = 0
    left: int = 0

    @property
    def name(self) -> bytes:
        return b"localhost:%d" % self.port

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        return Client(reader, writer, self.name)

    async def ask(self, raw: bytes) -> bytes:
        """Return all that comes back on a connection of its own, until the listener ends it."""
        async with self.client() as client:
            await client.say(raw)
            return await client.rest()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = await self.connect()
        try:
            yield client
        finally:
            client.hang_up()


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    name: bytes

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw.replace(HOST, self.name))
        await self.writer.drain()

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def head(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> bytes:
        """Return one answer of known length, head and body."""
        head = await self.head()
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"Content-Length" in line
        )
        async with asyncio.timeout(DEADLINE):
            return head + await self.reader.readexactly(length)

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(end)

    def hang_up(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        """Leave with a reset instead of a goodbye."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Serve = Callable[[Served, Incoming], Awaitable[Answer | EventStream]]


@asynccontextmanager
async def serving(
    handler: Serve | None = None,
    *,
    limits: Limits | None = None,
    origins: Iterable[str] = (),
    hosts: Iterable[str] = (),
) -> AsyncIterator[Served]:
    """Serve on a free port; without *handler*, answer each whole request with `ANSWER`."""
    answer = handler or note

    async def handle(incoming: Incoming) -> Answer | EventStream:
        served.entered += 1
        try:
            return await answer(served, incoming)
        finally:
            served.left += 1

    served = Served()
    served.listener = Listener(
        handle,
        limits or Limits(),
        Names(frozenset(hosts), frozenset(origins)),
        served.refusals.append,
        served.errors.append,
    )
    served.host, served.port = await served.listener.start("127.0.0.1", 0)
    try:
        yield served
    finally:
        await served.listener.stop(0)


async def note(served: Served, incoming: Incoming) -> Answer:
    body = await incoming.body()
    served.seen.append(
        Seen(incoming.method, incoming.path, incoming.query, tuple(incoming.headers), body)
    )
    return Answer(200, ANSWER)


async def eventually(wish: Wish, seconds: float = DEADLINE) -> None:
    """Return once *wish* holds. Raises `TimeoutError` if it does not in time."""
    async with asyncio.timeout(seconds):
        while not wish():  # noqa: ASYNC110  a wish has no event
            await asyncio.sleep(0.005)
