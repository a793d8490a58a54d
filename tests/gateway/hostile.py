"""What hostile upstreams say, each with what must come of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, cycle, repeat
from typing import Any, Final

from tests.gateway.desk import Deed, tool, tools_of
from tests.gateway.harness import CI
from tests.gateway.raw import ENVELOPE, ERAS, LEGACY, MODERN
from tests.upstream.scripted import CHUNKED, SSE, Line, chunk, head, whole
from tests.upstream.speaking import Message

MARK: Final = "wipe-the-disk"
"""What stands in everything that must not reach a client, a header or the log."""

GOOD: Final = {"content": [{"type": "text", "text": "good"}]}
POISON: Final = [tool(MARK)]
BAD: Final = {"content": [{"type": "text", "text": MARK}]}

CALL: Final[Mapping[str, Any]] = {"name": "echo"}
FEW: Final = "few"
"""A client that may call one tool, and so is asked for nothing."""

BEGIN: Final[Mapping[str, Any]] = {"protocolVersion": LEGACY, "capabilities": {}}
TASKS: Final = "io.modelcontextprotocol/tasks"


@dataclass(frozen=True)
class Seen:
    """What a client got, status and JSON-RPC code, and the outcome that the record has."""

    status: int
    code: int | None
    outcome: int | str


FINE: Final = Seen(200, None, 200)
BROKEN: Final = Seen(502, 50201, "unknown")
"""An answer that was no HTTP that is accepted."""
UNUSABLE: Final = Seen(502, 50201, 502)
"""A whole answer that is not passed on."""
SPOILT: Final = Seen(200, 50201, 502)
"""A stream that is not passed on: by then the head was."""
LATE: Final = Seen(504, 50401, "unknown")
STALLED: Final = Seen(200, 50401, 504)


@dataclass(frozen=True)
class Script:
    """What an upstream says for an answer, or does, and what comes of it.

    `result` is what reaches the client where something does; `told` are the other messages.
    """

    seen: Seen
    says: bytes | Deed
    method: str = "tools/call"
    params: Mapping[str, Any] = field(default_factory=lambda: CALL)
    eras: tuple[str, ...] = ERAS
    result: object = field(default_factory=lambda: GOOD)
    told: int = 0
    client: str = CI


def text(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def result(value: object, id_: object = 7) -> Message:
    return {"jsonrpc": "2.0", "id": id_, "result": value}


def error(**more: object) -> Message:
    return {"jsonrpc": "2.0", "id": 7, "error": {"code": -32000, "message": "no", **more}}


def tells(method: str, params: object) -> Message:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def asks(method: str, params: object, id_: object = 1) -> Message:
    return {**tells(method, params), "id": id_}


def event(message: object, start: bytes = b"") -> bytes:
    written = message if isinstance(message, bytes) else text(message)
    return b"%bdata: %b\n\n" % (start, written)


def stream(*pieces: bytes, more: bytes = b"") -> bytes:
    return whole(b"".join(pieces), media=SSE, more=more)


ANSWER: Final = event(result(GOOD))
WRONG: Final = event(result(BAD))


def then_answer(*messages: object) -> bytes:
    return stream(*map(event, messages), ANSWER)


def without_end(*beginning: bytes, again: bytes) -> Deed:
    """Send *again* for ever after a beginning."""

    async def deed(line: Line, _asked: Message) -> None:
        for piece in chain(beginning, repeat(again)):
            await line.send(piece)

    return deed


def and_waits(*pieces: bytes) -> Deed:
    async def deed(line: Line, _asked: Message) -> None:
        await line.send(*pieces)
        await line.until_hung_up()

    return deed


def half_closes(*pieces: bytes) -> Deed:
    """Say no more, and go on listening."""

    async def deed(line: Line, _asked: Message) -> None:
        await line.send(*pieces)
        line.writer.write_eof()
        await line.until_hung_up()

    return deed


def refusal(status: bytes, challenge: bytes) -> bytes:
    return whole(text(error(data=BAD)), status=status, more=challenge)


CHALLENGE: Final = (
    b'WWW-Authenticate: Bearer resource_metadata="https://evil.example/%b"\r\n' % MARK.encode()
)
ELSEWHERE: Final = b"Location: http://127.0.0.1:1/%b\r\n" % MARK.encode()
COOKIE: Final = b"Set-Cookie: session=%b; Path=/\r\n" % MARK.encode()
LEAKY: Final = b"".join(
    b"%b: %b\r\n" % (name, MARK.encode())
    for name in (
        b"Access-Control-Allow-Origin", b"Alt-Svc", b"Clear-Site-Data", b"Content-Location",
        b"Link", b"Proxy-Authenticate", b"Refresh", b"Server", b"Via", b"X-Accel-Redirect",
    )
)  # fmt: skip
SPLIT: Final = b'{"jsonrpc":"2.0","id":7,"result":%b}'

FRAMING: Final = {
    "endless headers": Script(BROKEN, without_end(b"HTTP/1.1 200 OK\r\n", again=b"X: y\r\n" * 500)),
    "one endless header": Script(BROKEN, without_end(b"HTTP/1.1 200 OK\r\nX: ", again=b"y" * 4096)),
    "endless interim answers": Script(
        BROKEN, without_end(again=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 99)
    ),
    "a terabyte announced": Script(
        BROKEN, and_waits(head(more=b"Content-Length: 1099511627776\r\n"), text(result(BAD)))
    ),
    "a chunk of gigabytes": Script(
        BROKEN, without_end(head(more=CHUNKED), b"ffffffff\r\n[", again=b"1," * 32_768)
    ),
    "endless chunk extensions": Script(
        BROKEN, without_end(head(more=CHUNKED), b"1;", again=b"x" * 4096)
    ),
    "a redirection": Script(BROKEN, whole(text(result(BAD)), status=b"307 X", more=ELSEWHERE)),
    "a redirection to see other": Script(
        BROKEN, whole(text(result(BAD)), status=b"303 X", more=ELSEWHERE)
    ),
    "another protocol": Script(
        BROKEN, and_waits(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    ),
    "gzip": Script(
        BROKEN, whole(gzip.compress(text(result(BAD))), more=b"Content-Encoding: gzip\r\n")
    ),
    "gzip in a transfer coding": Script(
        BROKEN, and_waits(head(more=b"Transfer-Encoding: gzip, chunked\r\n"))
    ),
    "a session with a blank": Script(
        BROKEN, whole(text(result(BAD)), more=b"Mcp-Session-Id: a b\r\n")
    ),
    "a session that is not ASCII": Script(
        BROKEN, whole(text(result(BAD)), more=b"Mcp-Session-Id: \xc3\xa9\r\n")
    ),
    "two sessions": Script(
        BROKEN, whole(text(result(BAD)), more=b"Mcp-Session-Id: a\r\nmcp-session-id: b\r\n")
    ),
    "two content types": Script(
        BROKEN, whole(text(result(BAD)), more=b"Content-Type: text/event-stream\r\n")
    ),
    "two HTTP answers": Script(BROKEN, whole(text(result(GOOD))) + whole(text(result(BAD)))),
    "half closed before the head": Script(BROKEN, half_closes()),
    "half closed in the body": Script(
        BROKEN, half_closes(head(more=b"Content-Length: 999\r\n"), text(result(BAD)))
    ),
    "half closed in an event": Script(
        SPOILT, half_closes(head(media=SSE, more=CHUNKED), chunk(event(result(BAD))[:-2]))
    ),
    "an event that never ends properly": Script(SPOILT, stream(event(result(BAD))[:-1])),
    "a set cookie": Script(FINE, whole(text(result(GOOD)), more=COOKIE)),
    "a set cookie on a stream": Script(FINE, stream(ANSWER, more=COOKIE)),
    "headers of many meanings": Script(FINE, whole(text(result(GOOD)), more=LEAKY)),
    "a session on a call": Script(
        FINE, whole(text(result(GOOD)), more=b"Mcp-Session-Id: %b\r\n" % MARK.encode())
    ),
}

STATUSES: Final = {
    "a web page": Script(UNUSABLE, whole(b"<p>" + MARK.encode(), media=b"text/html")),
    "plain text that is JSON": Script(UNUSABLE, whole(text(result(BAD)), media=b"text/plain")),
    "204": Script(UNUSABLE, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "205": Script(UNUSABLE, b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    "202 with a result": Script(UNUSABLE, whole(text(result(BAD)), status=b"202 Accepted")),
    "401 that leads elsewhere": Script(UNUSABLE, refusal(b"401 No", CHALLENGE)),
    "403 that leads elsewhere": Script(UNUSABLE, refusal(b"403 No", CHALLENGE)),
    "407 that leads elsewhere": Script(UNUSABLE, refusal(b"407 No", CHALLENGE)),
    "401 with a result": Script(UNUSABLE, whole(text(result(BAD)), status=b"401 No")),
    "500 with a result": Script(UNUSABLE, whole(text(result(BAD)), status=b"500 X")),
    "500 with a stream": Script(
        UNUSABLE, whole(event(result(BAD)), media=SSE, status=b"500 X", more=CHALLENGE)
    ),
}

BODIES: Final[dict[str, bytes]] = {
    "nothing": b"",
    "no JSON": MARK.encode(),
    "gzip that does not say so": gzip.compress(text(result(BAD))),
    "UTF-16": text(result(BAD)).decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + text(result(BAD)),
    "duplicate keys": b'{"jsonrpc":"2.0","id":7,"result":{},"result":%b}' % text(BAD),
    "duplicate keys by an escape": b'{"jsonrpc":"2.0","id":7,"result":{"a":1,"\\u0061":%b}}'
    % text(BAD),
    "NaN": SPLIT % (b'{"content":[],"x":NaN,"y":%b}' % text(BAD)),
    "infinity": SPLIT % (b'{"content":[],"x":1e999,"y":%b}' % text(BAD)),
    "a number of 400 digits": SPLIT % (b'{"content":[],"x":%b}' % (b"9" * 400)),
    "half a surrogate pair": SPLIT % b'{"content":[],"x":"\\ud800"}',
    "Result beside result": text(result(GOOD) | {"Result": BAD}),
    "Content beside content": text(result(GOOD | {"Content": BAD["content"]})),
    "content with NUL": text(result(GOOD | {"content\0": BAD["content"]})),
    "content in full width": text(result(GOOD | {"\uff43ontent": BAD["content"]})),
    "65 levels": SPLIT % (b'{"x":' * 64 + b"1" + b"}" * 64),
    "100,000 levels": SPLIT % (b'{"x":%b1%b}' % (b"[" * 100_000, b"]" * 100_000)),
    "a batch": text([result(BAD)]),
    "a result that is a list": text(result([BAD])),
    "a result that is null": text(result(None)),
    "result and error": text(result(BAD) | {"error": {"code": 1, "message": "no"}}),
    "neither result nor error": text({"jsonrpc": "2.0", "id": 7}),
    "another member": text(result(BAD) | {"tools": POISON}),
    "method and result": text(result(BAD) | {"method": "tools/list"}),
    "an error that is text": text({"jsonrpc": "2.0", "id": 7, "error": MARK}),
    "an error without a number": text(error(code="1", data=BAD)),
    "JSON-RPC 1.0": text(result(BAD) | {"jsonrpc": "1.0"}),
    "a result without an id": text({"jsonrpc": "2.0", "result": BAD}),
    "the id null": text(result(BAD, None)),
    "the id true": text(result(BAD, True)),  # noqa: FBT003  it is what is sent
    "the id as a float": text(result(BAD, 7.0)),
    "the id as a list": text(result(BAD, [7])),
}
"""Bodies that are no message: refused whole as they are, and as the one event of a stream."""

OTHERS: Final[dict[str, Message]] = {
    "another number": result(BAD, 8),
    "the id as text": result(BAD, "7"),
    "a request": asks("ping", {"x": MARK}, 7),
    "a notification": tells("notifications/unheard", {"x": MARK}),
    "an error about another": error(data=BAD) | {"id": 8},
}
"""Messages that answer nothing: a body that is one is refused, and in a stream each is dropped."""


def messages() -> Iterable[tuple[str, Script]]:
    for name, body in BODIES.items():
        yield f"{name} as JSON", Script(UNUSABLE, whole(body))
        if body:
            written = body.replace(b"\n", b"")
            yield f"{name} in an event", Script(SPOILT, stream(event(written), ANSWER))
    for name, message in OTHERS.items():
        yield f"{name} as JSON", Script(UNUSABLE, whole(text(message)))
        if name != "a request":  # which is asked of a legacy client
            yield f"{name} in an event", Script(FINE, then_answer(message))
            yield f"{name} and no answer", Script(SPOILT, stream(event(message)))


LONG: Final = "x" * 10_240
MANY: Final = {str(n): {"method": "roots/list"} for n in range(1000)}


def asked_for(kind: str, **more: object) -> Message:
    return {"resultType": kind, "content": [], "x": MARK, **more}


STREAMS: Final = {
    "an endless line": Script(
        SPOILT, without_end(head(media=SSE, more=CHUNKED), again=chunk(b"data: " + b"x" * 65_536))
    ),
    "an event of endless lines": Script(
        SPOILT, without_end(head(media=SSE, more=CHUNKED), again=chunk(b"data: 1\n" * 8192))
    ),
    "an endless event of no meaning": Script(
        SPOILT, without_end(head(media=SSE, more=CHUNKED), again=chunk(b"x: 1\n" * 8192))
    ),
    "a chunk of gigabytes in a stream": Script(
        SPOILT,
        without_end(head(media=SSE, more=CHUNKED), b"ffffffff\r\ndata: ", again=b"x" * 65_536),
    ),
    "an event of 5 MB": Script(SPOILT, stream(event(result({"x": "y" * 5_000_000})), ANSWER)),
    "an answer of 5 MB": Script(BROKEN, whole(text(result({"x": "y" * 5_000_000})))),
    "an empty stream": Script(SPOILT, stream()),
    "comments alone": Script(SPOILT, stream(b": %b\n\n" % MARK.encode() * 9)),
    "comments around": Script(FINE, stream(b": %b\n\n" % MARK.encode(), ANSWER)),
    "two answers": Script(FINE, stream(ANSWER, WRONG)),
    "news after the answer": Script(
        FINE, stream(ANSWER, event(tells("notifications/message", {"level": "info", "data": MARK})))
    ),
    "an event of another type": Script(SPOILT, stream(event(result(BAD), b"event: result\n"))),
    "an endpoint": Script(
        SPOILT, stream(event(MARK.encode(), b"event: endpoint\n"), event(result(GOOD)))
    ),
    "an endpoint after news": Script(
        SPOILT,
        stream(
            event(tells("notifications/unheard", {})),
            event(b"/" + MARK.encode(), b"event:endpoint\n"),
        ),
    ),
    "a byte order mark before the stream": Script(FINE, stream(b"\xef\xbb\xbf", ANSWER)),
    "a byte order mark before a line": Script(
        SPOILT, stream(b": x\n\n", b"\xef\xbb\xbf", event(result(BAD)))
    ),
    "lone carriage returns": Script(FINE, stream(ANSWER.replace(b"\n", b"\r"))),
    "line ends of all kinds": Script(FINE, stream(b": a\r: b\r\n: c\n\r\n", ANSWER)),
    "an answer over two data lines": Script(
        FINE, stream(ANSWER.replace(b'"result"', b'\ndata: "result"'))
    ),
    "another answer behind a carriage return": Script(
        FINE, stream(event(result(BAD, 8), b"id: 1\rretry: 1\r"), ANSWER)
    ),
    "an id with NUL": Script(FINE, stream(b"id: a\0%b\n" % MARK.encode(), ANSWER)),
    "an id of 10 kB": Script(FINE, stream(b"id: %b%b\n" % (MARK.encode(), LONG.encode()), ANSWER)),
    "an id that is not UTF-8": Script(FINE, stream(b"id: \xff%b\n" % MARK.encode(), ANSWER)),
    "an id in bold": Script(FINE, stream(b"id: \x1b[1m%b\n" % MARK.encode(), ANSWER)),
    "an absurd retry": Script(FINE, stream(b"retry: %b\n" % (b"9" * 99), ANSWER)),
    "a retry of nothing": Script(FINE, stream(b"retry: 0\n", ANSWER)),
    "a retry below nothing": Script(FINE, stream(b"retry: -1\n", ANSWER)),
    "a request without a usable id": Script(SPOILT, stream(event(asks("ping", {}, None)), ANSWER)),
    "a request whose id is an object": Script(
        SPOILT, stream(event(asks("ping", {"x": MARK}, {"id": 1})), ANSWER)
    ),
    "a request whose id is 10 kB": Script(
        SPOILT, stream(event(asks("ping", {"x": MARK}, LONG)), ANSWER)
    ),
    "a request whose id has no room": Script(
        FINE, then_answer(asks("roots/list", {"x": MARK}, "x" * 200))
    ),
    "a request of a method for clients": Script(
        FINE, then_answer(asks("tools/call", {"name": MARK}))
    ),
    "a request of no known method": Script(FINE, then_answer(asks("x/" + MARK, {}))),
    "a request on a modern stream": Script(
        FINE,
        then_answer(
            asks("sampling/createMessage", {"messages": [MARK]}), asks("ping", {"x": MARK})
        ),
        eras=(MODERN,),
    ),
    "news of no known method": Script(FINE, then_answer(tells("notifications/" + MARK, {}))),
    "a foreign progress token": Script(
        FINE,
        then_answer(
            *(
                tells("notifications/progress", {"progressToken": token, "message": MARK})
                for token in ("1", 2, True, None, 1.0, [1], {"x": 1})
            )
        ),
        params={"name": "echo", "_meta": {**ENVELOPE, "progressToken": 1}},
        eras=(MODERN,),
    ),
    "a foreign progress token, legacy": Script(
        FINE,
        then_answer(
            *(
                tells("notifications/progress", {"progressToken": token, "message": MARK})
                for token in ("1", 2, True, None, 1.0, [1], {"x": 1})
            )
        ),
        params={"name": "echo", "_meta": {"progressToken": 1}},
        eras=(LEGACY,),
    ),
    "progress where no token was given": Script(
        FINE, then_answer(tells("notifications/progress", {"progress": 1, "message": MARK}))
    ),
    "a flood of progress, legacy": Script(
        FINE,
        then_answer(*[tells("notifications/progress", {"progressToken": 1, "progress": 1})] * 2000),
        params={"name": "echo", "_meta": {"progressToken": 1}},
        eras=(LEGACY,),
        told=2000,
    ),
    "a flood that is not for the client": Script(
        FINE, then_answer(*[tells("notifications/progress", {"progressToken": MARK})] * 2000)
    ),
    "an acknowledgement of no subscription": Script(
        FINE,
        then_answer(
            tells("notifications/subscriptions/acknowledged", {"notifications": {MARK: 1}})
        ),
    ),
    "a cancellation by the upstream": Script(
        FINE, then_answer(tells("notifications/cancelled", {"requestId": 7, "reason": MARK}))
    ),
    "the cancellation of what was never asked": Script(
        FINE, then_answer(tells("notifications/cancelled", {"requestId": [1], "reason": MARK}))
    ),
    "news of a task that is nobody's": Script(
        FINE,
        then_answer(
            tells("notifications/tasks", {"taskId": MARK, "status": "completed"}),
            tells("notifications/tasks/status", {"taskId": MARK, "status": "completed"}),
            tells("notifications/tasks/status", {"taskId": 5, "x": MARK}),
        ),
    ),
    "news of documents that have no URI": Script(
        FINE,
        then_answer(
            *(
                tells("notifications/resources/updated", {"uri": uri, "x": MARK})
                for uri in (None, 5, ["note://one"], "NOTE://one", "note://one/../two")
            )
        ),
    ),
}

LISTS: Final = {
    "a list of tools in the result of a call": Script(
        FINE,
        whole(text(result(GOOD | {"tools": POISON, "nextCursor": "1"}))),
        result=GOOD | {"nextCursor": "1"},
    ),
    "a list of tools in the result of a call in a stream": Script(
        FINE, stream(event(result(GOOD | {"tools": POISON})))
    ),
    "all lists in the result of a call": Script(
        FINE,
        whole(
            text(
                result(
                    GOOD
                    | dict.fromkeys(("tools", "prompts", "resources", "resourceTemplates"), POISON)
                )
            )
        ),
    ),
    "a list of tools in the result of a read": Script(
        FINE,
        whole(text(result({"contents": [], "tools": POISON}))),
        method="resources/read",
        params={"uri": "note://one"},
        result={"contents": []},
    ),
    "a list of tools in a completion": Script(
        FINE,
        whole(text(result({"completion": {"values": []}, "tools": POISON}))),
        method="completion/complete",
        params={
            "ref": {"type": "ref/prompt", "name": "greet"},
            "argument": {"name": "x", "value": ""},
        },
        result={"completion": {"values": []}},
    ),
    "a list of tools in an unasked answer": Script(
        FINE, then_answer(result({"tools": POISON}, 8), result({"tools": POISON}, "7"))
    ),
    "a list of tools in the news of its change": Script(
        FINE,
        then_answer(tells("notifications/tools/list_changed", {"tools": POISON})),
        eras=(LEGACY,),
        told=1,
    ),
    "a list of tools in the news of its change, modern": Script(
        FINE,
        then_answer(tells("notifications/tools/list_changed", {"tools": POISON})),
        eras=(MODERN,),
    ),
    "a list of tools in an error": Script(
        Seen(200, -32000, 200), whole(text(error(data={"tools": POISON})))
    ),
    "a list of tools in an error about the list": Script(
        Seen(200, -32000, 200), stream(event(error(data={"tools": POISON}))), "tools/list", {}
    ),
    "a list of tools in an error with a status": Script(
        Seen(400, -32000, 400),
        whole(text(error(data={"tools": POISON})), status=b"400 X"),
        "tools/list",
        {},
    ),
    "a tool twice": Script(
        FINE,
        whole(text(result({"tools": [*tools_of(), tool("wipe", title=MARK), *POISON]}))),
        "tools/list",
        {},
        result={"tools": [one for one in tools_of() if one["name"] != "wipe"]},
    ),
    "a look-alike in a tool": Script(
        FINE,
        whole(text(result({"tools": [*tools_of()[1:], tools_of()[0] | {"Name": MARK}]}))),
        "tools/list",
        {},
        result={"tools": tools_of()[1:]},
    ),
    "tools with NUL": Script(
        UNUSABLE, whole(text(result({"tools": [], "tools\0": POISON}))), "tools/list", {}
    ),
    "tools with a capital": Script(
        SPOILT, stream(event(result({"tools": [], "Tools": POISON}))), "tools/list", {}
    ),
    "tools that are an object": Script(
        UNUSABLE, whole(text(result({"tools": {MARK: POISON[0]}}))), "tools/list", {}
    ),
    "tools that are texts": Script(
        UNUSABLE, whole(text(result({"tools": [MARK]}))), "tools/list", {}
    ),
    "no tools": Script(SPOILT, stream(event(result({"items": POISON}))), "tools/list", {}),
    "a cursor that is a number": Script(
        UNUSABLE, whole(text(result({"tools": [], "nextCursor": 5, "x": MARK}))), "tools/list", {}
    ),
    "a cursor that is an object": Script(
        SPOILT, stream(event(result({"tools": [], "nextCursor": {"x": MARK}}))), "tools/list", {}
    ),
}

ELICITS: Final = {"method": "elicitation/create", "params": {"message": MARK}}
LURES: Final = {
    "method": "elicitation/create",
    "params": {"mode": "url", "message": MARK, "url": "javascript:alert(1)"},
}
ABLE: Final = {
    **ENVELOPE,
    "io.modelcontextprotocol/clientCapabilities": {
        "elicitation": {}, "sampling": {}, "roots": {}, "extensions": {TASKS: {}},
    },
}  # fmt: skip


def modern_round(seen: Seen, kind: str, **more: object) -> Script:
    """Return a result of a modern call that is not the last word."""
    params = {"name": "echo", "_meta": ABLE}
    return Script(seen, whole(text(result(asked_for(kind, **more)))), params=params, eras=(MODERN,))


ROUNDS: Final = {
    "a result of no known type": Script(
        UNUSABLE, whole(text(result(asked_for("partial")))), eras=(MODERN,)
    ),
    "a result of a type that is no text": Script(
        UNUSABLE, whole(text(result({"resultType": 5, "x": MARK}))), eras=(MODERN,)
    ),
    "a task that was not asked for": Script(
        UNUSABLE, whole(text(result(asked_for("task", taskId="t-1")))), eras=(MODERN,)
    ),
    "a list that wants input": Script(
        UNUSABLE,
        whole(text(result(asked_for("input_required", inputRequests={"a": ELICITS}, tools=[])))),
        "tools/list",
        {"_meta": ABLE},
        eras=(MODERN,),
    ),
    "a wish for input in a legacy session": Script(
        UNUSABLE,
        whole(text(result(asked_for("input_required", inputRequests={"a": ELICITS})))),
        eras=(LEGACY,),
    ),
    "a result of no known type in a legacy session": Script(
        SPOILT, stream(event(result(asked_for("partial")))), eras=(LEGACY,)
    ),
    "a wish for input in a result that is complete": modern_round(
        UNUSABLE, "complete", inputRequests={"a": LURES}
    ),
    "a wish for input without a type": Script(
        UNUSABLE, whole(text(result({"content": [], "inputRequests": {"a": LURES}})))
    ),
    "a state that nothing asked for": Script(
        UNUSABLE, whole(text(result({"content": [], "requestState": MARK})))
    ),
    "a wish for input of no known method": modern_round(
        UNUSABLE, "input_required", inputRequests={"a": {"method": "tools/call", "params": {}}}
    ),
    "a wish for input with more members": modern_round(
        UNUSABLE, "input_required", inputRequests={"a": ELICITS | {"id": 1}}
    ),
    "a thousand wishes for input": modern_round(UNUSABLE, "input_required", inputRequests=MANY),
    "wishes for input in a list": modern_round(UNUSABLE, "input_required", inputRequests=[ELICITS]),
    "a wish for a click": modern_round(
        Seen(200, 40301, 200), "input_required", inputRequests={"a": LURES}
    ),
    "a wish for what the client cannot do": Script(
        Seen(200, 40301, 200),
        whole(text(result(asked_for("input_required", inputRequests={"a": ELICITS})))),
        eras=(MODERN,),
    ),
    "a wish for nothing": modern_round(UNUSABLE, "input_required"),
    "a state that is a number": modern_round(UNUSABLE, "input_required", requestState=5),
    "a state of 40 kB": modern_round(UNUSABLE, "input_required", requestState="x" * 40_000),
    "a task whose id is a number": modern_round(UNUSABLE, "task", taskId=5),
    "a task whose id is 5 kB": modern_round(UNUSABLE, "task", taskId="x" * 5000),
    "a task without an id": modern_round(UNUSABLE, "task", status="working"),
    "a legacy task whose id is a number": Script(
        UNUSABLE,
        whole(text(result({"task": {"taskId": 5, "x": MARK}}))),
        params={"name": "echo", "task": {"ttl": 1000}},
        eras=(LEGACY,),
    ),
    "a legacy task whose id is 5 kB": Script(
        SPOILT,
        stream(event(result({"task": {"taskId": MARK + "x" * 5000}}))),
        params={"name": "echo", "task": {"ttl": 1000}},
        eras=(LEGACY,),
    ),
    "a legacy task that is text": Script(
        UNUSABLE,
        whole(text(result({"task": MARK}))),
        params={"name": "echo", "task": {"ttl": 1000}},
        eras=(LEGACY,),
    ),
}

VISIT: Final = {"mode": "url", "message": MARK, "elicitationId": "1", "url": "https://a.example/"}


def demands(seen: Seen, pages: object, eras: tuple[str, ...] = ERAS, **more: object) -> Script:
    """Return an error that sends the client's user somewhere."""
    answer = error(code=-32042, data={"elicitations": pages, **more})
    return Script(seen, whole(text(answer)), eras=eras)


