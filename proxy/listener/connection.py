"""One connection: aiohttp's protocol, with limits on time and size, and no words of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import ERROR, RequestHandler

from proxy.listener.answers import Answer, EventStream
from proxy.listener.gate import Gate
from proxy.listener.incoming import Ending, Incoming
from proxy.listener.limits import Limits
from proxy.listener.refusals import TOLD, Refusal

_MOST_HEADERS: Final = 128
_LINGERING_SECONDS: Final = 2.0
"""For a peer to finish a body that nobody reads, so that it sees the answer."""
_GOODBYE_SECONDS: Final = 1.0
"""For a peer to notice that it is not listened to any more."""
_READ_AHEAD: Final = 64 * 1024
"""Of a body that nobody reads yet."""

_RETRY: Final = (b"Retry-After", b"2")
_ALLOW: Final = (b"Allow", b"GET, POST, DELETE")
_HEADERS: Final = {Refusal.METHOD: (_ALLOW,), Refusal.OVERLOADED: (_RETRY,)}

REFUSALS: Final = {
    reason: Answer(told.status, told.body, _HEADERS.get(reason, ()))
    for reason, told in TOLD.items()
}

# The whole of what the parser says. What it says of other faults quotes the peer.
_PARSER_SAYS: Final = {
    "Missing 'Host' header in request.": Refusal.HOST,
    "Duplicate 'Host' header found.": Refusal.HOST,
    "Too many headers received": Refusal.TOO_LARGE_HEADERS,
}


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where a listener tells what happens besides requests: counters, not logs.

    `refusal` is called once for each refused request or lost connection, with a `Refusal`.
    """

    refusal: Callable[[str], None]
    error: Callable[[BaseException], None]


class _Verdict(NamedTuple):
    """All that aiohttp still asks of an answer that was sent."""

    keep_alive: bool


_GOES_ON: Final = cast("web.StreamResponse", _Verdict(keep_alive=True))
_ENDS: Final = cast("web.StreamResponse", _Verdict(keep_alive=False))


