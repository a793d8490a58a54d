"""A connection that leads nowhere: a request of the gateway's own, and the answer to it, read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion10, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.listener.incoming import Ending, Incoming
from proxy.listener.limits import Limits
from proxy.listener.refusals import Refusal
from proxy.wire import sse
from proxy.wire.jsonrpc import Message, Notification, Request, Response, decode_upstream

MOST_HEARD: Final = 8 * 1024 * 1024
"""Bytes of one event stream, whatever it holds beside the response."""

_HEAD_END: Final = b"\r\n\r\n"
_BUFFER: Final = 2**16


class TooMuchError(Exception):
    """An event stream has more in it than is read of one."""


class Ear(asyncio.Transport):
    """Takes an answer that is an event stream as it is written, and keeps what it says.

    `response` is the one in it, `requests` are those of the upstream that were not looked at yet.
    Writing raises `TooMuchError` once too much was said.
    """

    def __init__(self) -> None:
        super().__init__()
        self.response: Response | None = None
        self.requests: deque[Request] = deque()
        self._parser = sse.Parser(max_event=MOST_HEARD)
        self._left = MOST_HEARD
        self._is_head = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        part = bytes(data)
        if self._is_head:
            _, end, part = part.partition(_HEAD_END)
            self._is_head = not end
        self._left -= len(part)
        if self._left < 0:
            raise TooMuchError
        for event in self._parser.feed(part):
            if event.data:  # the first of a stream that can be resumed is empty
                self._hear(decode_upstream(event.data, limit=len(event.data)))

    def get_write_buffer_size(self) -> int:
        return 0

    def _hear(self, message: Message) -> None:
        match message:
            case Response():
                self.response = message
            case Request():
                self.requests.append(message)
            case Notification():
                """News of progress has nobody to go to."""


class Loopback:
    """The line of such a request. *asked* is awaited with each request of the upstream."""

    def __init__(
        self, peer: str, body_bytes: int, asked: Callable[[Request], Awaitable[None]]
    ) -> None:
        self.limits = Limits(body_bytes=body_bytes)
        self.is_retiring = False
        self.broken: StreamReader | None = None
        self.stream: Ending | None = None
        self.ear = Ear()
        self._peer = peer
        self._asked = asked

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def transport(self) -> asyncio.Transport:
        return self.ear

    @property
    def writing_paused(self) -> bool:
        return bool(self.ear.requests)

    async def drained(self) -> None:
        while self.ear.requests:
            await self._asked(self.ear.requests.popleft())

    def drop(self, reason: Refusal) -> None:
        """Do nothing: what is written here is always taken."""


def request_on(
    line: Loopback, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> Incoming:
    """Return the request that comes on *line*, all of it at once."""
    lines = CIMultiDictProxy(CIMultiDict(headers))
    raw = tuple((name.encode(), value.encode()) for name, value in lines.items())
    # In this version of HTTP a stream comes without any framing, and ends with its connection.
    message = RawRequestMessage(
        method,
        path,
        HttpVersion10,
        lines,
        raw,
        should_close=True,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL(path),
    )
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), _BUFFER, loop=loop)
    payload.feed_data(body)
    payload.feed_eof()
    return Incoming(message, payload, line, None)