DENIED: Final = Seen(200, 40301, 200)

DEMANDS: Final = {
    "a page that is a script": demands(DENIED, [VISIT | {"url": "javascript:alert(1)"}]),
    "a page without encryption": demands(DENIED, [VISIT | {"url": "http://a.example/"}]),
    "a page that hides where it is": demands(DENIED, [VISIT | {"url": "https://a.example@evil/"}]),
    "a second page that is a file": demands(DENIED, [VISIT, VISIT | {"url": "file:///etc"}]),
    "a page that is said to be a form": demands(DENIED, [{"url": "data:x", "message": MARK}]),
    "a page for a client that visits none": demands(DENIED, [VISIT], (MODERN,)),
    "pages that are an object": demands(UNUSABLE, {"1": VISIT}),
    "pages that are texts": demands(UNUSABLE, [MARK]),
    "a thousand pages": demands(UNUSABLE, [VISIT] * 1000),
    "a page for a client that nothing may be asked of": Script(
        DENIED,
        whole(text(error(code=-32042, data={"elicitations": [VISIT]}))),
        eras=(LEGACY,),
        client=FEW,
    ),
    "a page that may be visited": demands(
        Seen(200, -32042, 200), [VISIT | {"message": "Please."}], (LEGACY,), tools=POISON
    ),
}

