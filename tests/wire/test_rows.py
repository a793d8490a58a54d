"""The same bytes, read differently by real upstreams: here each has one answer, by name.

TypeScript SDK v1 and Python SDK 2.3 execute or drop most of these, and not the same ones. T12-T16.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.wire.headers import agree, check_post
from proxy.wire.jsonrpc import MAX_BODY, decode
from proxy.wire.names import UnnameableError, tool
from proxy.wire.refusals import WireError
from tests.wire.bodies import CALL, changed

Headers = dict[str, str]

MODERN: Headers = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "create_issue",
}
LEGACY: Headers = {**dict(list(MODERN.items())[:2]), "MCP-Protocol-Version": "2025-11-25"}

# The same call in a legacy version: no envelope.
OLD: dict[str, Any] = changed(params={"name": "create_issue", "arguments": {}})
INITIALIZE = {"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {}}


def answer(
    body: bytes, headers: Headers, more: list[tuple[str, str]] | None = None
) -> tuple[int, int, object]:
    """Return status, code and id of the refusal, or (200, 0, id) if the message goes on."""
    try:
        routing = check_post([*headers.items(), *(more or [])])
        message = decode(body)
        agree(routing, message)
    except WireError as error:
        return error.status, error.code, json.loads(error.encode())["id"]
    return 200, 0, message.id


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def spelled(old: str, new: str, value: object = OLD) -> bytes:
    """Return the message with its first *old* written as *new*."""
    written = json.dumps(value)
    assert old in written
    return written.replace(old, new, 1).encode()


def test_the_untouched_messages_go_on() -> None:
    assert answer(text(CALL), MODERN) == (200, 0, 7)
    assert answer(text(OLD), LEGACY) == (200, 0, 7)


def nested(depth: int) -> bytes:
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"a": deep}
    return text(changed(params={"name": "t", "arguments": deep})).replace(
        b"{}", b'{"a":' * depth + b"1" + b"}" * depth
    )


IN_THE_BODY = [
    ("duplicate name", spelled('"name": ', '"name": "x", "name": '), 400, -32700, None),
    ("duplicate method", spelled('"method": ', '"method": "ping", "method": '), 400, -32700, None),
    ("duplicate name through an escape", spelled('"name": ', '"n\\u0061me": "x", "name": '),
     400, -32700, None),
    ("Name beside name", spelled('"name": ', '"Name": "x", "name": '), 400, -32602, 7),
    ("name with NUL beside name", spelled('"name": ', '"name\\u0000": "x", "name": '),
     400, -32602, 7),
    ("Name alone", spelled('"name": ', '"Name": '), 400, -32602, 7),
    ("param\u017f beside params", spelled('"id": ', '"param\\u017f": {}, "id": '), 400, -32600, 7),
    ("escaped method and key are what they say", spelled("tools/call", "tools\\u002fcall"),
     200, 0, 7),
    ("escaped key", spelled('"name"', '"n\\u0061me"'), 200, 0, 7),
    ("Tools/Call", text(OLD | {"method": "Tools/Call"}), 200, -32601, 7),
    ("tools/call with a space", text(OLD | {"method": "tools/call "}), 200, -32601, 7),
    ("batch of one", b"[" + text(OLD) + b"]", 400, -32600, None),
    ("batch of two", b"[" + text(OLD) + b"," + text(OLD) + b"]", 400, -32600, None),
    ("empty batch", b"[]", 400, -32600, None),
    ("tools/call without id", text({k: v for k, v in OLD.items() if k != "id"}),
     400, -32600, None),
    ("id null", text(OLD | {"id": None}), 400, -32600, None),
    ("id true", text(OLD | {"id": True}), 400, -32600, None),
    ("id 1.5", text(OLD | {"id": 1.5}), 400, -32600, None),
    ("id 1.0", text(OLD | {"id": 1.0}), 400, -32600, None),
    ("id 0 is normal", text(OLD | {"id": 0}), 200, 0, 0),
    ("id as text stays text", text(OLD | {"id": "1"}), 200, 0, "1"),
    ("method and result", text(OLD | {"result": {}}), 400, -32600, 7),
    ("method and error", text(OLD | {"error": {"code": 1, "message": ""}}), 400, -32600, 7),
    ("jsonrpc missing", text({k: v for k, v in OLD.items() if k != "jsonrpc"}), 400, -32600, 7),
    ("jsonrpc 1.0", text(OLD | {"jsonrpc": "1.0"}), 400, -32600, 7),
    ("params missing", text({k: v for k, v in OLD.items() if k != "params"}), 400, -32602, 7),
    ("params an array", text(OLD | {"params": ["create_issue"]}), 400, -32602, 7),
    ("NaN in arguments", spelled("{}", '{"a": NaN}'), 400, -32700, None),
    ("1e400 in arguments", spelled("{}", '{"a": 1e400}'), 400, -32700, None),
    ("2^64 in arguments", spelled("{}", '{"a": 18446744073709551616}'), 400, -32700, None),
    ("half a surrogate pair", spelled("{}", '{"a": "\\ud800"}'), 400, -32700, None),
    ("byte order mark", b"\xef\xbb\xbf" + text(OLD), 400, -32700, None),
    ("UTF-16", json.dumps(OLD).encode("utf-16"), 400, -32700, None),
    ("invalid UTF-8", text(OLD).replace(b"create", b"cre\xffte"), 400, -32700, None),
    ("depth 500", nested(440), 400, -32700, None),
    ("depth 3000", nested(2940), 400, -32700, None),
    ("6 MB", text(OLD) + b" " * (6 * MAX_BODY), 413, -32600, None),
    ("a response nobody asked for", b'{"jsonrpc":"2.0","id":7,"result":{}}', 400, -32600, 7),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code", "id_"),
    [row[1:] for row in IN_THE_BODY],
    ids=[row[0] for row in IN_THE_BODY],
)
def test_a_body_has_one_answer(body: bytes, status: int, code: int, id_: object) -> None:
    assert answer(body, LEGACY) == (status, code, id_)


IN_THE_HEADERS = [
    ("text/plain", CALL, MODERN | {"Content-Type": "text/plain"}, [], 415, -32600),
    ("two types in one", CALL, MODERN | {"Content-Type": "text/plain, application/json"}, [],
     415, -32600),
    ("two Content-Types", CALL, MODERN, [("content-type", "application/json")], 415, -32600),
    ("charset utf-7", CALL, MODERN | {"Content-Type": "application/json; charset=utf-7"}, [],
     415, -32600),
    ("charset utf-16", CALL, MODERN | {"Content-Type": "application/json; charset=utf-16"}, [],
     415, -32600),
    ("gzip", CALL, MODERN, [("Content-Encoding", "gzip")], 415, -32600),
    ("no event stream accepted", CALL, MODERN | {"Accept": "application/json"}, [], 406, -32600),
    ("version 2099-01-01", CALL, MODERN | {"MCP-Protocol-Version": "2099-01-01"}, [], 400, -32022),
    ("no version, no session", OLD, dict(list(LEGACY.items())[:2]), [], 400, -32600),
    ("legacy header, modern envelope", CALL, LEGACY, [], 400, -32020),
    ("no header, modern envelope", CALL, dict(list(LEGACY.items())[:2]), [], 400, -32020),
    ("modern header, legacy body", OLD, MODERN, [], 400, -32602),
    ("modern header, initialize", INITIALIZE, MODERN | {"Mcp-Method": "initialize"}, [],
     404, -32601),
    ("modern header, bare initialize", INITIALIZE,
     LEGACY | {"MCP-Protocol-Version": "2026-07-28"}, [], 404, -32601),
    ("modern unknown method", changed(method="x/y"), MODERN | {"Mcp-Method": "x/y"}, [],
     404, -32601),
    ("Mcp-Name says another", CALL, MODERN | {"Mcp-Name": "delete_repo"}, [], 400, -32020),
    ("Mcp-Name in base64 says another", CALL, MODERN | {"Mcp-Name": "=?base64?eA==?="}, [],
     400, -32020),
    ("Mcp-Name in base64 says the same", CALL,
     MODERN | {"Mcp-Name": "=?base64?Y3JlYXRlX2lzc3Vl?="}, [], 200, 0),
    ("Mcp-Name missing", CALL, {k: v for k, v in MODERN.items() if k != "Mcp-Name"}, [],
     400, -32020),
    ("Mcp-Method says another", CALL, MODERN | {"Mcp-Method": "tools/list"}, [], 400, -32020),
    ("two Mcp-Names", CALL, MODERN, [("mcp-name", "create_issue")], 400, -32020),
    ("two Mcp-Methods", CALL, MODERN, [("MCP-METHOD", "tools/call")], 400, -32020),
    ("two versions", CALL, MODERN, [("mcp-protocol-version", "2026-07-28")], 400, -32020),
    ("mirrored header on an old version", OLD, LEGACY, [("Mcp-Name", "harmless")], 400, -32020),
    ("Mcp_Name is another header", CALL, MODERN, [("Mcp_Name", "x"), ("Mcp_Method", "y")], 200, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "headers", "more", "status", "code"),
    [row[1:] for row in IN_THE_HEADERS],
    ids=[row[0] for row in IN_THE_HEADERS],
)
def test_headers_have_one_answer(
    message: object, headers: Headers, more: list[tuple[str, str]], status: int, code: int
) -> None:
    assert answer(text(message), headers, more)[:2] == (status, code)


def test_a_modern_call_without_id_is_refused() -> None:
    body = {key: value for key, value in CALL.items() if key != "id"}

    assert answer(text(body), MODERN) == (400, -32600, None)


@pytest.mark.parametrize(
    "name", ["create_issue ", "cre\u0430te_issue", "create\u200b_issue", "create_issue\0"]
)
def test_a_name_that_only_looks_like_a_tool_is_not_that_tool(name: str) -> None:
    with pytest.raises(UnnameableError):
        tool("github", name)
