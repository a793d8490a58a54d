"""Connecting to one upstream: to addresses that were checked, over TLS that checks, and watched."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from typing import Final

from proxy.upstream.addresses import Resolver, Upstream, locate
from proxy.upstream.connection import Connection
from proxy.upstream.failures import Kind, not_reached, timed_out
from proxy.upstream.limits import Limits

# Seconds and counts. A peer that vanished without a word is noticed in two minutes; and what stands
# between here and there, and forgets silent connections, hears from one every minute.
_PROBES: Final = (
    ("TCP_KEEPIDLE", 60),
    ("TCP_KEEPALIVE", 60),  # its name on macOS
    ("TCP_KEEPINTVL", 15),
    ("TCP_KEEPCNT", 4),
)


class Dialler:
    """Connects to one upstream."""

    def __init__(
        self, upstream: Upstream, *, resolver: Resolver, context: ssl.SSLContext | None
    ) -> None:
        """Connect under *context* if the upstream is https (the system's default context).

        Raises `ValueError` for a context that does not check certificates and names.
        """
        self._upstream = upstream
        self._resolver = resolver
        self._context = _strict(context) if upstream.secure else None

    async def dial(self, limits: Limits, *, until: float) -> Connection:
        """Return a new connection under *limits*, by the loop's time *until*.

        Raises `UpstreamError`, of what was not sent.
        """
        ends = asyncio.get_running_loop().time() + limits.connect
        try:
            async with asyncio.timeout_at(min(until, ends)):
                return await self._first(limits, ends)
        except TimeoutError:
            raise timed_out(Kind.CONNECT, "no connection in time") from None
        except OSError as error:
            raise not_reached(Kind.CONNECT, f"{type(error).__name__}: {error}") from None
        except ValueError as error:  # an `AddressError`, or a name that cannot be looked up
            raise not_reached(Kind.ADDRESS, str(error)) from None

    async def _first(self, limits: Limits, ends: float) -> Connection:
        """Try each checked address, giving each its share of the time."""
        loop = asyncio.get_running_loop()
        found = await locate(self._upstream, deadline=limits.connect, resolver=self._resolver)
        failure: OSError | None = None
        for left in range(len(found), 0, -1):
            try:
                async with asyncio.timeout((ends - loop.time()) / left):
                    return await self._connect(found[-left], limits)
            except OSError as error:  # a TimeoutError is one
                failure = error
        raise failure or OSError("no address")

    async def _connect(self, address: str, limits: Limits) -> Connection:
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(
            partial(Connection, limits, loop),
            address,
            self._upstream.port,
            ssl=self._context,
            server_hostname=self._upstream.host if self._context is not None else None,
        )
        try:
            if connection.is_lost:
                raise ConnectionResetError("closed as soon as it was open")
            _watch(transport.get_extra_info("socket"))
        except OSError:
            connection.close()
            raise
        return connection


def _watch(connected: socket.socket) -> None:
    """Have the system ask a silent peer whether it is still there (RFC 9293, section 3.8.4)."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES:
        option = getattr(socket, name, None)
        if option is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _strict(context: ssl.SSLContext | None) -> ssl.SSLContext:
    context = context or ssl.create_default_context()
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("A TLS context must check certificates and the names in them.")
    return context
