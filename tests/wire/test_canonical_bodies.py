"""A body that is read in the quick way means what the strict reader says it means."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.jsonrpc import MAX_DEPTH, Request, decode
from proxy.wire.refusals import Fault, WireError

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def body(argument: bytes) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":%b}}}'
        % argument
    )


def read(text: bytes) -> Any:  # noqa: ANN401  any JSON
    message = decode(body(text))
    assert isinstance(message, Request)
    return (message.params or {})["arguments"]["a"]


@given(VALUES)
def test_compact_and_spaced_text_are_read_alike(value: object) -> None:
    compact = orjson.dumps(value)
    spaced = json.dumps(value, indent=1).encode()

    # As text, because to Python True is 1 and 1 is 1.0.
    assert repr(read(compact)) == repr(read(spaced)) == repr(json.loads(spaced))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b'{"b":1,"b":1}', Fault.DUPLICATE_KEY),
        (b'[{"b":{"c":1,"c":2}}]', Fault.DUPLICATE_KEY),
        (b'{"b":1,"\\u0062":1}', Fault.DUPLICATE_KEY),
        (b"9223372036854775808", Fault.BAD_NUMBER),
        (b"18446744073709551615", Fault.BAD_NUMBER),
        (b"18446744073709551616", Fault.BAD_NUMBER),
        (b"1e400", Fault.BAD_NUMBER),
        (b"NaN", Fault.BAD_NUMBER),
        (b'"\\ud800"', Fault.BAD_TEXT),
        (b'"\xed\xa0\x80"', Fault.NOT_JSON),
        (b'"\xff"', Fault.NOT_JSON),
        (b"1,", Fault.NOT_JSON),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, Fault.TOO_DEEP),
        (b"[" * 300 + b"]" * 300, Fault.TOO_DEEP),
        (b"[" * 3000 + b"]" * 3000, Fault.TOO_DEEP),
    ],
)
def test_compact_text_is_not_taken_more_easily(text: bytes, fault: Fault) -> None:
    with pytest.raises(WireError) as caught:
        read(text)

    assert caught.value.fault is fault


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9007199254740993", 2**53 + 1),
        (b"-9223372036854775808", -(2**63)),
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"1E2", 100.0),
        (b'"\\/\\u00e9"', "/\u00e9"),
        (b'"\\u0000"', "\0"),
    ],
)
def test_other_spellings_keep_their_meaning(text: bytes, value: object) -> None:
    assert repr(read(text)) == repr(value)
