"""What an upstream answered: one whole body, or a stream that is read as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.upstream.failures import UpstreamError

EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """The final response to one request; never 1xx or 3xx.

    `media_type` is in lower case and without parameters, empty if there was none. `headers` holds
    at most `content-type` and `mcp-session-id`. Of `body` and `stream`, `body` is empty where there
    is a `stream`, which is when the answer is an event stream with a 2xx status. Whoever is given a
    stream reads it to its end or calls its `close`.
    """

    status: int
    media_type: str
    headers: Mapping[bytes, bytes]
    body: bytes = b""
    stream: Stream | None = None


class Stream(AsyncIterator[bytes]):
    """The body of an event stream, in chunks as they arrive; for one reader.

    Iterating raises `UpstreamError` when the stream is cut, late, or malformed. When the reader is
    cancelled, or calls `close`, the connection is closed with it.
    """

    __slots__ = ("_abandon", "_chunks", "_ended", "_error", "_resume", "_waiter", "held")

    def __init__(self, *, resume: Callable[[], None], abandon: Callable[[], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: UpstreamError | None = None
        self._resume = resume
        self._abandon = abandon
        self.held = 0
        """Bytes that arrived and were not read yet."""

    def push(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self.held += len(chunk)
        self._wake()

    def end(self, error: UpstreamError | None = None) -> None:
        self._ended = True
        self._error = error
        self._resume = self._abandon = _nothing  # else this and the exchange hold each other
        self._wake()

    def close(self) -> None:
        """Drop what was not read; if there is more to come, close the connection."""
        self._chunks.clear()
        self.held = 0
        if not self._ended:
            abandon = self._abandon
            self.end()
            abandon()

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._arrival()
        chunk = self._chunks.popleft()
        self.held -= len(chunk)
        if not self._ended:
            self._resume()
        return chunk

    async def _arrival(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nothing() -> None:
    """Do nothing: the connection has moved on."""
