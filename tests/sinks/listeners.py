"""Real far ends of sinks: web servers and syslog servers that take, refuse, hang and vanish."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

ABORTED = 0
HUNG = -1


@dataclass
class Web:
    """A web server. It answers with each of `troubles` once, and from then on with `answer`."""

    port: int
    troubles: list[int] = field(default_factory=list)
    answer: tuple[int, bytes] = (200, b"")
    bodies: list[bytes] = field(default_factory=list)
    """Of requests that it answered with a 2xx."""
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    seen: Callable[[bytes], None] = lambda _: None
    """Told of each body before it is answered."""
    over: Event = field(default_factory=Event)

    @property
    def lines(self) -> list[bytes]:
        return b"".join(self.bodies).splitlines(keepends=True)


@contextmanager
def web(
    context: ssl.SSLContext | None = None, troubles: tuple[int, ...] = (), port: int = 0
) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.asked += 1
            state.seen(body)
            status, said = state.answer
            if state.troubles:
                status = state.troubles.pop(0)
            if status == HUNG:
                state.over.wait(10)
            if status in {ABORTED, HUNG}:
                self.close_connection = True
                return
            if 200 <= status < 300:
                state.headers.append(dict(self.headers))
                state.bodies.append(body)
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Location", f"{self.path}/elsewhere")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that hang up: here they do."""

    with Server(("127.0.0.1", port), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        state = Web(server.server_port, list(troubles))
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            state.over.set()
            server.shutdown()
            thread.join()


@dataclass
class Syslog:
    """A syslog server. `deaf` connections more are cut off unread, or ended without a word."""

    port: int
    messages: list[bytes] = field(default_factory=list)
    deaf: int = 0
    cut: int = 0


@contextmanager
def datagrams() -> Iterator[Syslog]:
    def take() -> None:
        while (one := line.recv(70_000)) != b"over":
            state.messages.append(one)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        state = Syslog(line.getsockname()[1])
        thread = Thread(target=take)
        thread.start()
        try:
            yield state
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"over", ("127.0.0.1", state.port))
            thread.join()


@contextmanager
def stream(context: ssl.SSLContext | None = None, deaf: int = 0) -> Iterator[Syslog]:
    """Take octet-counted messages, until the other end says that there are no more."""

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            line.settimeout(5)
            with suppress(OSError):
                _hear(line, context, state)
            line.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        state = Syslog(listener.getsockname()[1], deaf=deaf)
        thread = Thread(target=serve)
        thread.start()
        try:
            yield state
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _hear(line: socket.socket, context: ssl.SSLContext | None, state: Syslog) -> None:
    if context is None:
        if state.deaf:
            state.deaf -= 1
            line.recv(10)  # the system answers with a reset for what nobody read
            return
        state.messages += taken_apart(_all(line))
        return
    with context.wrap_socket(line, server_side=True, suppress_ragged_eofs=False) as secure:
        heard = _all(secure)
        if state.deaf:
            state.deaf -= 1
            state.cut += 1
            return  # it ends as if somebody on the way had cut it
        state.messages += taken_apart(heard)
        secure.unwrap().close()


def _all(line: socket.socket) -> bytes:
    parts = []
    while part := line.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def taken_apart(heard: bytes) -> Iterator[bytes]:
    """Yield each message of octet-counted frames (RFC 6587, section 3.4.1)."""
    while heard:
        count, _, rest = heard.partition(b" ")
        assert count.isdigit()
        assert not count.startswith(b"0")
        assert len(rest) >= int(count)
        yield rest[: int(count)]
        heard = rest[int(count) :]
