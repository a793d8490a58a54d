"""Requests to one upstream over HTTP/1.1 (RFC 9112), on connections that are kept and shared.

A pooled connection may serve any principal after any other, because it carries nothing from one to
the next: there is no cookie jar, no credential that belongs to a connection, and every request has
a parser and an answer of its own. What a request says is what the caller gave and `Host`,
`Content-Length` and `Connection`; redirects are refused; variables that name a proxy are not read.

A stream that may be endless has a connection of its own, for that one request: it is not one of the
pool's, so that streams, however many, leave calls their connections.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

from proxy.upstream.addresses import Resolver, Upstream, resolve
from proxy.upstream.answers import Answer
from proxy.upstream.connection import Connection
from proxy.upstream.dialling import Dialler
from proxy.upstream.failures import Kind, UpstreamError, not_reached, timed_out
from proxy.upstream.limits import Limits

_FIELDS: Final = re.compile(
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?\r\n)*"
)
# Framing and routing are this module's; a caller that sets them could smuggle a second request.
_OURS: Final = frozenset(
    {
        b"connection", b"content-length", b"cookie", b"expect", b"host", b"keep-alive",
        b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
        b"upgrade",
    }
)  # fmt: skip


class Pool:
    """The connections to one upstream. Belongs to one event loop."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        limits: Limits | None = None,
        resolver: Resolver = resolve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Talk to *upstream*, under *context* if it is https (the system's default context).

        Raises `ValueError` for a context that does not check certificates and names.
        """
        self._limits = limits or Limits()
        self._endless_limits = self._limits.of_endless()
        self._dialler = Dialler(upstream, resolver=resolver, context=context)
        rest = (
            f"{upstream.target} HTTP/1.1\r\nHost: {upstream.authority}\r\n"
            "Connection: keep-alive\r\n"
        )
        self._post = f"POST {rest}Content-Length: ".encode("ascii")
        self._delete = f"DELETE {rest}".encode("ascii")
        self._get = f"GET {rest}".encode("ascii")
        self._unused: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._taken = 0
        self._endless = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def post(
        self,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        deadline: float,
        repeatable: bool = False,
        endless: bool = False,
    ) -> Answer:
        """Send one request and return its final answer. Raises `UpstreamError`.

        The answer is whole, or the head of its stream is read, within *deadline* seconds. *headers*
        are sent as they are; `ValueError` if one cannot be, or is not the caller's to set. A
        *repeatable* request is sent once more, on another connection, if the first had been used
        before and ended without a byte of an answer; any other request is sent at most once.
        An *endless* request, whose stream may be silent for as long as it lives, is sent once, over
        a connection of its own.
        """
        fields = _fields(headers)
        request = b"%b%d\r\n%b\r\n%b" % (self._post, len(body), fields, body)
        if endless:
            return await self._send_alone(request, deadline)
        return await self._send(request, deadline, repeatable=repeatable)

    async def delete(self, headers: Sequence[tuple[bytes, bytes]], *, deadline: float) -> Answer:
        """Send a DELETE, which has no body, and return its final answer. Raises `UpstreamError`.

        As `post` of what is repeatable, since to delete twice is to delete (RFC 9110, section
        9.2.2).
        """
        request = b"%b%b\r\n" % (self._delete, _fields(headers))
        return await self._send(request, deadline, repeatable=True)

    async def get(self, headers: Sequence[tuple[bytes, bytes]], *, deadline: float) -> Answer:
        """Send a GET, which has no body, and return its final answer. Raises `UpstreamError`.

        As `post` of what is endless.
        """
        return await self._send_alone(b"%b%b\r\n" % (self._get, _fields(headers)), deadline)

    def close(self) -> None:
        """Hang up every connection; whoever waits is told so. Nothing can be sent afterwards."""
        self._is_closed = True
        for connection in tuple(self._all):
            connection.close()
        self._unused.clear()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_closed())
        self._waiters.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _send(self, request: bytes, deadline: float, *, repeatable: bool) -> Answer:
        until = asyncio.get_running_loop().time() + deadline
        connection = self._take() or await self._turn(until)
        was_reused = connection.is_reused
        try:
            return await connection.ask(request, until=until)
        except UpstreamError as error:
            if not (repeatable and was_reused and error.unanswered):
                raise
        # Every other old connection may have ended with that one.
        self._drop_unused()
        connection = await self._turn(until)
        return await connection.ask(request, until=until)

    async def _send_alone(self, request: bytes, deadline: float) -> Answer:
        """Send over a new connection, which is closed as soon as its answer ends."""
        # Not even what may be repeated is: a repeat is for a goodbye that was on its way when the
        # request was sent, and only a connection that was kept can have said it.
        until = asyncio.get_running_loop().time() + deadline
        connection = await self._open_alone(until)
        return await connection.ask(request, until=until)

    # Taking connections and giving them back.

    def _take(self) -> Connection | None:
        """Return the connection that was used last, if it is fresh enough."""
        while self._unused:
            connection = self._unused.pop()
            age = asyncio.get_running_loop().time() - connection.unused_since
            if connection.is_usable and age < self._limits.keep:
                return connection
            connection.close()
        return None

    async def _turn(self, until: float) -> Connection:
        """Return a connection once there is one, new or handed over by another request."""
        while True:
            if self._is_closed:
                raise _closed()
            if self._taken < self._limits.connections:
                self._taken += 1
                return await self._open(until)
            connection = await self._wait(until)
            if connection is None:
                return await self._open(until)
            if connection.is_usable:
                return connection

    async def _wait(self, until: float) -> Connection | None:
        """Return a connection, or `None` for the right to open one."""
        if len(self._waiters) >= self._limits.waiters:
            raise not_reached(Kind.BUSY, "too many requests wait for a connection")
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except TimeoutError:
            self._leave(waiter)
            raise timed_out(Kind.CONNECT, "no connection became free in time") from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Give back what was handed to a waiter that is no longer there."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            return
        connection = waiter.result()
        if connection is None:
            self._free_slot()
        elif connection.is_usable:
            self._free(connection)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _free(self, connection: Connection) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        connection.unused_since = asyncio.get_running_loop().time()
        self._unused.append(connection)
        if self._sweeper is None:
            self._plan_sweep()

    def _free_slot(self) -> None:
        self._taken -= 1
        waiter = None if self._is_closed else self._next_waiter()
        if waiter is not None:
            self._taken += 1
            waiter.set_result(None)

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._unused:
            self._unused.remove(connection)
        self._free_slot()

    def _drop_unused(self) -> None:
        while self._unused:
            self._unused.pop().close()

    def _plan_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(self._limits.keep, self._sweep)

    def _sweep(self) -> None:
        """Hang up what was not used for a while."""
        self._sweeper = None
        oldest = asyncio.get_running_loop().time() - self._limits.keep
        while self._unused and self._unused[0].unused_since <= oldest:
            self._unused.popleft().close()
        if self._unused:
            self._plan_sweep()

    # Opening them.

    async def _open(self, until: float) -> Connection:
        """Connect, holding a place among the connections, which is given up on failure."""
        try:
            connection = await self._dialler.dial(self._limits, until=until)
        except BaseException:
            self._free_slot()
            raise
        connection.on_free, connection.on_lost = self._free, self._lost
        return self._opened(connection)

    async def _open_alone(self, until: float) -> Connection:
        if self._is_closed:
            raise _closed()
        if self._endless >= self._limits.endless_streams:
            raise not_reached(Kind.BUSY, "too many endless streams")
        self._endless += 1
        try:
            connection = await self._dialler.dial(self._endless_limits, until=until)
        except BaseException:
            self._endless -= 1
            raise
        connection.on_lost = self._lost_alone
        return self._opened(connection)

    def _opened(self, connection: Connection) -> Connection:
        """Return *connection*, which from here on gives up its own place."""
        self._all.add(connection)
        if self._is_closed:
            connection.close()
            raise _closed()
        return connection

    def _lost_alone(self, connection: Connection) -> None:
        self._all.discard(connection)
        self._endless -= 1


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    fields = b"".join([b"%b: %b\r\n" % field for field in headers])
    if fields.count(b"\n") != len(headers) or _FIELDS.fullmatch(fields) is None:
        raise ValueError("A header has a name or a value that HTTP does not allow.")
    if any(name.lower() in _OURS for name, _ in headers):
        raise ValueError("A header is set that is not the caller's to set.")
    return fields


def _closed() -> UpstreamError:
    return not_reached(Kind.CLOSED, "the gateway closed its connections to this upstream")
