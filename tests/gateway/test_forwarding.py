"""What goes upstream is what was judged and our own headers; what comes back is what may."""

from __future__ import annotations

import asyncio
import json
import random
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.desk import hangs_up
from tests.gateway.harness import PATH, Rig, gateway
from tests.gateway.raw import ENVELOPE, ERAS, LEGACY, MODERN, Header, Said, asking, request
from tests.gateway.worlds import FEW, forwarding
from tests.upstream.scripted import JSON, SSE, whole
from tests.upstream.speaking import Message, gives, refuses, result_of, understood, written

each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with forwarding(tmp_path_factory.mktemp("forwarding")) as rig:
        yield rig


# T04, T19: the way there.

CANARY = "canary-5f1d0c"

FOREIGN: list[Header] = [
    ("Cookie", f"session={CANARY}"),
    ("X-Forwarded-For", CANARY),
    ("X-Forwarded-Host", CANARY),
    ("X-Real-IP", "10.1.2.3"),
    ("Forwarded", f"for={CANARY}"),
    ("X-Api-Key", CANARY),
    ("User-Agent", CANARY),
    ("Accept-Language", "tlh"),
    ("Referer", f"http://localhost/{CANARY}"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", f"x={CANARY}"),
    ("baggage", f"x={CANARY}"),
    ("Mcp-Foo", CANARY),
    ("Mcp-Param-Unasked", CANARY),
    ("Mcp_Method", CANARY),
    ("Last-Event-ID", CANARY),
    ("Proxy-Authorization", f"Bearer {CANARY}"),
    ("X-Authorization", f"Bearer {CANARY}"),
    ("TE", "trailers"),
    ("Keep-Alive", "timeout=99"),
    ("Prefer", CANARY),
]


def expected(rig: Rig, message: Message, fields: list[Header]) -> bytes:
    """Return the request that *message* makes upstream, to the byte."""
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    ours = [
        ("Host", f"127.0.0.1:{rig.upstream.upstream.port}"),
        ("Connection", "keep-alive"),
        ("Content-Length", str(len(body))),
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        *fields,
    ]
    return request("POST", "/mcp", ours, body)


BEARER: Header = ("Authorization", "Bearer of-the-gateway-for-up")


def test_a_modern_upstream_sees_the_judged_message_and_our_headers_alone(rig: Rig) -> None:
    async def story() -> bytes:
        params = {"name": "mirror", "arguments": {"where": "\u00e4 there"}}
        more = [*FOREIGN, ("Mcp-Session-Id", CANARY)]
        more.append(("Mcp-Param-Where", "=?base64?w6QgdGhlcmU=?="))
        said = await rig.ask("tools/call", params, more=more)
        assert said.status == 200
        return rig.upstream.seen[-1]

    raw = rig.run(story())

    params = {"_meta": ENVELOPE, "name": "mirror", "arguments": {"where": "\u00e4 there"}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    assert raw == expected(
        rig,
        message,
        [
            ("MCP-Protocol-Version", MODERN),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "mirror"),
            ("Mcp-Param-Where", "=?base64?w6QgdGhlcmU=?="),
            BEARER,
        ],
    )


@pytest.mark.parametrize("in_session", [False, True])
def test_a_legacy_upstream_sees_the_judged_message_and_our_headers_alone(
    rig: Rig, *, in_session: bool
) -> None:
    async def story() -> bytes:
        params = {"name": "echo", "arguments": {"a": 1}}
        more = [*FOREIGN, rig.session()] if in_session else FOREIGN
        said = await rig.ask("tools/call", params, version=LEGACY, more=more)
        assert said.status == 200
        return rig.upstream.seen[-1]

    raw = rig.run(story())

    params = {"name": "echo", "arguments": {"a": 1}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    session = [("Mcp-Session-Id", "s-1")] if in_session else []
    assert raw == expected(rig, message, [("MCP-Protocol-Version", LEGACY), BEARER, *session])


def test_the_end_of_a_session_is_told_with_our_headers_alone(rig: Rig) -> None:
    async def story() -> bytes:
        fields = [("Host", rig.host), ("Authorization", rig.bearer()), *FOREIGN]
        fields += [("MCP-Protocol-Version", LEGACY), rig.session()]
        said = await rig.say(request("DELETE", PATH, fields))
        assert (said.status, said.body) == (200, b"")
        return rig.upstream.seen[-1]

    ours = [("Host", f"127.0.0.1:{rig.upstream.upstream.port}"), ("Connection", "keep-alive")]
    ours += [("MCP-Protocol-Version", LEGACY), ("Mcp-Session-Id", "s-1"), BEARER]
    assert rig.run(story()) == request("DELETE", "/mcp", ours)


def values() -> Iterator[str]:
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
    yield from (f"a{one}X-Evil: 1" for one in controls)
    yield from controls
    yield from (
        "a\r\nX-Evil: 1",
        "a\r\n\r\nPOST / HTTP/1.1",
        " a",
        "a ",
        "\ta",
        "a\u2028b",
        "\ufeff",
    )
    yield from (
        "=?base64?eA==?=",
        "=?BASE64?eA==?=",
        "=?base64?",
        "a,b",
        "a;b",
        '"',
        "\\",
        ":",
        "%0d",
    )
    chance = random.Random("headers")
    for _ in range(200):
        codes = [chance.choice((chance.randrange(256), chance.randrange(0xD800))) for _ in range(9)]
        yield "".join(map(chr, codes))


def header_form(value: str) -> str:
    """Return *value* in its base64 form, which any value may have."""
    return f"=?base64?{b64encode(value.encode()).decode()}?="


def header_lines(raw: bytes) -> dict[str, str]:
    lines = raw.partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")[1:]
    found = [line.partition(": ") for line in lines]
    assert len({name for name, _, _ in found}) == len(found) == 10
    return {name: value for name, _, value in found}


def test_no_argument_becomes_more_than_the_value_of_its_header(rig: Rig) -> None:
    async def story() -> None:
        for value in values():
            params = {"name": "mirror", "arguments": {"where": value}}
            said = await rig.ask(
                "tools/call", params, more=[("Mcp-Param-Where", header_form(value))]
            )
            assert said.status == 200
            raw = rig.upstream.seen[-1]
            told = header_lines(raw)["Mcp-Param-Where"]
            found = re.fullmatch(r"=\?base64\?(.*)\?=", told)
            assert (b64decode(found[1]).decode() if found else told) == value
            assert understood(raw)[1]["params"]["arguments"] == {"where": value}

    rig.run(story())


def test_no_name_with_a_control_character_goes_anywhere(rig: Rig) -> None:
    async def story() -> None:
        seen = rig.mark
        for value in values():
            for method, params in (
                ("tools/call", {"name": f"echo{value}"}),
                ("prompts/get", {"name": f"greet{value}"}),
                ("resources/read", {"uri": f"note://{value}"}),
            ):
                if value.isascii() and value.isprintable():
                    continue
                said = await rig.ask(method, params, version=LEGACY)
                assert said.code in (-32602, -32002)
        assert rig.mark == seen

    rig.run(story())


# What an upstream may not be told, and may not ask for.

CAPABILITIES: Mapping[str, Any] = {
    "sampling": {"tools": {}},
    "elicitation": {"form": {}, "url": {}},
    "roots": {"listChanged": True},
    "tasks": {"requests": {"sampling": {"createMessage": {}}}},
    "experimental": {"x": {}},
}


def test_a_legacy_upstream_is_not_told_what_it_might_ask_of_the_client(rig: Rig) -> None:
    async def story() -> Message:
        info = {"name": "x", "version": "1"}
        params = {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "clientInfo": info}
        said = await rig.ask("initialize", params, version=LEGACY, client=FEW)
        result = said.message["result"]
        assert set(result["capabilities"]) <= {"tools", "prompts", "resources", "completions"}
        assert ("Mcp-Session-Id", said.header("mcp-session-id")) == rig.session(FEW)
        sent: Message = understood(rig.upstream.seen[-1])[1]["params"]
        return sent

    assert rig.run(story())["capabilities"] == {"experimental": {"x": {}}}


def test_a_modern_upstream_is_not_told_what_it_might_ask_of_the_client(rig: Rig) -> None:
    async def story() -> Message:
        meta = ENVELOPE | {"io.modelcontextprotocol/clientCapabilities": CAPABILITIES}
        params = {"name": "echo", "_meta": meta, "task": {"ttl": 1}}
        assert (await rig.ask("tools/call", params, client=FEW)).status == 200
        sent: Message = understood(rig.upstream.seen[-1])[1]["params"]
        return sent

    params = rig.run(story())

    key = "io.modelcontextprotocol/clientCapabilities"
    assert params["_meta"][key] == {"experimental": {"x": {}}}
    assert "task" not in params


def test_log_messages_are_wished_for_by_those_alone_who_may_have_them(rig: Rig) -> None:
    async def story() -> list[bool]:
        key = "io.modelcontextprotocol/logLevel"
        params = {"name": "echo", "_meta": ENVELOPE | {key: "debug"}}
        told = []
        for client in ("ci", FEW):
            assert (await rig.ask("tools/call", params, client=client)).status == 200
            told.append(key in understood(rig.upstream.seen[-1])[1]["params"]["_meta"])
        return told

    assert rig.run(story()) == [True, False]


@each_era
def test_whoever_may_have_no_log_messages_is_not_told_that_there_are_any(
    rig: Rig, era: str
) -> None:
    async def story() -> list[set[str]]:
        capabilities: Message = {"tools": {}, "logging": {}, "tasks": {}, "experimental": {}}
        introduction: Message = {"capabilities": capabilities, "protocolVersion": LEGACY}
        introduction |= {"supportedVersions": [MODERN]}
        method = "server/discover" if era == MODERN else "initialize"
        params = {} if era == MODERN else {"protocolVersion": LEGACY, "capabilities": {}}
        told = []
        with rig.saying({method: gives(introduction)}):
            for client in ("ci", FEW):
                said = await rig.ask(method, params, version=era, client=client)
                told.append(set(said.message["result"]["capabilities"]))
        return told

    assert rig.run(story()) == [{"tools", "logging", "tasks"}, {"tools", "tasks"}]


ASKS = ("sampling/createMessage", "elicitation/create", "roots/list", "ping", "x/y")


def test_what_a_modern_upstream_asks_in_a_stream_is_dropped_and_counted(rig: Rig) -> None:
    def speech(asked: Message) -> bytes:
        params: dict[str, Any] = {"messages": [], "message": CANARY, "progress": 1}
        asks = [{"jsonrpc": "2.0", "id": 1, "method": one, "params": params} for one in ASKS]
        tells = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
        other = {"jsonrpc": "2.0", "id": 1, "result": {}}
        answer = result_of(asked, {"content": []})
        lines = (written(one) for one in (*asks, tells, progress, other, answer, answer))
        return whole(b"".join(b"data: %b\n\n" % line for line in lines), media=SSE)

    async def story() -> tuple[Said, str, int]:
        seen = rig.mark
        with rig.saying({"tools/call": speech}):
            said = await rig.ask("tools/call", {"name": "echo"})
        return said, await rig.metrics(), rig.mark - seen

    said, metrics, requests = rig.run(story())

    assert [one.get("method", "answer") for one in said.events] == ["answer"]
    assert requests == 1
    for one in (*ASKS[:-1], "notifications/progress", "notifications/tools/list_changed"):
        assert re.search(rf'upstream_dropped.*"{one}"', metrics)


@pytest.mark.parametrize("kind", ["task", "x", 1, None])
def test_a_result_of_a_kind_that_was_not_asked_for_is_not_passed_on(rig: Rig, kind: object) -> None:
    def speech(asked: Message) -> bytes:
        requests = {"a": {"method": "elicitation/create", "params": {"message": CANARY}}}
        result = {"resultType": kind, "inputRequests": requests, "requestState": "s"}
        return whole(written(result_of(asked, result)))

    async def story() -> Said:
        with rig.saying({"tools/call": speech}):
            return await rig.ask("tools/call", {"name": "echo"})

    said = rig.run(story())

    assert (said.status, said.code) == (502, 50201)
    assert CANARY.encode() not in said.raw


@each_era
def test_no_header_of_the_upstream_comes_back(rig: Rig, era: str) -> None:
    async def story() -> None:
        more = (
            b"Set-Cookie: a=b\r\nWWW-Authenticate: Bearer\r\nX-Evil: 1\r\nServer: x\r\n"
            b"Cache-Control: public\r\nAccess-Control-Allow-Origin: *\r\nMcp-Session-Id: s-2\r\n"
        )
        for media in (JSON, SSE):

            def speech(asked: Message, media: bytes = media) -> bytes:
                body = written(result_of(asked, {"content": []}))
                return whole(
                    body if media == JSON else b"data: %b\n\n" % body, media=media, more=more
                )

            with rig.saying({"tools/call": speech}):
                said = await rig.ask("tools/call", {"name": "echo"}, version=era)

            names = {name.lower() for name, _ in said.headers}
            assert said.status == 200
            assert names <= {
                "content-type", "cache-control", "content-length", "transfer-encoding",
                "x-accel-buffering",
            }  # fmt: skip
            assert "public" not in str(said.headers)

    rig.run(story())


def contents(directory: Path) -> dict[str, bytes]:
    """Return all that was written below *directory*, by the names of the files."""
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_token_of_a_client_is_written_nowhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, settings={"record.arguments": "full"}) as rig:
            token = rig.bearer().partition(" ")[2]
            signature = token.rpartition(".")[2]
            for era in ERAS:
                for method, params in (
                    ("tools/list", {}),
                    ("tools/call", {"name": "echo"}),
                    ("tools/call", {"name": "none"}),
                    ("no/such", {}),
                ):
                    await rig.ask(method, params, version=era)
            with rig.saying({"tools/call": hangs_up}):
                await rig.ask("tools/call", {"name": "echo"})
            body, headers = asking("tools/list")
            lost = [("Authorization", f"Bearer {token}x"), *headers]
            assert (await rig.post(lost, body)).status == 401
            lost = [("Authorization", f"Bearer {token}"), ("Cookie", f"access_token={token}")]
            assert (await rig.post([*lost, *headers], body)).status == 400
            await rig.post(headers, body, path=f"{PATH}?access_token={token}")

            places = {"upstream": b"".join(rig.upstream.seen), "log": rig.log.getvalue().encode()}
            places["metrics"] = (await rig.metrics()).encode()
        places |= contents(tmp_path)
        assert {"northgate.db", "log", "upstream", "metrics"} <= places.keys()
        found = [name for name, text in places.items() if signature.encode() in text]
        assert found == []
        ours = [name for name, text in places.items() if b"of-the-gateway-for-up" in text]
        assert ours == ["upstream", "northgate.toml"]

    asyncio.run(story())


def test_what_calls_say_and_what_they_are_answered_is_written_nowhere(tmp_path: Path) -> None:
    secret, answer, error = "argument-9b2e41", "result-77aa01", "error-31fe55"

    async def story() -> None:
        async with gateway(tmp_path) as rig:
            content = [{"type": "text", "text": answer}]
            for era in ERAS:
                params = {"name": "echo", "arguments": {"text": secret, "url": secret}}
                with rig.saying({"tools/call": gives({"content": content})}):
                    assert answer in str((await rig.ask("tools/call", params, version=era)).message)
                with rig.saying({"tools/call": refuses(-32000, data=error)}):
                    assert error in str((await rig.ask("tools/call", params, version=era)).message)
                with rig.saying({"tools/call": lambda _: whole(error.encode())}):
                    assert (await rig.ask("tools/call", params, version=era)).status == 502
                params["arguments"] = {secret: {"a": [secret]}}
                await rig.ask("tools/call", params, version=era)
            places = {"log": rig.log.getvalue().encode(), "metrics": (await rig.metrics()).encode()}
        places |= contents(tmp_path)
        for one in (secret, answer, error):
            assert [name for name, text in places.items() if one.encode() in text] == []

    asyncio.run(story())
