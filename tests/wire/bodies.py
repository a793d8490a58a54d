"""Random bodies, seeded: valid messages taken to pieces and put together wrongly."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from proxy.wire.jsonrpc import Message, decode
from proxy.wire.refusals import Fault, WireError

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    "io.modelcontextprotocol/clientInfo": {"name": "agent", "version": "1.0"},
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}

CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {
        "name": "create_issue",
        "arguments": {"repo": "octo/hello", "labels": ["bug", "p1"], "count": 3, "ratio": -0.5e-7},
        "_meta": META,
    },
}

MESSAGES: list[dict[str, Any]] = [
    CALL,
    {"jsonrpc": "2.0", "id": "a-1", "method": "tools/list"},
    {"jsonrpc": "2.0", "id": 0, "method": "resources/read", "params": {"uri": "file:///a%20b"}},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 9, "result": {"roots": [{"uri": "file:///home", "name": "\u00e9"}]}},
    {"jsonrpc": "2.0", "id": "x", "error": {"code": -1, "message": "no", "data": [None, True]}},
    {
        "jsonrpc": "2.0",
        "id": 2**53 - 1,
        "method": "tools/call",
        "params": {
            "name": "t\u00e4st \U0001f600",
            "arguments": {
                "a": [[], {}, [0, -1, 9007199254740993, 1e300, ""]],
                "": {"__proto__": 1},
            },
        },
    },
]

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][-+.eE0-9]*|[a-z]+|[\[\]{},:]')

# What stands for a value, or a key, or neither: the more of them fit, the deeper the mutants go.
VALUES = [
    *(b'"x"', b"0", b"-1", b"1.5", b"-0.0", b"1E2", b"true", b"false", b"null", b"{}", b"[]"),
    *(b'""', b'"\\u0061\\n"', b'"\\ud83d\\ude00"', b'"\xc3\xa9"', b"9223372036854775807"),
    *(b"-9223372036854775808", b"1e-400", b"0.30000000000000004", b'{"a":1}', b'[1,{"b":[]}]'),
]
KEYS = [
    *(b'"name"', b'"id"', b'"n\\u0061me"', b'"method"', b'"params"', b'"zeta"', b'"_meta"'),
    *(b'"arguments"', b'"1"', b'"constructor"', b'"\xe2\x82\xac"', b'"result"', b'"uri"'),
]
ODD = [
    *(b"NaN", b"Infinity", b"1e400", b"18446744073709551616", b'"\\ud800"', b"01", b"+1", b"1."),
    *(b'"Name"', b'"name\\u0000"', b'"param\xc5\xbf"', b'"\xff"', b"'x'", b"{", b"}", b"[", b"]"),
    *(b",", b":", b"/**/", b"\xef\xbb\xbf", b"\0", b"nul", b'"', b"\\", b"1" * 400, b'"\n"'),
    *(b"[" * 70 + b"]" * 70, b'"\xed\xa0\x80"', b"\xc2\xa0", b"undefined", b"-", b"1e5"),
]
SPACES = [b"", b" ", b"\n", b"\t\r\n ", b"  "]


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """Yield *count* bodies, the same for the same *seed*."""
    source = random.Random(seed)
    dumped = (json.dumps(m, ensure_ascii=i % 2 == 0) for m in MESSAGES for i in range(2))
    bodies = [TOKEN.findall(text.encode()) for text in dumped]
    pick = source.random
    for _ in range(count):
        tokens = list(bodies[int(pick() * len(bodies))])
        for _ in range(1 + int(pick() * 2)):
            _mutate(tokens, pick(), pick(), pick())
        if pick() < 0.01:
            tokens = [b"[", *tokens, b"]"]
        space = SPACES[int(pick() * len(SPACES))]
        yield space.join(tokens) if pick() < 0.9 else _bitten(b"".join(tokens), source)


def _mutate(tokens: list[bytes], what: float, where: float, which: float) -> None:
    at = int(where * len(tokens))
    if what < 0.6:
        is_key = tokens[at + 1 : at + 2] == [b":"]
        choice = KEYS if is_key else VALUES
        if tokens[at] not in b"[]{},:":
            tokens[at] = choice[int(which * len(choice))]
    elif what < 0.7:
        tokens[at] = ODD[int(which * len(ODD))]
    elif what < 0.8:
        tokens.insert(at, ODD[int(which * len(ODD))])
    elif what < 0.9:
        del tokens[at]
    else:
        tokens[at:at] = tokens[at : at + 1 + int(which * 6)]


def _bitten(body: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(body) or 1)
    return body[:at] + bytes([source.randrange(256)]) + body[at + source.randrange(3) :]


def refused(body: bytes, *, responses: bool = False, limit: int = 1 << 20) -> WireError:
    """Return why *body* is refused; fail if it is not."""
    try:
        message = decode(body, responses=responses, limit=limit)
    except WireError as error:
        return error
    raise AssertionError(f"accepted: {message}")


def fault_of(value: object) -> Fault:
    """Return why the message *value* is refused."""
    return refused(json.dumps(value).encode()).fault


def changed(**members: object) -> dict[str, Any]:
    """Return the call with some of its members set anew, or left out where `...`."""
    whole = CALL | members
    return {key: value for key, value in whole.items() if value is not ...}


def decoded(value: object) -> Message:
    """Return the message that *value* is."""
    return decode(json.dumps(value).encode())