DISCOVERED: Final = {"supportedVersions": [MODERN], "capabilities": {"tools": {}}}


def begins(seen: Seen, more: bytes = b"", **changed: object) -> Script:
    """Return an answer to `initialize` that differs from a good one."""
    answer = {"protocolVersion": LEGACY, "capabilities": {"tools": {}}} | changed
    return Script(
        seen, whole(text(result(answer)), more=more), "initialize", BEGIN, (LEGACY,), BEGUN
    )


def discovers(seen: Seen, **changed: object) -> Script:
    """Return an answer to `server/discover` that differs from a good one."""
    return Script(
        seen,
        whole(text(result(DISCOVERED | changed))),
        "server/discover",
        {},
        (MODERN,),
        DISCOVERED,
    )


BEGUN: Final = {"protocolVersion": LEGACY, "capabilities": {"tools": {"listChanged": True}}}
SESSION: Final = b"Mcp-Session-Id: %b\r\n"

BEGINNINGS: Final = {
    "a version of the future": begins(UNUSABLE, protocolVersion="2099-01-01", x=MARK),
    "the version without sessions": begins(UNUSABLE, protocolVersion=MODERN, x=MARK),
    "a version that is a number": begins(UNUSABLE, protocolVersion=5, x=MARK),
    "a version that is a list": begins(UNUSABLE, protocolVersion=[LEGACY], x=MARK),
    "capabilities in a list": begins(UNUSABLE, capabilities=[MARK]),
    "capabilities that are text": begins(UNUSABLE, capabilities=MARK),
    "capabilities of no meaning": begins(
        FINE, capabilities={"tools": {MARK: True}, MARK: {}, "experimental": {MARK: {}}}
    ),
    "a session of 5 kB": begins(UNUSABLE, SESSION % (MARK.encode() + b"x" * 5000)),
    "a session with no version": begins(UNUSABLE, SESSION % MARK.encode(), protocolVersion=None),
    "a list of tools in the beginning": begins(FINE, tools=POISON, prompts=POISON),
    "versions of the future": discovers(UNUSABLE, supportedVersions=["2099-01-01"], x=MARK),
    "versions that are a number": discovers(UNUSABLE, supportedVersions=5, x=MARK),
    "versions of many types": discovers(FINE, supportedVersions=[5, {}, [], MARK, MODERN, None]),
    "no capabilities at all": discovers(UNUSABLE, capabilities=None, x=MARK),
    "capabilities of a server in a list": discovers(UNUSABLE, capabilities=[MARK]),
    "capabilities that are no objects": discovers(
        FINE, capabilities={"tools": {}, "prompts": MARK, "logging": [MARK]}
    ),
    "a list of tools in a discovery": discovers(FINE, tools=POISON),
}

