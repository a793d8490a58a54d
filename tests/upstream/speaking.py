"""A scripted upstream that speaks MCP, as wrongly as a test wants, on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from proxy.upstream.conversation import Conversation, converse
from proxy.upstream.http import Pool
from tests.upstream.scripted import SSE, Line, Listener, Script, listening, whole

Message = dict[str, Any]
Speech = Callable[[Message], bytes]
"""What was asked in, a whole HTTP answer out; an empty one means silence."""

CREDENTIAL = ((b"Authorization", b"Bearer of-the-gateway"),)
GONE = b"HTTP/1.1 204 No Content\r\n\r\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
SESSION = b"Mcp-Session-Id: s-1\r\n"
EVERYTHING: Mapping[str, Any] = {"tools": {}, "prompts": {}, "resources": {}}


def written(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def result_of(asked: Message, result: object) -> Message:
    return {"jsonrpc": "2.0", "id": asked["id"], "result": result}


def error_of(asked: Message, code: int, **more: object) -> Message:
    return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": "no", **more}}


def gives(result: object, *, status: bytes = b"200 OK", more: bytes = b"") -> Speech:
    return lambda asked: whole(written(result_of(asked, result)), status=status, more=more)


def refuses(code: int, *, status: bytes = b"200 OK", **more: object) -> Speech:
    return lambda asked: whole(written(error_of(asked, code, **more)), status=status)


def says(answer: bytes) -> Speech:
    return lambda _: answer


def events(*messages: Message | bytes) -> bytes:
    lines = (each if isinstance(each, bytes) else written(each) for each in messages)
    return whole(b"".join(b"data: %b\n\n" % line for line in lines), media=SSE)


def modern(**capabilities: object) -> dict[str, Speech]:
    """Return how a modern upstream begins."""
    discovery = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities}
    return {"server/discover": gives(discovery)}


def legacy(version: str = "2025-11-25", **capabilities: object) -> dict[str, Speech]:
    """Return how a legacy upstream that keeps sessions begins and ends."""
    beginning = {"protocolVersion": version, "capabilities": capabilities}
    return {
        "server/discover": refuses(-32000, status=b"400 Bad Request"),
        "initialize": gives(beginning, more=SESSION),
        "notifications/initialized": says(ACCEPTED),
        "DELETE": says(GONE),
    }


def speaking(speeches: Mapping[str, Speech]) -> Script:
    """Answer each method with its speech; any other does not exist."""

    async def script(line: Line) -> None:
        while True:
            method, asked = understood(await line.request())
            answer = speeches.get(method, refuses(-32601))(asked)
            if not answer:
                await line.until_hung_up()
            await line.send(answer)

    return script


def understood(request: bytes) -> tuple[str, Message]:
    """Return method and message of an HTTP request; a DELETE is a method of its own."""
    body = request.partition(b"\r\n\r\n")[2]
    message: Message = json.loads(body) if body else {"method": "DELETE"}
    return message["method"], message


def methods(listener: Listener) -> list[str]:
    return [understood(request)[0] for request in listener.seen]


@asynccontextmanager
async def conversing(
    speeches: Mapping[str, Speech], *, deadline: float = 10
) -> AsyncIterator[tuple[Conversation, Listener]]:
    async with listening(speaking(speeches)) as listener:
        pool = Pool(listener.upstream)
        try:
            async with converse(pool, CREDENTIAL, deadline=deadline) as conversation:
                yield conversation, listener
        finally:
            pool.close()