class Connection(RequestHandler):
    """What `aiohttp` calls a request handler: the parser, its queue, and the task that serves it.

    `limits`, `is_retiring`, `broken`, `stream` and `peer` are what requests know it by.
    """

    __slots__ = (
        "_gate",
        "_head_since",
        "_head_size",
        "_head_timer",
        "_is_counted",
        "_is_deaf",
        "_is_over",
        "_last_body",
        "_last_timer",
        "_line",
        "_sinks",
        "broken",
        "has_large_head",
        "is_retiring",
        "limits",
        "peer",
        "stream",
        "verdict",
    )

    def __init__(
        self,
        server: web.Server,
        limits: Limits,
        gate: Gate,
        sinks: Sinks,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.idle_seconds,
            access_log=None,  # type: ignore[arg-type]  # it is how aiohttp itself spells "off"
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=_MOST_HEADERS,
            lingering_time=_LINGERING_SECONDS,
            read_bufsize=_READ_AHEAD,
            auto_decompress=False,
        )
        self.limits = limits
        self.peer = ""
        self.is_retiring = False
        self.broken: StreamReader | None = None
        self.stream: Ending | None = None
        self.has_large_head = False
        self.verdict = Refusal.MALFORMED
        self._gate = gate
        self._sinks = sinks
        self._line: asyncio.Transport | None = None
        self._last_body: StreamReader = EMPTY_PAYLOAD
        self._last_timer: asyncio.TimerHandle | None = None
        self._head_since = 0.0
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_deaf = False
        self._is_over = False
        self._is_counted = False

    # From the first byte to the last.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = cast("asyncio.Transport", transport)
        if self._gate.is_closed:
            self._force_close = True
            transport.close()
            return
        descriptor = transport.get_extra_info("socket").fileno()
        if not self._gate.admits(descriptor):
            self._turn_away(self._line, is_polite=self._gate.can_be_polite(descriptor))
            return
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self._gate.enter(self)
        self._expect_head()
        super().connection_made(transport)
        task = self._task_handler
        if task is not None:
            task.add_done_callback(self._task_ended)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._line = None
        for timer in (self._head_timer, self._last_timer):
            if timer is not None:
                timer.cancel()
        if self._request_in_progress and not self._is_counted:
            self._count(Refusal.DISCONNECTED)
        super().connection_lost(exc)
        if self._is_over:
            self._gate.leave(self)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._is_over = True
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._sinks.error(failure)
        if self._line is None:
            self._gate.leave(self)
        else:
            # It is closed once all is written, which a peer that does not read would prevent.
            self._abort_after(self._line, self.limits.write_seconds)

    def _turn_away(self, transport: asyncio.Transport, *, is_polite: bool) -> None:
        self._force_close = True
        self._count(Refusal.OVERLOADED)
        if not is_polite:
            transport.abort()
            return
        transport.write(REFUSALS[Refusal.OVERLOADED].render(ends=True))
        self._say_goodbye(transport)

    def _say_goodbye(self, transport: asyncio.Transport) -> None:
        # Closed at once, with bytes of the peer still unread, it would be reset, and the peer might
        # not see the answer.
        if transport.can_write_eof():
            transport.write_eof()
        self._abort_after(transport, _GOODBYE_SECONDS)

    def _abort_after(self, transport: asyncio.Transport, seconds: float) -> None:
        if self._last_timer is not None:
            self._last_timer.cancel()
        self._last_timer = self._loop.call_later(seconds, transport.abort)

    def _count(self, reason: Refusal) -> None:
        self._is_counted = True
        self._sinks.refusal(reason)

    # What the peer sends.

    def data_received(self, data: bytes) -> None:
        if self._is_deaf or self._force_close or self._close:
            return
        seen = self._request_count
        was_between = self._last_body.is_eof()
        super().data_received(data)
        if self._request_count == seen:
            if data and was_between:
                self._head_goes_on(len(data))
            return
        self._head_since = 0.0
        self.has_large_head |= self._head_size + len(data) > self.limits.header_bytes
        self._head_size = 0
        message, body = self._messages[-1]
        if type(message) is RawRequestMessage:
            self._last_body = body
        else:
            self._stop_listening()

    def _head_goes_on(self, size: int) -> None:
        # The first bytes of a head may have come with the end of the request before: they are not
        # noticed until more come, and the idle time covers them.
        self._head_size += size
        if self._head_size > self.limits.header_bytes:
            self._interject(Refusal.TOO_LARGE_HEADERS)
        elif self._head_since == 0.0:
            self._expect_head()

    def _expect_head(self) -> None:
        self._head_since = self._loop.time()
        if self._head_timer is None:
            self._head_timer = self._loop.call_later(self.limits.header_seconds, self._check_head)

    def _check_head(self) -> None:
        self._head_timer = None
        if self._head_since == 0.0:
            return
        left = self._head_since + self.limits.header_seconds - self._loop.time()
        if left > 0:
            self._head_timer = self._loop.call_later(left, self._check_head)
        else:
            self.drop(Refusal.LATE_HEADERS)

    def _interject(self, reason: Refusal) -> None:
        """Answer the request that is coming with *reason*, without waiting for its end."""
        self.verdict = reason
        self._messages.append((ERROR, EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._stop_listening()

    def _stop_listening(self) -> None:
        self._is_deaf = True
        self._head_since = 0.0
        if not self._last_body.is_eof():
            self.broken = self._last_body
            self._last_body.feed_eof()

    # What is answered.

    async def drained(self) -> None:
        if self._paused:
            await self._drain_helper()

    def drop(self, reason: Refusal) -> None:
        self._count(reason)
        self.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what the handler returned, which is one of ours and not what aiohttp thinks."""
        del start_time
        incoming = cast("Incoming", request)
        try:
            goes_on = await cast("Answer | EventStream", resp).send(incoming)
            if not goes_on and (incoming.is_surprised or self._is_deaf):
                await self._hear_out()
        except ConnectionError:
            return _ENDS, True
        except Exception as exc:  # noqa: BLE001  whatever a stream of events raises
            self._sinks.error(exc)
            # An answer that breaks off must not look like one that is complete.
            self._is_counted = True
            self.abort()
            return _ENDS, True
        return _GOES_ON if goes_on else _ENDS, False

    async def _hear_out(self) -> None:
        """Let a peer that did not expect the end read why, while it may still be sending."""
        self._is_counted = True
        self._stop_listening()
        if self._line is not None:
            self._say_goodbye(self._line)
            await asyncio.sleep(_GOODBYE_SECONDS)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused, without a word of what it was."""
        del request, status
        if isinstance(exc, LineTooLong):
            reason = Refusal.TOO_LARGE_HEADERS
        else:
            reason = _PARSER_SAYS.get(message or "", Refusal.MALFORMED)
        self._sinks.refusal(reason)
        return cast("web.StreamResponse", REFUSALS[reason])

    def log_exception(self, *args: object, **kw: object) -> None:
        """Hand on the error that aiohttp would log."""
        failure = kw.get("exc_info")
        self._sinks.error(failure if isinstance(failure, BaseException) else RuntimeError(*args))

    # How it ends when the listener does.

    @property
    def _is_idle(self) -> bool:
        is_waiting = self._waiter is not None and not self._waiter.done()
        return not self._messages and (is_waiting or self._request_count == 0)

    def retire(self) -> None:
        self.is_retiring = True
        if self._is_idle:
            self.force_close()
        elif self.stream is not None and self.stream.is_endless:
            self.stream.finish()

    def end_stream(self) -> bool:
        if self.stream is None:
            return False
        self.stream.finish()
        return True

    def abort(self) -> None:
        self._is_counted = True
        if self._line is not None:
            self._line.abort()
