"""Which trace context is believed: W3C's grammar, the body before the headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.context import TraceContext, carried, without_malformed

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
BAGGAGE = "userId=alice,serverNode=DF%2028,isProduction=false;secret;p = 1"

GOOD_PARENTS = (
    PARENT,
    OTHER,
    PARENT.replace("-01", "-ff"),
    f"cc{PARENT[2:]}",
    f"01{PARENT[2:]}-what-comes-later",
)
BAD_PARENTS = (
    "",
    PARENT.upper(),
    f" {PARENT}",
    f"{PARENT} ",
    f"{PARENT}\n",
    f"{PARENT}-more",
    f"ff{PARENT[2:]}",
    f"01{PARENT[2:]}more",
    f"01{PARENT[2:]}-\x00",
    f"01{PARENT[2:]}-{'x' * 1000}",
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    PARENT.replace("4bf9", "\u0664bf9"),
    None,
    1,
    [PARENT],
    {"traceparent": PARENT},
)
GOOD_STATES = (STATE, "a=1", "fw529a3039@dt=FfAAAAA", "a=1, b=2", "a=1,,b=2", "1a-*/_@v=x y", "")
BAD_STATES = (
    "A=1",
    "a",
    "=1",
    "a=",
    "a=\t1",
    "a=1;\x00",
    "a=\u00e9",
    "@v=1",
    f"a={'x' * 600}",
    ",".join(f"k{number}=v" for number in range(33)),
    7,
)
GOOD_BAGGAGE = (BAGGAGE, "a=", "a=1", " a = 1 ; b", "a=%20;k=v")
BAD_BAGGAGE = (
    "",
    "a",
    "=1",
    "a=1,",
    'a="1"',
    "a=1\r\nX: y",
    "a=\u00e9",
    "a b=1",
    "a=\\",
    f"a={'x' * 9000}",
    ",".join(f"k{number}=v" for number in range(65)),
    False,
)


@pytest.mark.parametrize("parent", GOOD_PARENTS)
def test_a_well_formed_traceparent_is_believed(parent: str) -> None:
    assert carried({"traceparent": parent}).traceparent == parent
    assert carried({}, parent).traceparent == parent


@pytest.mark.parametrize("parent", BAD_PARENTS)
def test_a_malformed_traceparent_is_not_there_and_nor_is_its_state(parent: object) -> None:
    assert carried({"traceparent": parent, "tracestate": STATE}) == TraceContext()
    assert without_malformed({"traceparent": parent, "progressToken": 1}) == {"progressToken": 1}


@pytest.mark.parametrize("state", GOOD_STATES)
def test_a_well_formed_tracestate_is_believed(state: str) -> None:
    assert carried({"traceparent": PARENT, "tracestate": state}).tracestate == state


@pytest.mark.parametrize("state", BAD_STATES)
def test_a_malformed_tracestate_does_not_spoil_the_parent(state: object) -> None:
    found = carried({"traceparent": PARENT, "tracestate": state})

    assert found == TraceContext(PARENT)


@pytest.mark.parametrize("baggage", GOOD_BAGGAGE)
def test_well_formed_baggage_is_believed_with_a_parent_and_without(baggage: str) -> None:
    assert carried({"baggage": baggage}) == TraceContext(baggage=baggage)
    assert carried({"traceparent": PARENT, "baggage": baggage}).baggage == baggage


@pytest.mark.parametrize("baggage", BAD_BAGGAGE)
def test_malformed_baggage_is_not_there(baggage: object) -> None:
    assert carried({"traceparent": PARENT, "baggage": baggage}) == TraceContext(PARENT)


def test_the_body_wins_over_the_headers_with_all_it_says() -> None:
    assert carried({"traceparent": PARENT}, OTHER, STATE) == TraceContext(PARENT)
    assert carried({"tracestate": "a=1"}, OTHER, STATE) == TraceContext(OTHER, STATE)
    assert carried({"traceparent": "nonsense"}, OTHER, STATE) == TraceContext(OTHER, STATE)


def test_a_body_without_malformed_fields_is_left_as_it_is() -> None:
    for meta in ({}, {"x": 1}, {"traceparent": PARENT, "tracestate": STATE, "baggage": BAGGAGE}):
        assert without_malformed(meta) is meta


def test_only_the_malformed_field_is_taken_out() -> None:
    meta = {"traceparent": PARENT, "tracestate": "NO", "baggage": BAGGAGE, "x": {"y": 1}}

    assert without_malformed(meta) == {"traceparent": PARENT, "baggage": BAGGAGE, "x": {"y": 1}}
    assert meta["tracestate"] == "NO"


@given(st.text() | st.text(alphabet="0123456789abcdef-"), st.text(), st.text())
def test_what_is_believed_can_stand_in_a_header(parent: str, state: str, baggage: str) -> None:
    found = carried({"traceparent": parent, "tracestate": state, "baggage": baggage}, parent, state)

    for value in (found.traceparent, found.tracestate, found.baggage):
        assert value.isascii()
        assert value.replace("\t", " ").isprintable()