WANTED: Final = {"notifications": {"toolsListChanged": True}}
HEARD: Final = (
    tells(
        "notifications/subscriptions/acknowledged", {"notifications": {"toolsListChanged": True}}
    ),
    tells("notifications/prompts/list_changed", {"x": MARK}),
    tells("notifications/resources/updated", {"uri": "note://one", "x": MARK}),
    tells("notifications/tools/list_changed", {"tools": POISON}),
    tells("notifications/tasks", {"taskId": MARK, "status": "completed"}),
    result(BAD, "7"),
    asks("ping", {"x": MARK}),
)


OWN: Final = {"_meta": {"io.modelcontextprotocol/subscriptionId": 7}}


def subscribed(seen: Seen, said: bytes, told: int) -> Script:
    return Script(seen, said, "subscriptions/listen", WANTED, (MODERN,), OWN, told)


SUBSCRIPTIONS: Final = {
    "a subscription that says more than was asked": subscribed(
        FINE, stream(*map(event, HEARD), event(result({"tools": POISON}))), 2
    ),
    "a subscription that ends without a word": subscribed(SPOILT, stream(event(HEARD[0])), 1),
    "a subscription to another server": subscribed(
        SPOILT, stream(event(MARK.encode(), b"event: endpoint\n")), 0
    ),
    "a subscription that is a list": subscribed(FINE, whole(text(result({"tools": POISON}))), 0),
}

