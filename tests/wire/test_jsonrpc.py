"""Bytes become one message with one meaning, or a refusal that says why."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.jsonrpc import (
    MAX_BODY,
    MAX_DEPTH,
    Notification,
    Request,
    Response,
    decode,
    decode_upstream,
)
from proxy.wire.refusals import Fault, WireError
from tests.wire.bodies import CALL, changed, decoded, fault_of, refused


def test_a_call_is_read_as_what_it_says() -> None:
    assert decoded(CALL) == Request(7, "tools/call", CALL["params"])


def test_a_message_without_id_is_a_notification() -> None:
    message = decoded({"jsonrpc": "2.0", "method": "notifications/initialized"})

    assert message == Notification("notifications/initialized")
    assert message.id is None


def test_what_is_sent_is_written_anew_from_what_was_judged() -> None:
    message = decode(b' { "method":"p\\u0069ng" ,"id":1 ,\n"jsonrpc":"2.0" } ')

    assert message.encode() == b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@pytest.mark.parametrize("params", [None, {}, {"requestId": 1}])
def test_a_notification_is_written_without_id(params: dict[str, object] | None) -> None:
    body = Notification("notifications/cancelled", params).encode()

    assert decode(body) == Notification("notifications/cancelled", params)
    assert b'"id"' not in body
    assert (b'"params"' in body) == (params is not None)


def test_a_message_cannot_be_changed_but_copied() -> None:
    message = Request(1, "tools/call", {"name": "a"})

    with pytest.raises(FrozenInstanceError):
        message.method = "tools/list"  # type: ignore[misc]
    assert message.with_params({"name": "b"}) == Request(1, "tools/call", {"name": "b"})
    assert message.with_id("z") == Request("z", "tools/call", {"name": "a"})


@pytest.mark.parametrize("id_", [0, -1, 2**53 - 1, -(2**53) + 1, "a", "0", "\u00e9" * 128])
def test_a_string_or_an_exact_integer_is_an_id(id_: object) -> None:
    assert decoded(changed(id=id_)).id == id_


@pytest.mark.parametrize(
    "id_", [None, True, False, 1.5, 1.0, 2**53, -(2**53), "", "x" * 257, "\u00e9" * 129, [], {}]
)
def test_nothing_else_is_an_id(id_: object) -> None:
    assert fault_of(changed(id=id_)) is Fault.BAD_ID


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"jsonrpc": ...}, Fault.NOT_A_MESSAGE),
        ({"jsonrpc": "1.0"}, Fault.NOT_A_MESSAGE),
        ({"jsonrpc": 2.0}, Fault.NOT_A_MESSAGE),
        ({"jsonrpc": ["2.0"]}, Fault.NOT_A_MESSAGE),
        ({"method": ...}, Fault.NOT_A_MESSAGE),
        ({"method": None}, Fault.NOT_A_MESSAGE),
        ({"method": ""}, Fault.NOT_A_MESSAGE),
        ({"method": "m" * 129}, Fault.NOT_A_MESSAGE),
        ({"method": ["tools/call"]}, Fault.NOT_A_MESSAGE),
        ({"result": {}}, Fault.NOT_A_MESSAGE),
        ({"error": {"code": 1, "message": "m"}}, Fault.NOT_A_MESSAGE),
        ({"Method": "tools/list"}, Fault.NOT_A_MESSAGE),
        ({"param\u017f": {}}, Fault.NOT_A_MESSAGE),
        ({"id\0": 8}, Fault.NOT_A_MESSAGE),
        ({"extra": 1}, Fault.NOT_A_MESSAGE),
        ({"params": None}, Fault.BAD_PARAMS),
        ({"params": []}, Fault.BAD_PARAMS),
        ({"params": "name"}, Fault.BAD_PARAMS),
        ({"params": {"name": "a", "Name": "b"}}, Fault.LOOKALIKE_KEY),
    ],
)
def test_a_message_out_of_shape_is_refused_with_its_id(
    members: dict[str, Any], fault: Fault
) -> None:
    error = refused(json.dumps(changed(**members)).encode())

    assert (error.fault, error.id) == (fault, 7)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", Fault.NOT_JSON),
        (b"{", Fault.NOT_JSON),
        (b"{} {}", Fault.NOT_JSON),
        (b"{}\0", Fault.NOT_JSON),
        (b"\xef\xbb\xbf{}", Fault.NOT_JSON),
        ('{"jsonrpc":"2.0"}'.encode("utf-16"), Fault.NOT_JSON),
        ('{"jsonrpc":"2.0"}'.encode("utf-16-le"), Fault.NOT_JSON),
        (b'{"a":"\xff"}', Fault.NOT_JSON),
        (b'{"a":"\xed\xa0\x80"}', Fault.NOT_JSON),
        (b'{"a":"\xc0\xaf"}', Fault.NOT_JSON),
        (b'{"a":"\n"}', Fault.NOT_JSON),
        (b"{'a':1}", Fault.NOT_JSON),
        (b'{"a":01}', Fault.NOT_JSON),
        ('{"a":1\u0661}'.encode(), Fault.NOT_JSON),
        ('\u00a0{"a":1}'.encode(), Fault.NOT_JSON),
        (b'{"a":1,}', Fault.NOT_JSON),
        (b'{"a":NaN}', Fault.BAD_NUMBER),
        (b'{"a":Infinity}', Fault.BAD_NUMBER),
        (b'{"a":-Infinity}', Fault.BAD_NUMBER),
        (b'{"a":1e400}', Fault.BAD_NUMBER),
        (b'{"a":-1e400}', Fault.BAD_NUMBER),
        (b'{"a":9223372036854775808}', Fault.BAD_NUMBER),
        (b'{"a":-9223372036854775809}', Fault.BAD_NUMBER),
        (b'{"a":' + b"9" * 400 + b"}", Fault.BAD_NUMBER),
        (b'{"a":' + b"9" * 5000 + b"}", Fault.BAD_NUMBER),
        (b'{"a":"\\ud800"}', Fault.BAD_TEXT),
        (b'{"a":"\\udc00\\ud800"}', Fault.BAD_TEXT),
        (b'{"\\uD800":1}', Fault.BAD_TEXT),
        (b'{"a":1,"a":1}', Fault.DUPLICATE_KEY),
        (b'{"a":1,"\\u0061":2}', Fault.DUPLICATE_KEY),
        (b'{"x":[{"a":{"b":1,"b":2}}]}', Fault.DUPLICATE_KEY),
        (b"[]", Fault.BATCH),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', Fault.BATCH),
        (b"null", Fault.NOT_A_MESSAGE),
        (b'"tools/call"', Fault.NOT_A_MESSAGE),
        (b"1", Fault.NOT_A_MESSAGE),
        (b"{}", Fault.NOT_A_MESSAGE),
    ],
)
def test_a_body_that_parsers_may_read_differently_is_refused(body: bytes, fault: Fault) -> None:
    error = refused(body)

    assert (error.fault, error.id) == (fault, None)
    assert json.loads(error.encode())["id"] is None


def nested(depth: int) -> bytes:
    """Return a call *depth* levels deep, of which message and params are two."""
    inside = b"[" * (depth - 2) + b"]" * (depth - 2)
    return b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":%s}}' % inside


def test_nesting_is_allowed_to_the_limit_and_no_deeper() -> None:
    assert decode(nested(MAX_DEPTH)).id == 1
    assert refused(nested(MAX_DEPTH + 1)).fault is Fault.TOO_DEEP


@pytest.mark.parametrize("depth", [200, 3000, 100_000])
def test_no_depth_ends_in_a_recursion(depth: int) -> None:
    assert refused(nested(depth)).fault is Fault.TOO_DEEP
    assert refused(b'{"a":' * depth).fault in {Fault.TOO_DEEP, Fault.NOT_JSON}


def test_brackets_in_text_are_no_depth() -> None:
    body = json.dumps(changed(params={"name": "[{" * 500})).encode()

    assert decode(body).id == 7


def test_a_body_is_allowed_to_its_limit_and_no_larger() -> None:
    body = json.dumps(CALL).encode()
    padded = body + b" " * (MAX_BODY - len(body))

    assert decode(padded) == decode(body)
    assert refused(padded + b" ").fault is Fault.TOO_LARGE
    assert refused(body, limit=len(body) - 1).fault is Fault.TOO_LARGE
    assert refused(padded + b" ").status == 413


def test_the_worst_bodies_of_full_size_are_answered_soon() -> None:
    size = MAX_BODY - 100
    worst = [
        nested(size // 2),
        b'{"a":[' + b"0," * (size // 2) + b"0]}",
        b'{"a":[' + b"{}," * (size // 3) + b"0]}",
        b'{"a":"' + b"\\u00e9" * (size // 6) + b'"}',
        b'{"a":1.' + b"1" * size + b"}",
        b'{"a":' + b"1" * size + b"}",
        b'{"jsonrpc":"2.0","method":"m","params":{"' + "\ufdfa".encode() * (size // 3) + b'":1}}',
        b'{"jsonrpc":"2.0","method":"m","params":{"' + b"\\u0000" * (size // 6) + b'":1}}',
    ]

    for body in worst:
        start = time.process_time()
        with suppress(WireError):
            decode(body)
        assert time.process_time() - start < 2


def test_an_unasked_response_is_refused_and_an_awaited_one_read() -> None:
    body = b'{"jsonrpc":"2.0","id":3,"result":{"roots":[]}}'

    assert refused(body).fault is Fault.UNASKED_RESPONSE
    assert decode(body, responses=True) == Response(3, result={"roots": []})
    assert decode(body, responses=True).encode() == body


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"jsonrpc":"2.0","id":3,"result":{},"error":{"code":1,"message":""}}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"result":{},"params":{}}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"Result":{}}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"result":null}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"result":{"Tools":[]}}', "LOOKALIKE_KEY"),
        (b'{"jsonrpc":"2.0","id":3,"error":{"code":true,"message":""}}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"error":{"code":1}}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"","Code":2}}', "LOOKALIKE_KEY"),
        (b'{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"","x":2}}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","id":3,"error":[]}', "NOT_A_MESSAGE"),
        (b'{"jsonrpc":"2.0","result":{}}', "BAD_ID"),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}', "BAD_ID"),
    ],
)
def test_a_response_out_of_shape_is_refused(body: bytes, fault: str) -> None:
    assert refused(body, responses=True).fault.name == fault


@pytest.mark.parametrize("id_", [b'"id":null,', b""])
def test_only_an_error_of_a_server_may_lack_its_id(id_: bytes) -> None:
    body = b'{"jsonrpc":"2.0",%s"error":{"code":-32700,"message":"what"}}' % id_

    assert decode_upstream(body) == Response(None, error={"code": -32700, "message": "what"})
    with pytest.raises(WireError):
        decode_upstream(b'{"jsonrpc":"2.0",%s"result":{}}' % id_)
    with pytest.raises(WireError):
        decode_upstream(b'{"jsonrpc":"2.0","id":1.5,"error":{"code":1,"message":""}}')


def test_of_the_error_of_a_server_only_what_the_protocol_names_goes_on() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":2,"stack":"private"}}'

    assert decode_upstream(body).encode() == body.replace(b',"stack":"private"', b"")


def test_a_server_is_read_as_strictly_as_a_client() -> None:
    ask = b'{"jsonrpc":"2.0","id":1,"method":"roots/list"}'

    assert decode_upstream(ask) == Request(1, "roots/list")
    with pytest.raises(WireError):
        decode_upstream(ask.replace(b'"id":1', b'"id":1,"id":1'))


def test_an_error_is_answered_with_code_sentence_and_id_but_without_detail() -> None:
    error = WireError(Fault.BAD_PARAMS, id="q", data={"a": 1}, detail="private")

    assert json.loads(error.encode()) == {
        "jsonrpc": "2.0",
        "id": "q",
        "error": {"code": -32602, "message": error.public, "data": {"a": 1}},
    }
    assert b"private" not in error.encode()
    assert "private" not in str(error)


def test_every_fault_has_one_sentence_that_says_what_to_do() -> None:
    sentences = [fault.value.public for fault in Fault]

    assert len(set(sentences)) == len(sentences)
    assert all(text.endswith(".") and (";" in text or "Send" in text or "must" in text)
               for text in sentences)  # fmt: skip
    assert {fault.value.status for fault in Fault} <= {400, 404, 406, 413, 415}


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    arguments=st.dictionaries(st.text(max_size=5), VALUES, max_size=5),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_any_value_survives_decoding_and_encoding(
    arguments: dict[str, object], *, ascii_only: bool, indent: int | None
) -> None:
    params = {"name": "t", "arguments": arguments}
    body = json.dumps(changed(params=params), ensure_ascii=ascii_only, indent=indent).encode()

    message = decode(body)

    assert isinstance(message, Request)
    assert json.dumps(message.params) == json.dumps(params)
    assert decode(message.encode()) == message
    assert decode(message.encode()).encode() == message.encode()
