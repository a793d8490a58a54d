"""One request's answer, from bytes to `Answer`. A new one, with a new parser, for every request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from proxy.upstream.answers import EVENT_STREAM, Answer, Stream
from proxy.upstream.failures import Kind, UpstreamError, hostile, timed_out
from proxy.upstream.limits import Limits

_PASSED_ON: Final = frozenset({b"content-type", b"mcp-session-id"})
# Two of any of these, and two readers may disagree about which one counts.
_READ_ONCE: Final = _PASSED_ON | {b"content-length", b"transfer-encoding"}
_VALUES: Final = {
    b"content-type": re.compile(rb"[\t\x20-\x7e]*"),
    b"mcp-session-id": re.compile(rb"[\x21-\x7e]+"),
}
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_SEPARATORS: Final = len(b": \r\n")
_BODILESS: Final = frozenset({204, 304})


class Exchange:
    """Reads one answer (RFC 9112). `answer` is done when a body is whole or a stream begins."""

    __slots__ = (
        "_framing", "_head_bytes", "_headers", "_in_body", "_is_complete", "_is_stream", "_last",
        "_life_end", "_limits", "_media_type", "_parser", "_pieces", "_size", "_status", "_stream",
        "_until", "answer", "ends_by_close", "keep_alive", "started",
    )  # fmt: skip

    def __init__(self, limits: Limits, *, until: float, loop: asyncio.AbstractEventLoop) -> None:
        """Expect a whole answer, or the head of a stream, by the loop's time *until*."""
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.started = False
        self.keep_alive = False
        self.ends_by_close = False
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._limits = limits
        self._until = until
        self._life_end = until
        self._last = until
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._stream: Stream | None = None
        self._size = 0
        self._head_bytes = 0
        self._framing = 0
        self._status = 0
        self._media_type = ""
        self._is_stream = False
        self._in_body = False
        self._is_complete = False

    @property
    def is_full(self) -> bool:
        return self._stream is not None and self._stream.held > self._limits.held_bytes

    @property
    def begins_stream(self) -> bool:
        return self._is_stream and self._stream is None and not self.answer.done()

    def feed(self, data: bytes) -> bool:
        """Read on, and tell whether the answer is whole. Raises `UpstreamError`."""
        if self._parser is None:
            return True
        self.started = True
        size = self._size
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise hostile(Kind.UPGRADE, "the answer changes the protocol") from None
        except HttpParserError as error:
            raise _cause(error) from None
        # Bounds what the parser holds back: an endless name, a long run of interim answers.
        self._framing = self._framing + len(data) if self._size == size else 0
        if self._framing > self._limits.header_bytes:
            raise hostile(Kind.TOO_LARGE, "headers or framing without end")
        return self._is_complete

    def start_stream(
        self, now: float, *, resume: Callable[[], None], abandon: Callable[[], None]
    ) -> None:
        """Answer with the stream whose head has been read."""
        self._stream = Stream(resume=resume, abandon=abandon)
        self._last, self._life_end = now, now + self._limits.stream_life
        for piece in self._pieces:
            self._stream.push(piece)
        self._pieces.clear()
        self.answer.set_result(self._answer(stream=self._stream))

    def touch(self, now: float) -> None:
        self._last = now

    def due(self) -> float:
        """Return the loop's time at which this is late, as far as is known now."""
        if self._stream is None:
            return self._until
        return min(self._life_end, self._last + self._limits.stream_idle)

    def lateness(self) -> UpstreamError:
        if self._stream is None:
            return timed_out(Kind.ANSWER, "no whole answer in time")
        return timed_out(Kind.STREAM, "the stream fell silent or did not end in time")

    def finish(self) -> None:
        """Deliver what is whole."""
        self._parser = None  # it and this object hold each other
        if self._stream is not None:
            self._stream.end()
        elif not self.answer.done():
            self.answer.set_result(self._answer(body=b"".join(self._pieces)))

    def fail(self, error: UpstreamError) -> None:
        self._parser = None
        if self._stream is not None:
            self._stream.end(error)
        elif not self.answer.done():
            self.answer.set_exception(error)

    def drop(self) -> None:
        """Read no further; nobody waits for what would come."""
        self._parser = None

    # What the parser calls, in the order of an answer.

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise hostile(Kind.MALFORMED, "bytes after the end of the answer")
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + _SEPARATORS
        if self._head_bytes > self._limits.header_bytes:
            raise hostile(Kind.TOO_LARGE, "headers over the limit")
        if self._in_body:
            return  # a trailer is counted, and means nothing
        name = name.lower()
        if name in _READ_ONCE:
            if name in self._headers:
                raise hostile(Kind.MALFORMED, f"{name!r} twice")
            self._headers[name] = value
        elif name == b"content-encoding":
            raise hostile(Kind.ENCODING, "an encoding that was not asked for")

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None or parser.get_http_version() not in _VERSIONS:
            raise hostile(Kind.MALFORMED, "another version of HTTP")
        status = parser.get_status_code()
        if status < 200:  # noqa: PLR2004  interim answers (RFC 9110, section 15.2)
            if status == 101:  # noqa: PLR2004  the one that is not followed by another
                raise hostile(Kind.UPGRADE, "the answer changes the protocol")
            return
        self._status = status
        self._check_head(status)
        self.keep_alive = parser.should_keep_alive()
        self._in_body = True

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._stream is not None:
            self._stream.push(piece)
            return
        self._pieces.append(piece)
        if self._size > self._limits.body_bytes and not self._is_stream:
            raise hostile(Kind.TOO_LARGE, "a body over the limit")

    def on_message_complete(self) -> None:
        self._is_complete = self._in_body

    def _check_head(self, status: int) -> None:
        if 300 <= status < 400:  # noqa: PLR2004  redirection (RFC 9110, section 15.4)
            raise hostile(Kind.REDIRECT, f"status {status}")
        if status >= 600:  # noqa: PLR2004  beyond RFC 9110, section 15
            raise hostile(Kind.MALFORMED, f"status {status}")
        headers = self._headers
        for name, pattern in _VALUES.items():
            if name in headers and pattern.fullmatch(headers[name]) is None:
                raise hostile(Kind.MALFORMED, f"the value of {name!r}")
        self._media_type = _media_type(headers.get(b"content-type", b""))
        self._is_stream = status < 300 and self._media_type == EVENT_STREAM  # noqa: PLR2004
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise hostile(Kind.ENCODING, "a transfer coding other than chunked")
        length = headers.get(b"content-length")
        self.ends_by_close = coding is None and length is None and status not in _BODILESS
        if length is not None and not self._is_stream:
            self._check_length(length)

    def _check_length(self, length: bytes) -> None:
        # The parser has seen to it that these are digits that fit 64 bits.
        if int(length) > self._limits.body_bytes:
            raise hostile(Kind.TOO_LARGE, "a body announced over the limit")

    def _answer(self, *, body: bytes = b"", stream: Stream | None = None) -> Answer:
        headers = {name: value for name, value in self._headers.items() if name in _PASSED_ON}
        return Answer(self._status, self._media_type, headers, body, stream)


def _media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode()


def _cause(error: HttpParserError) -> UpstreamError:
    """Return what one of our own callbacks raised, or what the parser found."""
    cause = error.__context__
    return cause if isinstance(cause, UpstreamError) else hostile(Kind.MALFORMED, str(error))
