"""One connection to an upstream: one request at a time, one answer to each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from proxy.upstream.answers import Answer
from proxy.upstream.exchange import Exchange
from proxy.upstream.failures import Kind, UpstreamError, cut, not_reached
from proxy.upstream.limits import Limits


class Connection(asyncio.Protocol):
    """Between two exchanges this remembers nothing but that it is open.

    `on_free` is called when an answer ended cleanly and another request may follow; `on_lost` once,
    when the connection is gone.
    """

    __slots__ = (
        "_exchange", "_is_paused", "_limits", "_loop", "_timer", "_transport", "is_lost",
        "is_reused", "on_free", "on_lost", "unused_since",
    )  # fmt: skip

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.is_lost = False
        self.is_reused = False
        self.unused_since = 0.0
        self.on_free: Callable[[Connection], None] = Connection.close
        self.on_lost: Callable[[Connection], None] = Connection.close
        self._limits = limits
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes, *, until: float) -> Answer:
        """Send *request* and return its answer. Raises `UpstreamError`.

        The answer is whole, or its stream has begun, by the loop's time *until*. When the caller is
        cancelled, the connection is closed.
        """
        if self._transport is None or self._transport.is_closing() or self._exchange is not None:
            raise not_reached(Kind.CLOSED, "the connection is closed or taken")
        exchange = self._exchange = Exchange(self._limits, until=until, loop=self._loop)
        self._set_timer(exchange)
        self._transport.write(request)
        try:
            return await exchange.answer
        except asyncio.CancelledError:
            self._abandon(exchange)
            if exchange.answer.done() and not exchange.answer.cancelled():
                exchange.answer.exception()  # nobody else will look at it
            raise

    def close(self) -> None:
        """Hang up at once, and fail what is going on."""
        if self._transport is not None:
            self._transport.abort()
        self._fail_if_asked("closed by the gateway")

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()  # nobody asked
            return
        try:
            is_whole = exchange.feed(data)
        except UpstreamError as error:
            self._fail(exchange, error)
            return
        now = self._loop.time()
        exchange.touch(now)
        if exchange.begins_stream:
            exchange.start_stream(now, resume=self._resume, abandon=lambda: self._abandon(exchange))
            self._set_timer(exchange)
        if is_whole:
            self._finish(exchange, keep=exchange.keep_alive)
        elif exchange.is_full:
            self._pause()

    def eof_received(self) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.ends_by_close:
            self._finish(exchange, keep=False)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._fail_if_asked(type(exc).__name__ if exc is not None else "closed by the upstream")
        self.on_lost(self)

    # How an exchange ends: one of these, once.

    def _finish(self, exchange: Exchange, *, keep: bool) -> None:
        self._detach()
        transport = self._transport
        # An answer that came before its request was read whole leaves the rest in the way.
        if keep and transport is not None and not transport.get_write_buffer_size():
            self._resume()
            self.is_reused = True
            self.on_free(self)
        else:
            self.close()
        exchange.finish()

    def _fail(self, exchange: Exchange, error: UpstreamError) -> None:
        self._detach()
        self.close()
        exchange.fail(error)

    def _fail_if_asked(self, detail: str) -> None:
        exchange = self._exchange
        if exchange is not None:
            self._detach()
            exchange.fail(cut(detail, unanswered=not exchange.started))

    def _abandon(self, exchange: Exchange) -> None:
        # By now the connection may serve another caller, whose answer is not touched.
        if self._exchange is exchange:
            self._detach()
            self.close()
            exchange.drop()

    def _detach(self) -> None:
        self._exchange = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, exchange: Exchange) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(exchange.due(), self._check_time)

    def _check_time(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        now = self._loop.time()
        if self._is_paused:
            exchange.touch(now)  # it is the reader who is slow
        if now < exchange.due():
            self._set_timer(exchange)
        else:
            self._fail(exchange, exchange.lateness())

    def _pause(self) -> None:
        if self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and self._is_paused:
            exchange = self._exchange
            if exchange is not None and exchange.is_full:
                return
            self._is_paused = False
            self._transport.resume_reading()
