"""An upstream in Python: `python -m bench.gateway.upstream PORT MILLISECONDS`.

It answers each request after so many milliseconds, by its `Mcp-Method` alone.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Final, cast

import uvloop

from bench.gateway.traffic import ANSWERS

_METHOD: Final = re.compile(rb"\r\nmcp-method: *([^\r]*)\r\n", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)

_HEAD: Final = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_WHOLE: Final = {
    method.encode(): _HEAD % (b"200 OK", len(body), body) for method, body in ANSWERS.items()
}
_NONE: Final = _HEAD % (b"404 Not Found", 0, b"")


class Upstream(asyncio.Protocol):
    """One connection; its peer waits for each answer before it asks again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        method = _METHOD.search(head + b"\r\n")
        answer = _WHOLE.get(method[1] if method else b"", _NONE)
        if self._seconds:
            self._loop.call_later(self._seconds, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None


async def serve(port: int, seconds: float) -> None:
    """Answer on *port* until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(seconds), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
