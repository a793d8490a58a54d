"""The listener: requests come in, are checked, and go to one handler."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from aiohttp import StreamReader, hdrs, http_parser, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import ERROR

from proxy.listener.admission import METHODS, has_large_head, refuse
from proxy.listener.answers import Answer, EventStream
from proxy.listener.connection import REFUSALS, Connection, Sinks
from proxy.listener.gate import Gate
from proxy.listener.incoming import Incoming
from proxy.listener.limits import Limits
from proxy.listener.names import Names
from proxy.listener.refusals import (
    FAILED,
    FAILURE,
    TOLD,
    BodyError,
    Form,
    Refusal,
    as_message,
)

_BACKLOG: Final = 128
"""Connections that the system holds before they are accepted."""

_AT_ONCE: Final = 32
"""Connections that asyncio accepts in one go, and again before it looks at any of them; each has a
descriptor by then."""

_SEND_BUFFER: Final = 96 * 1024
"""Asked of the system for each connection, which takes megabytes by itself for a slow reader."""

_LAST_SECONDS: Final = 1.0

_LAST_TURNS: Final = _BACKLOG + 8
"""Turns of the loop in which all that wait are accepted, perhaps one in each, and first read."""

_OF_USE: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Methods that somebody may be told to use, as they are told. Handlers may refuse others."""

Handler = Callable[[Incoming], Awaitable[Answer | EventStream]]


class StartError(Exception):
    """The listener cannot run here. `code` is stable; `public` says what to do."""

    def __init__(self, code: str, public: str) -> None:
        super().__init__(f"{code}: {public}")
        self.code = code
        self.public = public


class Listener:
    """Hands each request that may be for this gateway to *handler*, and sends what it returns.

    *on_refusal* is called with a `Refusal` for all else that happens on a connection, *on_error*
    with each exception that the handler, or a stream it returned, lets escape; the peer then gets
    500, or a stream that breaks off. Both only count or note, and do not raise. The handler gets
    requests of *methods* alone, and is cancelled when the peer leaves. What else a request is told
    has the *form* that this listener answers in.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        names: Names,
        on_refusal: Callable[[str], None],
        on_error: Callable[[BaseException], None],
        *,
        methods: frozenset[str] = METHODS,
        form: Form = as_message,
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._names = names
        self._methods = methods
        self._told = _told(methods, form)
        self._failed = Answer(FAILED.status, form(FAILURE, FAILED))
        self._sinks = Sinks(on_refusal, on_error)
        self._gate = Gate(limits)
        self._server: asyncio.AbstractServer | None = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> tuple[str, int]:
        """Listen, and return the address: port 0 lets the system choose.

        Raises `StartError` if the listener cannot be safe here, and `OSError` if the address cannot
        be had.
        """
        _check_parser()
        if not self._gate.is_usable:
            raise StartError(
                "too_few_descriptors",
                "Too few files may be open; raise the limit, for example with ulimit -n 20000.",
            )
        listening = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=_BACKLOG,
            reuse_port=reuse_port,
        )
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        address: tuple[str, int] = listening.getsockname()[:2]
        self._names = self._names.listening(*address)
        protocols = _Protocols(self._serve, self._limits, self._gate, self._sinks)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(protocols, sock=listening, backlog=_AT_ONCE)
        # The loop has just set the system's number to its own.
        listening.listen(_BACKLOG)
        return address

    async def stop(self, grace_seconds: float) -> None:
        """Take no new request, let those at hand end within *grace_seconds*, then end them.

        Endless streams end at once, others with the grace, both cleanly. Returns when every handler
        has ended, or has not heeded its cancellation for a second.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        # Whom the system has let in already has been promised an answer: closed now, the socket
        # would reset it.
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)
        self._gate.close()
        server.close()
        for connection in self._gate.inside:
            connection.retire()
        await self._gate.emptied(grace_seconds)
        ended = [connection.end_stream() for connection in self._gate.inside]
        if any(ended):
            await self._gate.emptied(_LAST_SECONDS)
        for connection in self._gate.inside:
            connection.abort()
        await self._gate.emptied(_LAST_SECONDS)

    async def _serve(self, incoming: Incoming) -> Answer | EventStream:
        try:
            reason = self._refuse(incoming)
            if reason is None:
                return await self._handler(incoming)
        except BodyError as error:
            reason = error.code
        except Exception as exc:  # noqa: BLE001  there is nobody above to handle it
            self._sinks.error(exc)
            return self._failed
        return self._turn_down(incoming, reason)

    def _refuse(self, incoming: Incoming) -> Refusal | None:
        line = cast("Connection", incoming.line)
        if incoming.message is ERROR:
            return line.verdict
        if line.has_large_head and has_large_head(incoming.message, self._limits.header_bytes):
            return Refusal.TOO_LARGE_HEADERS
        return refuse(incoming, self._names, self._methods)

    def _turn_down(self, incoming: Incoming, reason: Refusal) -> Answer:
        self._sinks.refusal(reason)
        incoming.is_cut_off = True
        answer = self._told[reason]
        if incoming.method == hdrs.METH_HEAD:
            return Answer(answer.status, b"", answer.headers)
        return answer


def _told(methods: frozenset[str], form: Form) -> Mapping[Refusal, Answer]:
    """Return what is told of each refusal, where requests are of *methods*."""
    *others, last = [one for one in _OF_USE if one in methods]
    allow = (b"Allow", ", ".join([*others, last]).encode())
    wrong = TOLD[Refusal.METHOD]._replace(public=f"Use {', '.join(others)} or {last}.")
    told = {**TOLD, Refusal.METHOD: wrong}
    return {
        reason: Answer(
            one.status,
            form(reason.value, one),
            (allow,) if reason is Refusal.METHOD else REFUSALS[reason].headers,
        )
        for reason, one in told.items()
    }


class _Protocols(web.Server):
    """Makes a protocol for each connection, and a request of each message."""

    def __init__(
        self,
        serve: Callable[[Incoming], Awaitable[Answer | EventStream]],
        limits: Limits,
        gate: Gate,
        sinks: Sinks,
    ) -> None:
        super().__init__(
            cast("Any", serve),
            request_factory=cast("Any", _incoming),
            handler_cancellation=True,
        )
        self._limits = limits
        self._gate = gate
        self._sinks = sinks

    def __call__(self) -> Connection:
        return Connection(self, self._limits, self._gate, self._sinks, self._loop)


def _incoming(
    message: RawRequestMessage,
    payload: StreamReader,
    line: Connection,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> Incoming:
    del writer
    return Incoming(message, payload, line, task)


def _check_parser() -> None:
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StartError(
            "slow_parser",
            "aiohttp runs without its C parser, which alone is strict enough; install a wheel of "
            "aiohttp that has it, and unset AIOHTTP_NO_EXTENSIONS.",
        )
