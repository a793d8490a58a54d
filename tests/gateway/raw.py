"""Messages and requests made byte by byte, and answers read to their ends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.wire.headers import encode_value

DEADLINE: Final = 10.0
MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"
ERAS: Final = (MODERN, LEGACY)
ENVELOPE: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}

_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)

Header = tuple[str, str]


@dataclass(frozen=True)
class Said:
    """One answer, read to its end. `events` are the messages of a stream, `raw` all its bytes."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def is_stream(self) -> bool:
        return self.header("content-type") == "text/event-stream"

    @property
    def events(self) -> list[Any]:
        blocks = self.body.split(b"\n\n")
        lines = [line for block in blocks for line in block.split(b"\n")]
        return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    @property
    def message(self) -> Any:  # noqa: ANN401  whatever was said
        """The one message, or the last one of a stream; None where there is no body."""
        if self.is_stream:
            return self.events[-1]
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> int | None:
        """The JSON-RPC code of an error; None where there is none."""
        message = self.message
        error = message.get("error") if isinstance(message, dict) else None
        code: int | None = error["code"] if isinstance(error, dict) else None
        return code


@dataclass(frozen=True)
class Line:
    """One connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def answer(self) -> Said:
        async with asyncio.timeout(DEADLINE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            if _CHUNKED.search(head):
                raw, body = await self._chunks()
            else:
                length = _LENGTH.search(head)
                raw = body = await self.reader.readexactly(int(length[1]) if length else 0)
        status, *lines = head.decode("latin-1").split("\r\n")[:-2]
        fields = tuple((name, value) for name, _, value in (one.partition(": ") for one in lines))
        return Said(int(status.split(" ")[1]), fields, body, head + raw)

    async def _chunks(self) -> tuple[bytes, bytes]:
        raw, body = b"", b""
        while True:
            size = await self.reader.readuntil(b"\r\n")
            piece = await self.reader.readexactly(int(size, 16) + 2)
            raw += size + piece
            body += piece[:-2]
            if int(size, 16) == 0:
                return raw, body


def asking(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    version: str = MODERN,
    id_: object = 7,
) -> tuple[bytes, list[Header]]:
    """Return body and headers of a well-formed message; without an id if *id_* is None."""
    params = dict(params or {})
    headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", version),
    ]
    if version == MODERN:
        params = {"_meta": ENVELOPE} | params
        headers.append(("Mcp-Method", method))
        if method in _NAMED:
            headers.append(("Mcp-Name", encode_value(params[_NAMED[method]])))
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if id_ is not None:
        message["id"] = id_
    return json.dumps(message).encode(), headers


def request(verb: str, target: str, headers: Iterable[Header] = (), body: bytes = b"") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{verb} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
