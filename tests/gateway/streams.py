"""Streams that an upstream has open and a test speaks in, and streams that a client listens to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.wire.sse import KEEP_ALIVE
from tests.gateway.harness import CI, PATH, Rig, may
from tests.gateway.raw import DEADLINE, LEGACY, MODERN, Header, Said, asking, request
from tests.gateway.raw import Line as Caller
from tests.upstream.scripted import CHUNKED, SSE, Line, chunk, head
from tests.upstream.speaking import GONE, Message, result_of, written

BEGINNING: Final = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
TOOLS, PROMPTS, RESOURCES = LISTS = (
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
)
"""What tells that a list changed."""
OPENING: Final = head(media=SSE, more=CHUNKED + b"Connection: close\r\n")


READER, OTHER = "reader", "other"
ONE, TWO = "note://one", "note://two"
ECHO: Final = {"name": "echo"}
FACTS: Final = (
    may(CI, "caller", "Server", "up"),
    may(OTHER, "caller", "Server", "up"),
    may(READER, "caller", "Document", f"up|{ONE}"),
    may(READER, "caller", "Tool", "up__echo"),
)
"""Two clients who may do everything, and one who may do little."""


def told(method: str, **params: object) -> Message:
    """Return a notification."""
    return {"jsonrpc": "2.0", "method": method} | ({"params": params} if params else {})


NEWS: Final = told(TOOLS)


def updated(uri: str) -> Message:
    return told("notifications/resources/updated", uri=uri)


# Upstream.


@dataclass
class Channel:
    """A stream of the upstream's that is open, and the request that it came of."""

    line: Line
    raw: bytes
    is_left: asyncio.Event = field(default_factory=asyncio.Event)
    """The gateway hung up."""

    @property
    def asked(self) -> Message:
        message: Message = json.loads(self.raw.partition(b"\r\n\r\n")[2])
        return message

    async def block(self, data: bytes) -> None:
        await self.line.send(chunk(data))

    async def say(self, message: object, fields: bytes = b"") -> None:
        await self.block(fields + b"data: %b\n\n" % written(message))

    async def answer(self, result: object, fields: bytes = b"") -> None:
        await self.say(result_of(self.asked, result), fields)

    async def end(self) -> None:
        await self.line.send(b"0\r\n\r\n")

    def cut(self) -> None:
        self.line.writer.transport.abort()

    async def left(self, seconds: float = 1.0) -> None:
        await asyncio.wait_for(self.is_left.wait(), seconds)


@dataclass
class Studio:
    """Opens a stream for each request that it is asked to, for the test to speak in."""

    channels: asyncio.Queue[Channel] = field(default_factory=asyncio.Queue)

    async def channel(self) -> Channel:
        return await asyncio.wait_for(self.channels.get(), DEADLINE)

    async def opens(self, line: Line, _asked: Message) -> None:
        raw = line.listener.seen[-1]
        if raw.startswith(b"DELETE "):
            await line.send(GONE)
            return
        await line.send(OPENING)
        await self._left_open(Channel(line, raw))

    async def keeps_silent(self, line: Line, _asked: Message) -> None:
        """Answer nothing, until the test does."""
        await self._left_open(Channel(line, line.listener.seen[-1]))

    async def opens_late(self, channel: Channel) -> None:
        """Begin the stream of a *channel* that was silent."""
        await channel.line.send(OPENING)

    async def _left_open(self, channel: Channel) -> None:
        self.channels.put_nowait(channel)
        try:
            await channel.line.until_hung_up()
        finally:
            channel.is_left.set()


@contextmanager
def streaming(rig: Rig, *methods: str, is_silent: bool = False) -> Iterator[Studio]:
    """Let the upstream open a stream for each of *methods*, of which GET is one, until the end.

    If it *is_silent* it waits before the head of its answer already.
    """
    studio = Studio()
    # To the desk whatever has no body is a DELETE.
    names = ["DELETE" if one == "GET" else one for one in methods]
    rig.desk.deeds |= dict.fromkeys(names, studio.keeps_silent if is_silent else studio.opens)
    try:
        yield studio
    finally:
        for one in names:
            del rig.desk.deeds[one]


# Downstream.