SCRIPTS: Final[dict[str, Script]] = {
    **FRAMING, **STATUSES, **dict(messages()), **STREAMS, **LISTS, **ROUNDS,
    **DEMANDS, **SUBSCRIPTIONS, **BEGINNINGS,
}  # fmt: skip


# What takes its time: as long as the gateway gives it.


def drip(said: bytes, *before: bytes) -> Deed:
    """Say *said* again and again, a byte at a time."""

    async def deed(line: Line, _asked: Message) -> None:
        await line.send(*before)
        for one in cycle(said):
            await line.send(chunk(bytes([one])) if before else bytes([one]))
            await asyncio.sleep(0.02)

    return deed


def again(said: bytes) -> Deed:
    """Say *said* in a stream, again and again."""

    async def deed(line: Line, _asked: Message) -> None:
        await line.send(head(media=SSE, more=CHUNKED))
        while True:
            await line.send(chunk(said) * 20)
            await asyncio.sleep(0.01)

    return deed


async def too_late(line: Line, _asked: Message) -> None:
    await line.until_hung_up()
    await line.send(whole(text(result(BAD))))


STREAM: Final = head(media=SSE, more=CHUNKED)
NEWS: Final = tells("notifications/message", {"level": "info", "data": "x"})

SLOW: Final[dict[str, Script]] = {
    "an answer that comes too late": Script(LATE, too_late),
    "a head that drips": Script(LATE, drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99)),
    "interim answers that drip": Script(LATE, drip(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
    "a body that drips": Script(LATE, drip(text(result(BAD)), head(more=CHUNKED))),
    "a body that stops": Script(LATE, and_waits(head(more=CHUNKED), chunk(text(result(BAD))))),
    "an event that drips": Script(STALLED, drip(event(result(BAD))[:-2], STREAM)),
    "an event that stops": Script(STALLED, and_waits(STREAM, chunk(event(result(BAD))[:-1]))),
    "a stream that is silent": Script(STALLED, and_waits(STREAM)),
    "comments for ever": Script(STALLED, again(b": x\n")),
    "empty lines for ever": Script(STALLED, again(b"\n")),
    "news of nothing for ever": Script(STALLED, again(event(tells("notifications/x", {})))),
    "news for ever": Script(STALLED, again(event(NEWS))),
    "another answer for ever": Script(STALLED, again(event(result(BAD, 8)))),
    "requests of a modern stream for ever": Script(
        STALLED, again(event(asks("ping", {"x": MARK}))), eras=(MODERN,)
    ),
    "retries for ever": Script(STALLED, again(b"retry: 1\n\n"), eras=(MODERN,)),
}


# Where the client asked nothing: streams that it opens, and what it tells.


@dataclass(frozen=True)
class Overheard:
    """What an upstream says on a stream that nothing was asked on, and how much of it is heard."""

    says: bytes
    told: int = 0


def hears(*messages: Message, told: int = 0) -> Overheard:
    return Overheard(stream(*map(event, messages)), told)


HEARS: Final = {
    "an answer": hears(result({"tools": POISON})),
    "answers of all ids": hears(*(result(BAD, id_) for id_ in (1, "1", 7, "7", 0, -1))),
    "an error without an id": hears({"jsonrpc": "2.0", "error": {"code": 1, "message": MARK}}),
    "an endpoint": Overheard(stream(event(MARK.encode(), b"event: endpoint\n"), event(NEWS))),
    "what is no JSON": Overheard(stream(event(MARK.encode()), event(NEWS))),
    "a batch": Overheard(stream(event(text([NEWS, result(BAD)])), event(NEWS))),
    "an event of 5 MB": Overheard(stream(event(tells("x", {"x": "y" * 5_000_000})), event(NEWS))),
    "duplicate keys": Overheard(stream(event(b'{"jsonrpc":"2.0","id":1,"id":2,"result":{}}'))),
    "a list in the news of its change": hears(
        *(tells(f"notifications/{one}/list_changed", {one: POISON}) for one in
          ("tools", "prompts", "resources")),
        tells("notifications/resources/list_changed", {"resourceTemplates": POISON}),
        told=4,
    ),
    "news of no known method": hears(tells("notifications/" + MARK, {}), NEWS, told=1),
    "news of a task that is nobody's": hears(
        tells("notifications/tasks/status", {"taskId": MARK, "status": "working"})
    ),
    "news of a document that has no URI": hears(
        tells("notifications/resources/updated", {"uri": f"note://{MARK}/../x"})
    ),
    "a cancellation": hears(tells("notifications/cancelled", {"requestId": 1, "reason": MARK})),
}  # fmt: skip

OPENED: Final = {
    "a web page": (502, whole(b"<p>" + MARK.encode(), media=b"text/html")),
    "a list": (502, whole(text(result({"tools": POISON})))),
    "401 that leads elsewhere": (502, refusal(b"401 No", CHALLENGE)),
    "a redirection": (502, whole(b"", status=b"307 X", more=ELSEWHERE)),
    "nothing": (502, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a method that is not offered": (405, refusal(b"405 No", b"Allow: %b\r\n" % MARK.encode())),
}
"""What a GET is answered with, and the status that a client sees."""

TOLD: Final = {
    "401 that leads elsewhere": (502, refusal(b"401 No", CHALLENGE)),
    "403 that leads elsewhere": (502, refusal(b"403 No", CHALLENGE)),
    "a redirection": (502, whole(b"", status=b"307 X", more=ELSEWHERE)),
    "500": (502, refusal(b"500 X", COOKIE)),
    "404": (404, refusal(b"404 X", COOKIE)),
    "a list": (202, whole(text(result({"tools": POISON})), more=COOKIE)),
    "a stream with a list": (202, stream(event(result({"tools": POISON})))),
    "a web page": (202, whole(b"<p>" + MARK.encode(), media=b"text/html")),
    "a session": (202, whole(b"", status=b"202 X", more=SESSION % MARK.encode())),
}
"""What a notification is answered with, and the status that a client sees."""

ODD_IDS: Final = {
    "escapes": b"\x1b[1m1",
    "no UTF-8": b"\xff1",
    "letters beyond ASCII": "\u00e9".encode(),
    "a tab": b"a\tb",
    "a space before it": b"  1",
    "a space after it": b"1 ",
    "a delete": b"\x7f",
}
"""Ids of events that no header can bring back."""
