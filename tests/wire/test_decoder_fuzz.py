"""Random bodies are refused, or mean the same to every parser."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp_types.jsonrpc import jsonrpc_message_adapter

from proxy.wire.jsonrpc import Message, decode
from proxy.wire.refusals import Fault, WireError
from tests.node import Node, running
from tests.wire.bodies import mutants

NODE_PARSER = Path(__file__).with_name("json_parser.mjs")
BATCH = 5_000

Accepted = list[tuple[bytes, Message]]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running(NODE_PARSER) as process:
        yield process


def sorted_out(seed: int, count: int) -> tuple[Accepted, Counter[Fault]]:
    accepted: Accepted = []
    refused: Counter[Fault] = Counter()
    for body in mutants(seed, count):
        try:
            accepted.append((body, decode(body, responses=True)))
        except WireError as error:
            refused[error.fault] += 1
    return accepted, refused


def is_same(ours: object, theirs: object) -> bool:
    """Say whether two JSON values are one, numbers as the floats that JavaScript has."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(is_same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return float(ours) == float(theirs)
    return ours == theirs


def differences(accepted: Accepted, node: Node) -> list[tuple[str, bytes]]:
    """Return each body that means something else to another parser, or after it was re-encoded."""
    found: list[tuple[str, bytes]] = []
    for start in range(0, len(accepted), BATCH):
        part = accepted[start : start + BATCH]
        views = node.ask([body.decode() for body, _ in part])
        for (body, message), view in zip(part, views, strict=True):
            found += ((who, body) for who in dissenters(body, message, view))
    return found


def dissenters(body: bytes, message: Message, view: dict[str, Any] | None) -> Iterator[str]:
    sent = message.encode()
    judged = json.loads(sent)
    if repr(in_order(judged)) != repr(in_order(json.loads(body))):
        yield "json"
    if view is None or not is_same(judged, view["value"]):
        yield "node"
    again = decode(sent, responses=True)
    if again != message or again.encode() != sent:
        yield "ourselves"
    sdk = jsonrpc_message_adapter.validate_json(body).model_dump(mode="json", exclude_unset=True)
    if not is_same(judged, sdk):
        yield "sdk"


def in_order(value: object) -> object:
    """Return *value* in a form whose repr tells 1 from 1.0 and True, and not the order of keys."""
    if isinstance(value, dict):
        return sorted((key, repr(in_order(item))) for key, item in value.items())
    return [in_order(item) for item in value] if isinstance(value, list) else value


def test_random_bodies_are_refused_or_mean_one_thing(node: Node) -> None:
    accepted, refused = sorted_out(seed=1, count=200_000)

    shares = {fault.name: f"{count / 200_000:.2%}" for fault, count in refused.most_common()}
    print(f"accepted {len(accepted) / 200_000:.2%}, refused {shares}")  # noqa: T201 - seen with -s
    assert 0.1 < len(accepted) / 200_000 < 0.9
    assert refused.keys() >= {
        Fault.NOT_JSON, Fault.DUPLICATE_KEY, Fault.BAD_NUMBER, Fault.BAD_TEXT, Fault.TOO_DEEP,
        Fault.BATCH, Fault.NOT_A_MESSAGE, Fault.BAD_ID, Fault.BAD_PARAMS, Fault.LOOKALIKE_KEY,
    }  # fmt: skip
    assert differences(accepted, node) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(2, 52))
def test_many_random_bodies_are_refused_or_mean_one_thing(node: Node, seed: int) -> None:
    accepted, _ = sorted_out(seed, count=1_000_000)

    assert differences(accepted, node) == []