@dataclass
class Ear:
    """A client that listens to one answer."""

    line: Caller
    status: int
    headers: bytes
    heard: bytes = b""
    is_over: bool = False
    _held: bytes = b""

    async def block(self) -> bytes | None:
        """Return the next block with its end, comments aside; None when the stream has ended.

        Raises `IncompleteReadError` for one that breaks off.
        """
        while True:
            while b"\n\n" not in self._held:
                if self.is_over or not await self._more():
                    return None
            block, _, self._held = self._held.partition(b"\n\n")
            if block + b"\n\n" != KEEP_ALIVE:
                return block + b"\n\n"

    async def event(self) -> Any:  # noqa: ANN401  JSON
        """Return the next message; None when the stream has ended."""
        while (block := await self.block()) is not None:
            data = block.partition(b"data: ")[2].strip()
            if data:
                return json.loads(data)
        return None

    async def event_id(self) -> str:
        """Return the id of the next block."""
        block = await self.block()
        assert block is not None
        assert block.startswith(b"id: ")
        return block[4:].partition(b"\n")[0].decode()

    async def body(self) -> Any:  # noqa: ANN401  JSON
        """Return what an answer says that is no stream."""
        length = int(self.headers.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return json.loads(await self.line.reader.readexactly(length))

    async def _more(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            size = int(await self.line.reader.readuntil(b"\r\n"), 16)
            piece = await self.line.reader.readexactly(size + 2)
        self._held += piece[:-2]
        self.heard += piece[:-2]
        self.is_over = size == 0
        return not self.is_over


@asynccontextmanager
async def hearing(rig: Rig, raw: bytes) -> AsyncIterator[Ear]:
    """Send *raw* and listen until the block ends, which is when the client leaves."""
    async with rig.line() as line:
        await line.send(raw)
        async with asyncio.timeout(DEADLINE):
            said = await line.reader.readuntil(b"\r\n\r\n")
        yield Ear(line, int(said[9:12]), said)


async def session_of(rig: Rig, client: str = CI) -> str:
    """Return a session that *client* began."""
    said = await rig.ask("initialize", BEGINNING, version=LEGACY, client=client)
    found = said.header("mcp-session-id")
    assert found is not None
    return found


def getting(
    rig: Rig, session: str | None, more: Iterable[Header] = (), *, bearer: str | None = None
) -> bytes:
    """Return a GET in *session*."""
    fields = [
        ("Host", rig.host),
        ("Authorization", rig.bearer() if bearer is None else bearer),
        ("Accept", "text/event-stream"),
        ("MCP-Protocol-Version", LEGACY),
        *([] if session is None else [("Mcp-Session-Id", session)]),
    ]
    return request("GET", PATH, [*fields, *more])


async def get(
    rig: Rig, session: str | None = None, more: Iterable[Header] = (), *, client: str = CI
) -> Said:
    return await rig.say(getting(rig, session, more, bearer=rig.bearer(client)))


def posting(
    rig: Rig,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    version: str = MODERN,
    id_: object = 7,
    bearer: str | None = None,
    more: Iterable[Header] = (),
) -> bytes:
    """Return a well-formed POST."""
    body, headers = asking(method, params, version=version, id_=id_)
    who = ("Authorization", rig.bearer() if bearer is None else bearer)
    length = ("Content-Length", str(len(body)))
    return request("POST", PATH, [("Host", rig.host), who, *headers, *more, length], body)


@asynccontextmanager
async def tuned(
    rig: Rig, studio: Studio, session: str, more: Iterable[Header] = (), *, client: str = CI
) -> AsyncIterator[tuple[Ear, Channel]]:
    """Listen to a GET stream of *client*; the value is both its ends."""
    raw = getting(rig, session, more, bearer=rig.bearer(client))
    async with hearing(rig, raw) as ear:
        assert ear.status == 200, ear.headers
        yield ear, await studio.channel()


@asynccontextmanager
async def subscribed(
    rig: Rig,
    studio: Studio,
    wanted: Mapping[str, object],
    *,
    id_: object = 7,
    client: str = CI,
    bearer: str | None = None,
) -> AsyncIterator[tuple[Ear, Channel]]:
    """Listen to what *client* wants to hear of, once that is acknowledged as it was asked for."""
    who = rig.bearer(client) if bearer is None else bearer
    params = {"notifications": wanted}
    raw = posting(rig, "subscriptions/listen", params, id_=id_, bearer=who)
    async with hearing(rig, raw) as ear:
        assert ear.status == 200, ear.headers
        channel = await studio.channel()
        await channel.say(acknowledgement(channel.asked["params"]["notifications"]))
        yield ear, channel


def acknowledgement(heard: object) -> Message:
    return told("notifications/subscriptions/acknowledged", notifications=heard)


def counted(metrics: str, what: str) -> float:
    """Return the number of messages of *what* that were dropped."""
    return _value(metrics, f'what="{what}"')


def open_streams(metrics: str) -> float:
    return _value(metrics, "northgate_streams_open")


def left(metrics: str) -> float:
    """Return how many clients left before they had their answer."""
    return _value(metrics, 'reason="disconnected"')


def _value(metrics: str, what: str) -> float:
    lines = [one for one in metrics.splitlines() if what in one and not one.startswith("#")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0
