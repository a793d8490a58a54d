"""The same bytes, read differently by real upstreams: here each has one answer, end to end.

What the client is told, what the record says, and that not one byte reached the upstream; or, where
a row is fine, that exactly one request did, and that it was written anew. T11-T16, T23.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.gateway.harness import PATH, Rig, shared
from tests.gateway.raw import ENVELOPE, ERAS, LEGACY, MODERN, Header, Said, asking, request
from tests.upstream.speaking import understood

BOTH = ERAS
CALL = {"name": "echo", "arguments": {"a": 1}}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("rows")) as rig:
        yield rig


def text(message: object) -> bytes:
    return json.dumps(message).encode()


@dataclass(frozen=True)
class Row:
    """One spelling of a call, and what becomes of it in each of *eras*.

    `reason` is what the record says of a refusal; without one there is no record, because the
    request was none.
    """

    name: str
    status: int
    code: int | None
    reason: str | None = "malformed"
    id: object = None
    eras: tuple[str, ...] = BOTH
    body: Callable[[dict[str, Any]], bytes] = text
    headers: Callable[[list[Header]], list[Header]] = lambda headers: headers
    method: str = "tools/call"
    params: dict[str, Any] = field(default_factory=lambda: dict(CALL))


def spelt(old: str, new: str) -> Callable[[dict[str, Any]], bytes]:
    """Write the message with its first *old* as *new*."""

    def write(message: dict[str, Any]) -> bytes:
        found = json.dumps(message)
        assert old in found
        return found.replace(old, new, 1).encode()

    return write


def with_members(**members: object) -> Callable[[dict[str, Any]], bytes]:
    return lambda message: text(message | members)


def without(member: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda message: text({key: value for key, value in message.items() if key != member})


def deep(levels: int) -> Callable[[dict[str, Any]], bytes]:
    return spelt('{"a": 1}', '{"a":' * levels + "1" + "}" * levels)


def replaced(name: str, value: str) -> Callable[[list[Header]], list[Header]]:
    return lambda headers: [(key, value if key == name else old) for key, old in headers]


def removed(name: str) -> Callable[[list[Header]], list[Header]]:
    return lambda headers: [one for one in headers if one[0] != name]


def added(name: str, value: str) -> Callable[[list[Header]], list[Header]]:
    return lambda headers: [*headers, (name, value)]


def named(name: str) -> dict[str, Any]:
    return CALL | {"name": name}


def modern_meta(message: dict[str, Any]) -> bytes:
    return text(message | {"params": message["params"] | {"_meta": ENVELOPE}})


def zipped(message: dict[str, Any]) -> bytes:
    return gzip.compress(text(message))


ANSWER = text({"jsonrpc": "2.0", "id": 7, "result": {}})
REFUSED = [
    Row("duplicate name", 400, -32700, body=spelt('"name": ', '"name": "wipe", "name": ')),
    Row("duplicate method", 400, -32700, body=spelt('"method": ', '"method": "ping", "method": ')),
    Row("duplicate name through an escape", 400, -32700,
        body=spelt('"name": ', '"n\\u0061me": "wipe", "name": ')),
    Row("duplicate argument", 400, -32700, body=spelt('{"a": 1}', '{"a": 1, "a": 2}')),
    Row("Name beside name", 400, -32602, id=7, body=spelt('"name": ', '"Name": "wipe", "name": ')),
    Row("name with NUL beside name", 400, -32602, id=7,
        body=spelt('"name": ', '"name\\u0000": "wipe", "name": ')),
    Row("params with a long s", 400, -32600, id=7,
        body=spelt('"method"', '"param\\u017f": {}, "method"')),
    Row("Tools/Call", 200, -32601, "unknown_method", 7, (LEGACY,),
        body=with_members(method="Tools/Call")),
    Row("Tools/Call, modern", 404, -32601, "unknown_method", 7, (MODERN,),
        body=with_members(method="Tools/Call"), headers=replaced("Mcp-Method", "Tools/Call")),
    Row("tools/call and a space", 200, -32601, "unknown_method", 7, (LEGACY,),
        body=with_members(method="tools/call ")),
    Row("tools/call and a space, modern", 404, -32601, "unknown_method", 7, (MODERN,),
        body=with_members(method="tools/call ")),
    Row("name with a space after it", 200, -32602, "not_visible", 7, params=named("echo ")),
    Row("name with a Cyrillic o", 200, -32602, "not_visible", 7, params=named("ech\u043e")),
    Row("name with a zero width space", 200, -32602, "not_visible", 7, params=named("ech\u200bo")),
    Row("name in full width", 200, -32602, "not_visible", 7,
        params=named("\uff45\uff43\uff48\uff4f")),
    Row("name in capitals", 200, -32602, "not_visible", 7, params=named("ECHO")),
    Row("name with NUL after it", 200, -32602, "not_visible", 7, params=named("echo\0")),
    Row("name with a control character", 200, -32602, "not_visible", 7, params=named("ec\x1bho")),
    Row("name with the server before it", 200, -32602, "not_visible", 7, params=named("up__echo")),
    Row("name that is empty", 200, -32602, "not_visible", 7, params=named("")),
    Row("name of 129 characters", 200, -32602, "not_visible", 7, params=named("e" * 129)),
    Row("half a surrogate pair in the name", 400, -32700, body=spelt('"echo"', '"ech\\ud800"')),
    Row("batch of one", 400, -32600, body=lambda message: text([message])),
    Row("batch of two", 400, -32600, body=lambda message: text([message, message])),
    Row("empty batch", 400, -32600, body=lambda _: b"[]"),
    Row("without id", 400, -32600, body=without("id")),
    Row("id null", 400, -32600, body=with_members(id=None)),
    Row("id true", 400, -32600, body=with_members(id=True)),
    Row("id 1.5", 400, -32600, body=with_members(id=1.5)),
    Row("id 1.0", 400, -32600, body=with_members(id=1.0)),
    Row("id 2^53", 400, -32600, body=with_members(id=2**53)),
    Row("id of 257 bytes", 400, -32600, body=with_members(id="x" * 257)),
    Row("method and result", 400, -32600, id=7, body=with_members(result={})),
    Row("method and error", 400, -32600, id=7, body=with_members(error={"code": 1, "message": ""})),
    Row("a member of no meaning", 400, -32600, id=7, body=with_members(tool="wipe")),
    Row("a response", 400, -32600, id=7, eras=(MODERN,), body=lambda _: ANSWER),
    Row("a response to nothing", 400, -32600, "not_visible", 7, (LEGACY,), body=lambda _: ANSWER),
    Row("jsonrpc missing", 400, -32600, id=7, body=without("jsonrpc")),
    Row("jsonrpc 1.0", 400, -32600, id=7, body=with_members(jsonrpc="1.0")),
    Row("params missing", 400, -32602, id=7, body=without("params")),
    Row("params an array", 400, -32602, id=7, body=with_members(params=["echo"])),
    Row("params null", 400, -32602, id=7, body=with_members(params=None)),
    Row("name missing", 400, -32602, id=7, body=spelt('"name"', '"nom"')),
    Row("name a number", 400, -32602, id=7, eras=(LEGACY,), body=spelt('"echo"', "1")),
    Row("arguments null", 400, -32602, id=7, params=CALL | {"arguments": None}),
    Row("arguments a list", 400, -32602, id=7, params=CALL | {"arguments": ["a"]}),
    Row("NaN in the arguments", 400, -32700, body=spelt("1}", "NaN}")),
    Row("Infinity in the arguments", 400, -32700, body=spelt("1}", "-Infinity}")),
    Row("1e400 in the arguments", 400, -32700, body=spelt("1}", "1e400}")),
    Row("2^64 in the arguments", 400, -32700, body=spelt("1}", "18446744073709551616}")),
    Row("a byte order mark", 400, -32700, body=lambda message: b"\xef\xbb\xbf" + text(message)),
    Row("UTF-16", 400, -32700, body=lambda message: json.dumps(message).encode("utf-16")),
    Row("broken UTF-8", 400, -32700, body=lambda message: text(message).replace(b"echo", b"e\xff")),
    Row("two messages", 400, -32700, body=lambda message: text(message) * 2),
    Row("nothing", 400, -32700, body=lambda _: b""),
    Row("depth 65", 400, -32700, body=deep(63)),
    Row("depth 3000", 400, -32700, body=deep(3000)),
    Row("6 MB", 413, -32600, body=lambda message: text(message) + b" " * 6_000_000),
    Row("text/plain", 415, -32600, headers=replaced("Content-Type", "text/plain")),
    Row("text/plain, application/json", 415, -32600,
        headers=replaced("Content-Type", "text/plain, application/json")),
    Row("two Content-Types", 400, -32600, None, headers=added("Content-Type", "application/json")),
    Row("charset utf-7", 415, -32600,
        headers=replaced("Content-Type", "application/json; charset=utf-7")),
    Row("charset utf-16", 415, -32600,
        headers=replaced("Content-Type", "application/json; charset=utf-16")),
    Row("gzip", 415, -32600, headers=added("Content-Encoding", "gzip"), body=zipped),
    Row("garbage that is called gzip", 415, -32600, headers=added("Content-Encoding", "gzip")),
    Row("version 2099-01-01", 400, -32022, id=7,
        headers=replaced("MCP-Protocol-Version", "2099-01-01")),
    Row("version 2025-03-26", 400, -32022, id=7, eras=(LEGACY,),
        headers=replaced("MCP-Protocol-Version", "2025-03-26")),
    Row("no version", 400, -32600, id=7, eras=(LEGACY,), headers=removed("MCP-Protocol-Version")),
    Row("no version and a modern envelope", 400, -32020, id=7, eras=(MODERN,),
        headers=removed("MCP-Protocol-Version")),
    Row("legacy header and modern envelope", 400, -32020, id=7, eras=(LEGACY,), body=modern_meta),
    Row("modern header and no envelope", 400, -32602, id=7, eras=(LEGACY,),
        headers=replaced("MCP-Protocol-Version", MODERN)),
    Row("modern header and initialize", 404, -32601, "unknown_method", 7, (MODERN,),
        method="initialize", params={"protocolVersion": LEGACY}),
    Row("legacy header and server/discover", 200, -32601, "unknown_method", 7, (LEGACY,),
        method="server/discover", params={}),
    Row("envelope of another version", 400, -32020, id=7, eras=(MODERN,),
        body=spelt(f'Version": "{MODERN}"', 'Version": "2026-07-29"')),
    Row("envelope without capabilities", 400, -32602, id=7, eras=(MODERN,),
        body=spelt("clientCapabilities", "clientcapability")),
    Row("Mcp-Name says another", 400, -32020, id=7, eras=(MODERN,),
        headers=replaced("Mcp-Name", "wipe")),
    Row("Mcp-Name in base64 says another", 400, -32020, id=7, eras=(MODERN,),
        headers=replaced("Mcp-Name", "=?base64?d2lwZQ==?=")),
    Row("Mcp-Name missing", 400, -32020, id=7, eras=(MODERN,), headers=removed("Mcp-Name")),
    Row("Mcp-Method says another", 400, -32020, id=7, eras=(MODERN,),
        headers=replaced("Mcp-Method", "tools/list")),
    Row("two Mcp-Names", 400, -32020, eras=(MODERN,), headers=added("mcp-name", "echo")),
    Row("two Mcp-Methods", 400, -32020, eras=(MODERN,), headers=added("MCP-METHOD", "tools/call")),
    Row("two versions", 400, -32020, eras=(MODERN,),
        headers=added("mcp-protocol-version", MODERN)),
    Row("mirrored header on an old version", 400, -32020, id=7, eras=(LEGACY,),
        headers=added("Mcp-Name", "wipe")),
    Row("mirrored argument that says another", 400, -32020, id=7, eras=(MODERN,),
        params={"name": "mirror", "arguments": {"where": "here"}},
        headers=added("Mcp-Param-Where", "there")),
    Row("mirrored argument without its header", 400, -32020, id=7, eras=(MODERN,),
        params={"name": "mirror", "arguments": {"where": "here"}}),
    Row("only JSON accepted", 406, -32600, headers=replaced("Accept", "application/json")),
]  # fmt: skip

FINE = [
    Row("untouched", 200, None, "granted"),
    Row("tools\\u002fcall", 200, None, "granted",
        body=spelt("tools/call", "tools\\u002fcall")),
    Row("n\\u0061me", 200, None, "granted", body=spelt('"name"', '"n\\u0061me"')),
    Row("white space everywhere", 200, None, "granted",
        body=lambda message: b" \n" + json.dumps(message, indent=3).encode() + b"\r\n"),
    Row("charset utf-8", 200, None, "granted",
        headers=replaced("Content-Type", 'application/json; charset="UTF-8"')),
    Row("identity encoding", 200, None, "granted", headers=added("Content-Encoding", "identity")),
    Row("Mcp-Name in base64", 200, None, "granted", eras=(MODERN,),
        headers=replaced("Mcp-Name", "=?base64?ZWNobw==?=")),
    Row("Mcp_Method is another header", 200, None, "granted",
        headers=added("Mcp_Method", "tools/list")),
    Row("depth 64", 200, None, "granted", body=deep(61)),
]  # fmt: skip


def cases(rows: list[Row]) -> pytest.MarkDecorator:
    pairs = [pytest.param(row, era, id=f"{row.name} - {era}") for row in rows for era in row.eras]
    return pytest.mark.parametrize(("row", "era"), pairs)


async def asked(rig: Rig, row: Row, era: str) -> Said:
    body, headers = asking(row.method, row.params, version=era)
    headers = [("Authorization", rig.bearer()), *row.headers(headers)]
    return await rig.post(headers, row.body(json.loads(body)))


@cases(REFUSED)
def test_a_refused_row_has_one_answer_one_record_and_reaches_nobody(
    rig: Rig, row: Row, era: str
) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark

        said = await asked(rig, row, era)

        assert (said.status, said.code, said.message["id"]) == (row.status, row.code, row.id)
        records = [one.payload for one in rig.records()[before:]]
        reasons = [] if row.reason is None else [("deny", row.reason)]
        assert [(one["verdict"], one["reason"]) for one in records] == reasons
        assert all(one["principal"]["id"] == "ci" and one["server"] == "up" for one in records)
        assert rig.mark == seen

    rig.run(story())


@cases(FINE)
def test_a_fine_row_reaches_the_upstream_once_and_written_anew(
    rig: Rig, row: Row, era: str
) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark

        said = await asked(rig, row, era)

        assert (said.status, said.code, said.message["id"]) == (200, None, 7)
        (record,) = rig.records()[before:]
        assert (record.payload["verdict"], record.payload["reason"]) == ("allow", "granted")
        (raw,) = rig.upstream.seen[seen:]
        method, message = understood(raw)
        assert method == "tools/call"
        assert message["params"]["name"] == "echo"
        assert raw.endswith(b"\r\n\r\n" + json.dumps(message, separators=(",", ":")).encode())
        assert b"_Method" not in raw

    rig.run(story())


@pytest.mark.parametrize("era", BOTH)
def test_an_id_of_text_and_one_of_digits_are_two(rig: Rig, era: str) -> None:
    async def story() -> list[object]:
        ids: list[object] = [0, 1, "1", -1, 2**53 - 1, "\u00e4"]
        said = [await rig.ask("tools/call", CALL, version=era, id_=one) for one in ids]
        assert [json.dumps(each.message["id"]) for each in said] == [json.dumps(i) for i in ids]
        return [json.dumps(understood(raw)[1]["id"]) for raw in rig.upstream.seen[-len(ids) :]]

    assert rig.run(story()) == ["0", "1", '"1"', "-1", "9007199254740991", '"\\u00e4"']


def test_a_version_that_is_unknown_is_answered_with_those_of_the_upstream(rig: Rig) -> None:
    async def story() -> None:
        discovered = await rig.ask("server/discover")
        body, headers = asking("tools/list")
        headers = replaced("MCP-Protocol-Version", "2099-01-01")(headers)
        refused = await rig.post([("Authorization", rig.bearer()), *headers], body)

        supported = discovered.message["result"]["supportedVersions"]
        told = {"supported": supported, "requested": "2099-01-01"}
        assert refused.message["error"]["data"] == told

    rig.run(story())


HEAD = "Host: HOST\r\nAuthorization: TOKEN\r\nContent-Type: application/json\r\n"
REST = "Accept: */*\r\nMCP-Protocol-Version: 2025-11-25\r\n"
BODY = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo"}}'
SIZE = f"Content-Length: {len(BODY)}\r\n"
START = f"POST {PATH} HTTP/1.1\r\n"
CHUNKS = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"

RAW = [
    ("length and chunks", START + HEAD + REST + SIZE + CHUNKED + "\r\n" + CHUNKS, 400),
    ("two lengths", START + HEAD + REST + SIZE + SIZE + "\r\n" + BODY, 400),
    ("two lengths in one", START + HEAD + REST + f"Content-Length: {len(BODY)}, {len(BODY)}\r\n\r\n"
     + BODY, 400),
    ("unknown coding", START + HEAD + REST + "Transfer-Encoding: gzip\r\n\r\n" + CHUNKS, 400),
    ("coding twice", START + HEAD + REST + CHUNKED + CHUNKED + "\r\n" + CHUNKS, 400),
    ("line feeds alone", (START + HEAD + REST + SIZE + "\r\n").replace("\r\n", "\n") + BODY, 400),
    ("carriage return in a value", START + HEAD + REST + "X: a\rb\r\n" + SIZE + "\r\n" + BODY, 400),
    ("space before a colon", START + HEAD + REST + "X : a\r\n" + SIZE + "\r\n" + BODY, 400),
    ("folded line", START + HEAD + REST + "X: a\r\n b\r\n" + SIZE + "\r\n" + BODY, 400),
    ("NUL in a value", START + HEAD + REST + "X: a\0b\r\n" + SIZE + "\r\n" + BODY, 400),
    ("two hosts", START + HEAD + REST + "Host: HOST\r\n" + SIZE + "\r\n" + BODY, 421),
    ("no host", START + HEAD.replace("Host: HOST\r\n", "") + REST + SIZE + "\r\n" + BODY, 421),
    ("chunks in HTTP/1.0", START.replace("1.1", "1.0") + HEAD + REST + CHUNKED + "\r\n" + CHUNKS,
     400),
    ("HTTP/0.9", f"POST {PATH} HTTP/0.9\r\n" + HEAD + REST + SIZE + "\r\n" + BODY, 400),
    ("target of a foreign host", f"POST http://evil.example{PATH} HTTP/1.1\r\n" + HEAD + REST + SIZE
     + "\r\n" + BODY, 404),
    ("escaped letter", START.replace("/mcp", "/mc%70") + HEAD + REST + SIZE + "\r\n" + BODY, 404),
    ("query", START.replace("/mcp", "/mcp?a=b") + HEAD + REST + SIZE + "\r\n" + BODY, 404),
    ("empty query", START.replace("/mcp", "/mcp?") + HEAD + REST + SIZE + "\r\n" + BODY, 404),
    ("fragment", START.replace("/mcp", "/mcp#a") + HEAD + REST + SIZE + "\r\n" + BODY, 404),
    ("upgrade", START + HEAD + REST + "Connection: Upgrade\r\nUpgrade: h2c\r\n" + SIZE + "\r\n"
     + BODY, 400),
    ("PUT", START.replace("POST", "PUT") + HEAD + REST + SIZE + "\r\n" + BODY, 405),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "status"), [one[1:] for one in RAW], ids=[one[0] for one in RAW])
def test_a_request_that_is_no_plain_http_reaches_nobody(rig: Rig, raw: str, status: int) -> None:
    async def story() -> None:
        seen = rig.mark
        text = raw.replace("HOST", rig.host).replace("TOKEN", rig.bearer())

        said = await rig.say(text.encode("latin-1"))

        assert said.status == status
        assert said.message["error"]["code"] in (-32600, 40401)
        assert rig.mark == seen

    rig.run(story())


def test_a_target_in_absolute_form_that_names_the_gateway_is_its_path(rig: Rig) -> None:
    async def story() -> int:
        seen = rig.mark
        headers = [("Host", rig.host), ("Authorization", rig.bearer())]
        headers += [("Content-Type", "application/json"), ("Accept", "*/*")]
        headers += [("MCP-Protocol-Version", LEGACY), ("Content-Length", str(len(BODY)))]
        said = await rig.say(request("POST", rig.url, headers, BODY.encode()))
        assert said.status == 200
        return rig.mark - seen

    assert rig.run(story()) == 1
