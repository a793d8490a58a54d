"""Headers say what they must, once, and the same as the body; what goes on is written by us."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.headers import (
    CAPABILITIES_KEY,
    VERSION_KEY,
    Judged,
    Routing,
    agree,
    check_delete,
    check_post,
    check_stream,
    decode_value,
    encode_value,
    outgoing,
)
from proxy.wire.jsonrpc import Message, Notification, Request, Response
from proxy.wire.methods import Party, find
from proxy.wire.refusals import Fault, WireError

GOOD = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
MODERN = "2026-07-28"
ENVELOPE = {VERSION_KEY: MODERN, CAPABILITIES_KEY: {}}


def post_fault(*headers: tuple[str, str], good: list[tuple[str, str]] = GOOD) -> Fault:
    with pytest.raises(WireError) as caught:
        check_post([*good, *headers])
    return caught.value.fault


def types(*values: str) -> list[tuple[str, str]]:
    return [GOOD[1], *(("Content-Type", value) for value in values)]


@pytest.mark.parametrize(
    "value",
    [
        "application/json",
        "Application/JSON",
        "APPLICATION/JSON",
        " application/json ",
        "application/json;charset=utf-8",
        "application/json; charset=utf-8",
        "application/json; charset=UTF-8",
        "application/json ; Charset=Utf-8",
        'application/json; charset="utf-8"',
        "application/json\t;\tcharset=utf-8",
    ],
)
def test_json_in_utf8_is_a_media_type_we_read(value: str) -> None:
    assert check_post(types(value)) == Routing()


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["application/json", "application/json"],
        ["text/plain", "application/json"],
        ["text/plain"],
        ["text/json"],
        ["text/plain, application/json"],
        ["application/json, text/plain"],
        ["application/json,application/json"],
        ["application/json; charset=utf-7"],
        ["application/json; charset=utf-16"],
        ["application/json; charset=utf8"],
        ["application/json; charset=us-ascii"],
        ["application/json; charset=iso-8859-1"],
        ["application/json; charset="],
        ["application/json; charset"],
        ["application/json; charset=utf-8; charset=utf-7"],
        ["application/json; charset=utf-8; charset=utf-8"],
        ["application/json; charset=utf-8;"],
        ["application/json;"],
        ["application/json; boundary=x"],
        ["application/json; charset=utf-8; x=y"],
        ["application/json; charset='utf-8'"],
        ['application/json; charset="utf-8'],
        ["application/json charset=utf-8"],
        ["application/json+x"],
        ["application/vnd.api+json"],
        ["application/jsonx"],
        ["xapplication/json"],
        ["application/ json"],
        ["application /json"],
        ["application/j\u017fon"],
        ["application/json\n"],
        ["application/json\x00"],
        ["application/json\x0b"],
        ["application/json-rpc"],
        ["application/*"],
        ["*/*"],
        ["multipart/form-data"],
        ["application/x-www-form-urlencoded"],
        ["application/octet-stream"],
    ],
)
def test_any_other_spelling_of_the_media_type_is_refused(values: list[str]) -> None:
    with pytest.raises(WireError) as caught:
        check_post(types(*values))
    assert (caught.value.fault, caught.value.status) == (Fault.MEDIA_TYPE, 415)


@pytest.mark.parametrize(
    "values", [["gzip"], ["deflate"], ["br"], ["zstd"], ["identity, gzip"], ["identity"] * 2, [""]]
)
def test_a_compressed_body_is_refused_before_it_is_read(values: list[str]) -> None:
    assert post_fault(*(("Content-Encoding", v) for v in values)) is Fault.CONTENT_ENCODING


def test_a_body_may_be_declared_to_be_as_it_is() -> None:
    assert check_post([*GOOD, ("content-encoding", "Identity")]) == Routing()


@pytest.mark.parametrize(
    ("values", "is_accepted"),
    [
        (["application/json, text/event-stream"], True),
        (["text/event-stream", "application/json"], True),
        (["Application/JSON;q=0.5, TEXT/event-stream; q=1.0"], True),
        (["*/*"], True),
        (["application/*, text/*"], True),
        ([], False),
        ([""], False),
        (["application/json"], False),
        (["text/event-stream"], False),
        (["application/json, text/event-stream;q=0"], False),
        (["application/json;q=0.000, text/event-stream"], False),
        (["text/html, application/*"], False),
    ],
)
def test_both_kinds_of_answer_must_be_accepted(values: list[str], *, is_accepted: bool) -> None:
    good = [GOOD[0], *(("Accept", value) for value in values)]

    if is_accepted:
        assert check_post(good) == Routing()
    else:
        assert post_fault(good=good) is Fault.NOT_ACCEPTABLE


def test_a_stream_is_given_to_whom_accepts_one() -> None:
    assert check_stream([("Accept", "text/event-stream"), ("Last-Event-ID", "e1")]) == Routing(
        last_event="e1"
    )
    with pytest.raises(WireError, match="not_acceptable"):
        check_stream([("Accept", "application/json")])
    assert check_delete([("MCP-Session-Id", "s")]) == Routing(session="s")


def test_routing_headers_are_read_whatever_their_case() -> None:
    routing = check_post(
        [
            *GOOD,
            ("mcp-protocol-VERSION", " 2026-07-28\t"),
            ("MCP-METHOD", "tools/call"),
            ("Mcp-Name", "=?base64?w6k=?="),
            ("Mcp-Session-Id", "abc"),
            ("Mcp-Param-Region", "=?base64?w6k=?="),
        ]
    )

    assert routing == Routing(
        "2026-07-28", "tools/call", "\u00e9", "abc", None, {"region": "\u00e9"}
    )


@pytest.mark.parametrize(
    "name",
    ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Session-Id", "Last-Event-ID",
     "Mcp-Param-Region"],
)  # fmt: skip
def test_a_routing_header_comes_once(name: str) -> None:
    assert post_fault((name, "a"), (name.swapcase(), "a")) is Fault.DUPLICATE_HEADER


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Mcp-Name", "=?base64?w6k?="),
        ("Mcp-Name", "=?base64?w6l=?="),
        ("Mcp-Name", "=?base64?!!!!?="),
        ("Mcp-Name", "=?base64?/w==?="),
        ("Mcp-Name", "=?base64?7aCA?="),
        ("Mcp-Name", "\u00e9"),
        ("Mcp-Name", "\udcff"),
        ("Mcp-Name", "a\x00b"),
        ("Mcp-Name", "a\x7f"),
        ("Mcp-Name", "x" * 8193),
        ("Mcp-Method", "tools\tcall"),
        ("MCP-Protocol-Version", ""),
        ("MCP-Protocol-Version", "2026-07-28, 2026-07-28"),
        ("Mcp-Session-Id", "a b"),
        ("Last-Event-ID", ""),
        ("Mcp-Param-", "x"),
        ("Mcp-Param-a b", "x"),
        ("Mcp-Param-Region", "\u00e9"),
        ("Mcp-Param-Region", "=?base64?x?="),
    ],
)
def test_a_malformed_routing_header_is_refused(name: str, value: str) -> None:
    assert post_fault((name, value)) is Fault.BAD_HEADER


@pytest.mark.parametrize("value", ["=?BASE64?w6k=?=", "=?base64?w6k=", "base64?w6k=?=", "a=?b?="])
def test_what_only_resembles_the_base64_form_is_literal(value: str) -> None:
    assert decode_value(value) == value


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_value_survives_header_text(value: str) -> None:
    header = encode_value(value)

    assert decode_value(header) == value
    assert set(header) <= set(string.printable) - set("\t\n\r\x0b\x0c")
    assert header == header.strip()


def call(name: object = "a", meta: object = ENVELOPE, method: str = "tools/call") -> Request:
    params: dict[str, Any] = {"name": name, "uri": name, "_meta": meta}
    return Request(7, method, {key: value for key, value in params.items() if value is not ...})


def routing(
    version: str | None = MODERN, method: str | None = "tools/call", name: str | None = "a"
) -> Routing:
    return Routing(version, method, name)


def disagreement(routing: Routing, message: Message) -> tuple[Fault, int]:
    with pytest.raises(WireError) as caught:
        agree(routing, message)
    assert caught.value.id == message.id
    return caught.value.fault, caught.value.code


def test_a_modern_call_whose_headers_agree_is_modern() -> None:
    judged = agree(routing(), call())

    assert judged == Judged(MODERN, find(Party.CLIENT, "tools/call", MODERN))
    assert judged.is_modern


@pytest.mark.parametrize(
    ("its", "message"),
    [
        (routing(method=None), call()),
        (routing(method="Tools/Call"), call()),
        (routing(method="tools/list"), call()),
        (routing(name=None), call()),
        (routing(name="b"), call()),
        (routing(name="A"), call()),
        (routing(method="resources/read"), call("file:///a", method="resources/read")),
        (routing(method="prompts/get", name="b"), call(method="prompts/get")),
        (routing(), call(meta=ENVELOPE | {VERSION_KEY: "2025-11-25"})),
        (routing(), call(meta=ENVELOPE | {VERSION_KEY: None})),
        (routing(version="2025-11-25"), call()),
        (routing(version=None), call()),
        (routing(version="2025-11-25", method="tools/list"), call(meta=...)),
        (routing(version="2025-11-25", name="b"), call(meta=...)),
        (Routing(MODERN, "x"), Notification("notifications/cancelled")),
        (
            Routing(MODERN),
            Notification("notifications/cancelled", {"_meta": {VERSION_KEY: "2025-11-25"}}),
        ),
    ],
)
def test_headers_that_disagree_with_the_body_are_refused(its: Routing, message: Message) -> None:
    assert disagreement(its, message) == (Fault.HEADER_MISMATCH, -32020)


@pytest.mark.parametrize(
    "meta",
    [
        ...,
        None,
        [],
        "x",
        {},
        {VERSION_KEY: MODERN},
        {CAPABILITIES_KEY: {}},
        ENVELOPE | {CAPABILITIES_KEY: None},
        ENVELOPE | {CAPABILITIES_KEY: []},
    ],
)
def test_a_modern_request_carries_its_envelope(meta: object) -> None:
    assert disagreement(routing(), call(meta=meta)) == (Fault.BAD_ENVELOPE, -32602)


@pytest.mark.parametrize("version", ["2099-01-01", "2025-03-26", "2024-11-05", "x"])
@pytest.mark.parametrize("meta", [..., ENVELOPE])
def test_an_unknown_version_is_answered_with_the_supported_ones(version: str, meta: object) -> None:
    with pytest.raises(WireError) as caught:
        agree(routing(version=version), call(meta=meta))

    assert (caught.value.code, caught.value.status, caught.value.id) == (-32022, 400, 7)
    assert caught.value.data == {"supported": [MODERN], "requested": version}


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "tasks/list"])
def test_what_the_modern_version_dropped_is_unknown_there(method: str) -> None:
    assert disagreement(Routing(MODERN), Request(7, method)) == (Fault.UNKNOWN_METHOD, -32601)


def test_a_modern_client_posts_no_response() -> None:
    assert disagreement(Routing(MODERN), Response(7, result={}))[0] is Fault.UNASKED_RESPONSE


def test_a_modern_notification_needs_no_mirrored_header() -> None:
    assert agree(Routing(MODERN), Notification("notifications/cancelled")).version == MODERN


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_a_legacy_message_is_judged_by_what_its_session_negotiated(version: str) -> None:
    ping = Request(1, "ping")

    assert agree(Routing(version), ping).version == version
    assert agree(Routing(None), ping, negotiated=version).version == version
    assert agree(Routing("2025-11-25"), ping, negotiated=version).version == version
    assert not agree(Routing(version), Response(1, result={})).is_modern


@pytest.mark.parametrize("message", [Request(7, "ping"), Response(7, result={})])
def test_without_a_header_a_message_needs_a_session(message: Message) -> None:
    assert disagreement(Routing(), message) == (Fault.NO_VERSION, -32600)


def test_only_initialize_needs_neither_header_nor_session() -> None:
    hello = Request(0, "initialize", {"protocolVersion": "2025-06-18"})

    assert agree(Routing(), hello).method == find(Party.CLIENT, "initialize", "2025-11-25")


def test_the_headers_sent_on_are_ours_alone() -> None:
    names = {"content-type", "accept", "mcp-protocol-version"}

    assert {name.lower() for name, _ in outgoing(call(meta=...), "2025-11-25")} == names
    assert {name.lower() for name, _ in outgoing(Request(1, "initialize"), None)} < names
    assert outgoing(call("\u00e9"), MODERN, {"Region": "eu\n"})[2:] == [
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "=?base64?w6k=?="),
        ("Mcp-Param-Region", "=?base64?ZXUK?="),
    ]
    assert ("Mcp-Method", "tools/list") in outgoing(Request(1, "tools/list"), MODERN)
    assert len(outgoing(Notification("notifications/cancelled"), MODERN)) == 3


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_we_send_on_for_any_name_is_safe_and_passes_our_own_check(name: str) -> None:
    message = call(name)
    headers = outgoing(message, MODERN, {"Region": name})

    assert all(" " <= c <= "~" for pair in headers for text in pair for c in text)
    if all(len(value) <= 8192 for _, value in headers):
        assert agree(check_post(headers), message).version == MODERN
        assert check_post(headers).params == {"region": name}


@pytest.mark.parametrize("token", ["", "a b", "a:b", "a\r\nX-Evil", "\u00e9"])
def test_no_header_name_is_made_of_anything_but_a_token(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        outgoing(call(), MODERN, {token: "x"})
