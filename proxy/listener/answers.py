"""What is sent back: one answer made of prepared bytes, or a stream of events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from proxy.listener.incoming import Incoming, Line
from proxy.listener.pacing import Watch
from proxy.wire.sse import KEEP_ALIVE

JSON: Final = b"application/json"

# One `%b` for all, so that a line break in a name or a value is seen wherever it is (T19).
_FIELDS: Final = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?:[!-~](?:[ !-~]*[!-~])?)?\r\n)*")
_MEDIA: Final = re.compile(rb"[A-Za-z0-9.+/-]+(?:; ?[a-z]+=[A-Za-z0-9.-]+)*")
_OURS: Final = frozenset(
    {b"connection", b"content-length", b"content-type", b"cache-control", b"transfer-encoding"}
)

_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_CLOSE: Final = b"Connection: close\r\n\r\n"
_END: Final = b"\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_PIECE: Final = 64 * 1024
"""Written at once: what a peer does not read is held in pieces no larger."""

_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache, no-transform\r\n"
    b"X-Accel-Buffering: no\r\n"
)


class Answer:
    """A whole answer. It may be kept, and sent any number of times.

    Raises `ValueError` for a status that is not final, a body where HTTP allows none, and headers
    that are not ASCII, hold a control character, or are the listener's to write.
    """

    __slots__ = ("_head", "body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        media: bytes = JSON,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        head = _head(status, media if body else None)
        if status not in _BODILESS:
            head = b"%b%d\r\n" % (head, len(body))
        elif body:
            raise ValueError("An answer with this status has no body.")
        self._head = head + _fields(headers) if headers else head

    async def send(self, incoming: Incoming) -> bool:
        """Write the answer, and tell whether the connection may go on.

        Raises `ConnectionError` if the peer is gone.
        """
        line = incoming.line
        ends = incoming.ends
        _transport(line).write(self.render(ends=ends))
        if line.writing_paused or len(self.body) > _PIECE:
            await self._send_rest(line)
        return not ends

    def render(self, *, ends: bool) -> bytes:
        """Return head and body, of a long body the beginning."""
        return b"%b%b%b" % (self._head, _CLOSE if ends else _END, self.body[:_PIECE])

    async def _send_rest(self, line: Line) -> None:
        watch = Watch(line, line.limits.write_seconds)
        try:
            await line.drained()
            for start in range(_PIECE, len(self.body), _PIECE):
                piece = self.body[start : start + _PIECE]
                _transport(line).write(piece)
                watch.wrote(len(piece))
                await line.drained()
        finally:
            watch.stop()


class EventStream:
    """An answer that is an event stream, sent once.

    Each item of *events* is written as it comes; it holds whole blocks of the stream. *events* is
    closed, if it has `aclose`, however the stream ends, and maybe before it was begun. A stream
    that *is_endless* ends as soon as the listener stops; any other is given the time of a call.
    Times that are not given are the listener's. Raises `ValueError` as `Answer` does.
    """

    __slots__ = (
        "_events",
        "_fields",
        "_is_told",
        "_keep_alive_seconds",
        "_task",
        "_write_seconds",
        "headers",
        "is_endless",
        "status",
    )

    def __init__(
        self,
        events: AsyncIterator[bytes],
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        keep_alive_seconds: float | None = None,
        write_seconds: float | None = None,
        is_endless: bool = False,
    ) -> None:
        self.status = HTTPStatus.OK
        self.headers = headers
        self.is_endless = is_endless
        self._events = events
        self._fields = _fields(headers)
        self._keep_alive_seconds = keep_alive_seconds
        self._write_seconds = write_seconds
        self._task: asyncio.Task[None] | None = None
        self._is_told = False

    async def send(self, incoming: Incoming) -> bool:
        """Write the stream to its end, and tell whether the connection may go on.

        Raises `ConnectionError` if the peer is gone, and whatever *events* raises.
        """
        line = incoming.line
        self._task = asyncio.current_task()
        try:
            flow = self._flow(incoming)
            line.stream = self
            try:
                await self._relay(flow)
            finally:
                line.stream = None
                flow.stop()
        finally:
            await self._close()
        flow.end()
        return not incoming.ends

    async def abandon(self) -> None:
        """Close a stream that will not be sent, because nobody is there any more."""
        await self._close()

    def finish(self) -> None:
        """End the stream cleanly, now."""
        if self._task is not None and not self._is_told:
            self._is_told = True
            self._task.cancel()

    def _flow(self, incoming: Incoming) -> _Flow:
        limits = incoming.line.limits
        flow = _Flow(
            incoming,
            limits.keep_alive_seconds
            if self._keep_alive_seconds is None
            else self._keep_alive_seconds,
            limits.write_seconds if self._write_seconds is None else self._write_seconds,
        )
        flow.begin(self._fields)
        return flow

    async def _relay(self, flow: _Flow) -> None:
        try:
            async for block in self._events:
                await flow.pass_on(block)
        except asyncio.CancelledError:
            # Told to end, this is where it ends; whoever else cancels means it.
            if not self._is_told or self._task is None or self._task.uncancel() > 0:
                raise
            flow.check()

    async def _close(self) -> None:
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


class _Flow:
    """Blocks of one event stream on their way out, and signs of life between them."""

    __slots__ = ("_is_chunked", "_is_closing", "_is_whole", "_last", "_line", "_quiet", "_watch")

    def __init__(self, incoming: Incoming, quiet: float, stalled: float) -> None:
        self._line = incoming.line
        self._is_chunked = incoming.takes_chunks
        self._is_closing = incoming.ends or not self._is_chunked
        self._is_whole = True
        self._quiet = quiet
        self._last = asyncio.get_running_loop().time()
        self._watch = Watch(self._line, stalled, often=quiet, on_look=self._show_life)

    def begin(self, fields: bytes) -> None:
        framing = b"Transfer-Encoding: chunked\r\n" if self._is_chunked else b""
        end = _CLOSE if self._is_closing else _END
        self._put(b"%b%b%b%b" % (_STREAM_HEAD, framing, fields, end))

    async def pass_on(self, block: bytes) -> None:
        self._last = asyncio.get_running_loop().time()
        self._is_whole = False
        for start in range(0, len(block), _PIECE):
            self._write(block[start : start + _PIECE])
            await self._line.drained()
        # A comment in the middle of an event would become part of it.
        self._is_whole = block.endswith(b"\n\n")

    def end(self) -> None:
        if self._is_chunked:
            self._put(_LAST_CHUNK)

    def check(self) -> None:
        """Raise `ConnectionError` if the peer is gone."""
        _transport(self._line)

    def stop(self) -> None:
        self._watch.stop()

    def _show_life(self, now: float) -> None:
        if self._is_whole and now - self._last >= self._quiet:
            self._last = now
            self._write(KEEP_ALIVE)

    def _write(self, data: bytes) -> None:
        # An empty chunk would be the last one; no block of a stream is empty.
        self._put(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def _put(self, data: bytes) -> None:
        _transport(self._line).write(data)
        self._watch.wrote(len(data))


def _transport(line: Line) -> asyncio.Transport:
    transport = line.transport
    if transport is None:
        raise ConnectionResetError("The peer is gone.")
    return transport


@lru_cache(maxsize=256)
def _head(status: int, media: bytes | None) -> bytes:
    """Return an answer's head as far as it does not change, down to `Content-Length: `."""
    if status < HTTPStatus.OK:
        raise ValueError("An answer has a final status.")
    lines = [b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode())]
    if media is not None:
        if _MEDIA.fullmatch(media) is None:
            raise ValueError("A media type is a type, a subtype and plain parameters.")
        lines.append(b"Content-Type: " + media)
    lines.append(b"Cache-Control: no-store")
    lines.append(b"" if status in _BODILESS else b"Content-Length: ")
    return b"\r\n".join(lines)


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    fields = b"".join([b"%b: %b\r\n" % field for field in headers])
    if fields.count(b"\n") != len(headers) or _FIELDS.fullmatch(fields) is None:
        raise ValueError("A header has a name or a value that HTTP does not allow.")
    if any(name.lower() in _OURS for name, _ in headers):
        raise ValueError("A header is set that the listener writes itself.")
    return fields
