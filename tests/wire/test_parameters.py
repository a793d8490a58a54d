"""Arguments mirrored in headers: which a schema allows, and whether header and argument agree."""

from __future__ import annotations

import random
from typing import Any

import pytest
from mcp.shared.inbound import (
    encode_header_value,
    find_invalid_x_mcp_header,
    validate_mcp_param_headers,
)

from proxy.wire.headers import check_post
from proxy.wire.parameters import Mirrored, check, expected, mirrored
from proxy.wire.refusals import WireError

GOOD = [("Content-Type", "application/json"), ("Accept", "*/*")]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "where": {
            "type": "object",
            "properties": {"shard": {"type": "integer", "x-mcp-header": "Shard"}},
        },
        "dry": {"type": "boolean", "x-mcp-header": "Dry-Run"},
        "note": {"type": "string", "default": {"x-mcp-header": "data, no annotation"}},
    },
}
ROWS = mirrored(SCHEMA)


def test_annotations_are_found_down_the_chain_of_properties() -> None:
    assert set(ROWS) == {
        Mirrored(("region",), "Region", "string"),
        Mirrored(("where", "shard"), "Shard", "integer"),
        Mirrored(("dry",), "Dry-Run", "boolean"),
    }
    assert mirrored(None) == mirrored({}) == mirrored([]) == ()


def annotated(name: object = "T", kind: object = "string") -> dict[str, object]:
    return {"type": kind, "x-mcp-header": name}


@pytest.mark.parametrize(
    "schema",
    [
        annotated(),
        {"properties": {"a": annotated("")}},
        {"properties": {"a": annotated("a b")}},
        {"properties": {"a": annotated("a\r\nb")}},
        {"properties": {"a": annotated(5)}},
        {"properties": {"a": annotated(kind="number")}},
        {"properties": {"a": annotated(kind="object")}},
        {"properties": {"a": annotated(kind=["string"])}},
        {"properties": {"a": {"x-mcp-header": "T"}}},
        {"properties": {"a": annotated("T"), "b": annotated("t")}},
        {"items": annotated()},
        {"properties": {"a": {"items": {"properties": {"b": annotated()}}}}},
        {"anyOf": [{"properties": {"a": annotated()}}]},
        {"$defs": {"x": annotated()}},
        {"patternProperties": {"x": annotated()}},
        {"if": {"properties": {"a": annotated()}}},
    ],
)
def test_an_illegal_annotation_makes_the_tool_unusable(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="x-mcp-header"):
        mirrored(schema)
    assert find_invalid_x_mcp_header(schema) is not None


@pytest.mark.parametrize("keyword", ["properties", "allOf", "patternProperties", "items"])
@pytest.mark.parametrize("value", [None, 5, "x", True, [5], {"a": 5}])
def test_a_broken_schema_has_no_annotations(keyword: str, value: object) -> None:
    assert mirrored({keyword: value}) == ()


def test_a_schema_of_any_depth_is_walked_without_recursion() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(50_000):
        schema = {"items": schema}

    assert mirrored(schema) == ()


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ({}, {}),
        ({"region": None}, {}),
        ({"region": "eu"}, {"region": "eu"}),
        ({"region": "\u00e9\n"}, {"region": "\u00e9\n"}),
        ({"region": ""}, {"region": ""}),
        ({"where": {"shard": 42}}, {"shard": "42"}),
        ({"where": {"shard": 42}}, {"shard": "42.0"}),
        ({"where": {"shard": 42.0}}, {"shard": "42"}),
        ({"where": {"shard": 2**63 - 1}}, {"shard": str(2**63 - 1)}),
        ({"where": 5}, {}),
        ({"dry": True}, {"dry-run": "true"}),
        ({"dry": False}, {"dry-run": "false"}),
        ({}, {"unknown": "x"}),
    ],
)
def test_a_header_that_says_what_the_argument_says_is_right(
    arguments: dict[str, Any], params: dict[str, str]
) -> None:
    check(ROWS, arguments, params)


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ({"region": "eu"}, {}),
        ({}, {"region": "eu"}),
        ({"region": None}, {"region": "null"}),
        ({"region": "eu"}, {"region": "EU"}),
        ({"region": "eu"}, {"region": "eu "}),
        ({"region": {"a": 1}}, {"region": "{}"}),
        ({"region": "42"}, {"region": "42.0"}),
        ({"where": {"shard": 42}}, {"shard": "043"}),
        ({"where": {"shard": 42}}, {"shard": "42.5"}),
        ({"where": {"shard": 42}}, {"shard": "4.2e1"}),
        ({"where": {"shard": 2**53 + 1}}, {"shard": str(2**53)}),
        ({"where": {"shard": True}}, {"shard": "1"}),
        ({"dry": True}, {"dry-run": "True"}),
        ({"dry": True}, {"dry-run": "1"}),
    ],
)
def test_a_header_that_says_something_else_is_refused(
    arguments: dict[str, Any], params: dict[str, str]
) -> None:
    with pytest.raises(WireError, match="header_mismatch") as caught:
        check(ROWS, arguments, params, id="q")
    assert caught.value.id == "q"


@pytest.mark.parametrize(
    "arguments",
    [{"region": "\u00e9", "dry": False}, {"where": {"shard": -7}, "note": "n"}, {"where": {}}],
)
def test_the_headers_we_write_are_those_we_would_accept(arguments: dict[str, Any]) -> None:
    headers = expected(ROWS, arguments)

    check(ROWS, arguments, {token.lower(): value for token, value in headers.items()})


VALUES = ["eu", "", "1", "42", "\u00e9", 0, 1, 42, -3, True, False, None, [], {}, 2**60]
TEXTS = ["eu", "", "1", "42", "42.0", "42.5", "\u00e9", "0", "-3", "true", "false", "x", str(2**60)]


def test_our_verdict_on_mirrored_arguments_is_that_of_the_sdk() -> None:
    source = random.Random(1)
    agreed = 0
    for _ in range(10_000):
        pick = source.choice
        arguments = {"region": pick(VALUES), "dry": pick(VALUES), "where": {"shard": pick(VALUES)}}
        arguments = {key: value for key, value in arguments.items() if source.random() < 0.6}
        lines = {f"Mcp-Param-{row.token}": encode_header_value(pick(TEXTS)) for row in ROWS}
        exact = {
            f"Mcp-Param-{t}": encode_header_value(v) for t, v in expected(ROWS, arguments).items()
        }
        lines = {**{k: v for k, v in lines.items() if source.random() < 0.2}, **exact}
        lines |= {k: encode_header_value(pick(TEXTS)) for k in lines if source.random() < 0.1}

        try:
            check(ROWS, arguments, check_post([*GOOD, *lines.items()]).params)
        except WireError:
            is_right = False
        else:
            is_right = True

        agreed += is_right
        assert is_right == (validate_mcp_param_headers(SCHEMA, arguments, lines) is None)
    assert 1_000 < agreed < 9_000
