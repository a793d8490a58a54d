"""One request as it came, with nothing added."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import StreamReader, hdrs
from aiohttp.http import HttpVersion11, RawRequestMessage

from proxy.listener.limits import Limits
from proxy.listener.refusals import LateError, MalformedError, Refusal, TooLargeError

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Line(Protocol):
    """The connection that a request came on."""

    limits: Limits
    is_retiring: bool
    """It ends with the answer that is being made."""
    broken: StreamReader | None
    """The body whose framing broke, after which nothing on this connection can be trusted."""
    stream: Ending | None
    """The event stream that is being sent."""

    @property
    def peer(self) -> str: ...

    @property
    def transport(self) -> asyncio.Transport | None: ...

    @property
    def writing_paused(self) -> bool:
        """Tell whether more was written than the peer takes."""

    async def drained(self) -> None:
        """Return once the peer has taken most of what was written."""

    def drop(self, reason: Refusal) -> None:
        """Count *reason* and hang up at once."""


class Ending(Protocol):
    """Something long that can be brought to a clean end."""

    is_endless: bool

    def finish(self) -> None: ...


class Incoming:
    """One request. Its target, framing, `Host` and `Origin` have been checked, nothing else.

    `path` is raw, exactly as it was sent, and made of `A-Z a-z 0-9 . _ ~ / -` alone; `query` is
    what followed a `?`, raw too and not otherwise checked than for being visible ASCII.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_payload",
        "_task",
        "is_cut_off",
        "line",
        "message",
        "method",
        "path",
        "query",
    )

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        line: Line,
        task: asyncio.Task[None] | None,
    ) -> None:
        self.message = message
        self.method: str = message.method
        self.path, _, self.query = message.path.partition("?")
        self.line = line
        self.is_cut_off = False
        """It was not understood, or not wholly read, so what follows cannot be trusted."""
        self._payload = payload
        self._body: bytes | None = None
        self._headers: tuple[tuple[str, str], ...] | None = None
        self._task = task

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """All header lines in order, repeated ones too. Names are as they were spelt."""
        if self._headers is None:
            self._headers = tuple(self.message.headers.items())
        return self._headers

    @property
    def remote(self) -> str:
        """The peer's address, whatever any header says."""
        return self.line.peer

    @property
    def takes_chunks(self) -> bool:
        """Tell whether an answer of unknown length may be chunked."""
        return bool(self.message.version is HttpVersion11)

    @property
    def ends(self) -> bool:
        """Tell whether the connection ends with the answer to this request."""
        if self.message.should_close or self.message.version is not HttpVersion11:
            return True
        if self.is_cut_off or self.line.is_retiring or self.line.broken is not None:
            return True
        # Who waits for leave to send a body and is answered instead may send it or not: only a new
        # connection is clear about what the next bytes are.
        return not self._payload.is_eof() and hdrs.EXPECT in self.message.headers

    @property
    def is_surprised(self) -> bool:
        """Tell whether the peer may go on sending, if the connection ends with this request."""
        return self.is_cut_off or not self.message.should_close

    async def body(self) -> bytes:
        """Return the whole body.

        Raises `TooLargeError`, `LateError` or `MalformedError`; the connection then ends with the
        answer. Left to the listener, they are answered with 413, 408 and 400.
        """
        if self._body is None:
            try:
                self._body = await self._read()
            except BaseException:
                self.is_cut_off = True
                raise
        return self._body

    async def _read(self) -> bytes:
        if self._payload.is_eof():
            body = self._payload.read_nowait(-1)
        else:
            body = await self._receive()
        if self.line.broken is self._payload:
            raise MalformedError
        if len(body) > self.line.limits.body_bytes:
            raise TooLargeError
        return body

    async def _receive(self) -> bytes:
        limit = self.line.limits.body_bytes
        if int(self.message.headers.get(hdrs.CONTENT_LENGTH, "0")) > limit:
            raise TooLargeError
        self._invite()
        blocks, size = [], 0
        try:
            async with asyncio.timeout(self.line.limits.body_seconds):
                while block := await self._payload.readany():
                    blocks.append(block)
                    size += len(block)
                    if size > limit:
                        raise TooLargeError
        except TimeoutError:
            raise LateError from None
        return b"".join(blocks)

    def _invite(self) -> None:
        expected = self.message.headers.get(hdrs.EXPECT, "")
        if expected.lower() == "100-continue" and self.line.transport is not None:
            self.line.transport.write(_CONTINUE)

    # What aiohttp's protocol asks of a request.

    def _cancel(self, _why: BaseException) -> None:
        """Do nothing: who reads the body is cancelled with the rest of the handler."""

    def _finish(self) -> None:
        """Do nothing: there is nothing to release."""
