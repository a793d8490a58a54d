"""Our verdict on header and body against that of the SDK's own classifier, on random pairs."""

from __future__ import annotations

import random
from base64 import b64encode
from collections import Counter
from typing import Any

import pytest
from mcp.shared.inbound import (
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from proxy.wire.headers import CAPABILITIES_KEY, VERSION_KEY, agree, check_post
from proxy.wire.jsonrpc import Request
from proxy.wire.methods import TABLE
from proxy.wire.refusals import Fault, WireError

Verdict = str | int
Lines = list[tuple[str, str]]

LEGACY, MODERN = "legacy", "modern"

# Where we refuse, and the classifier says something else: what it may say, and why we differ. It
# judges no legacy message, no method and no shape, since its server does so later; we do it first.
DELIBERATE: dict[Fault, tuple[set[Verdict], str]] = {
    Fault.UNSUPPORTED_VERSION: (
        {LEGACY, -32020, -32602},
        "a version below the floor is refused, and an unknown one whatever the body says",
    ),
    Fault.UNKNOWN_METHOD: (
        {LEGACY, MODERN, -32020, -32602},
        "the table is closed, and a method outside it is told so before its envelope is read",
    ),
    Fault.BAD_PARAMS: ({LEGACY, MODERN, -32020}, "a judged method says what it is about"),
    Fault.BAD_SUBJECT: ({LEGACY, MODERN, -32020}, "a judged method says what it is about"),
    Fault.TAKES_NO_ID: (
        {LEGACY, MODERN, -32020, -32602},
        "a notification with an id is neither request nor notification",
    ),
    Fault.HEADER_MISMATCH: (
        {LEGACY},
        "a legacy message with a modern envelope, or with mirrored headers that lie, is refused",
    ),
    Fault.BAD_HEADER: (
        {LEGACY, MODERN, -32602, -32022},
        "a malformed MCP header is refused even where nothing compares it",
    ),
    Fault.DUPLICATE_HEADER: ({LEGACY}, "duplicates are refused in either era"),
    Fault.NO_VERSION: ({LEGACY}, "no version is assumed outside a session"),
    Fault.BAD_ENVELOPE: ({MODERN}, "client capabilities are an object, not just present"),
}

# The tasks extension has a task's id repeated in `Mcp-Name`; the classifier does not know of it.
TASKS = (Fault.HEADER_MISMATCH, MODERN)

METHODS = [*{row.name for row in TABLE}, "Tools/Call", "tools/call ", "x/y"]
NAMED = ["tools/call", "prompts/get", "resources/read"]
NAMES = [*["a"] * 8, "b", "\u00e9", "a b", "=?base64?YQ==?=", "", None, 5, ...]


def pair(source: random.Random) -> tuple[dict[str, Any], Lines]:
    """Return one body and the headers it came with: often consistent, never surely so."""
    method = source.choice(NAMED if source.random() < 0.5 else METHODS)
    version = source.choice(["2026-07-28"] * 8 + ["2025-11-25", "2025-06-18", "2025-03-26", "9"])
    name = source.choice(NAMES)
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": _params(source, version, name)}
    if source.random() < 0.03:
        del body["params"]
    written = "" if not isinstance(name, str) else name
    encoded = f"=?base64?{b64encode(written.encode()).decode()}?="
    lines = [
        (
            "mcp-protocol-version",
            source.choice([version] * 8 + ["2026-07-28", "2099-01-01", "..."]),
        ),
        ("mcp-method", source.choice([method] * 8 + ["tools/list", method.upper()])),
        (
            "mcp-name",
            source.choice([written, encoded] * 4 + ["b", "=?base64?Y?=", "=?BASE64?YQ==?="]),
        ),
    ]
    lines = [line for line in lines if source.random() < 0.95]
    if lines and source.random() < 0.03:
        lines.append(source.choice(lines))
    return body, [line for line in lines if line[1].isascii() and line[1] == line[1].strip()]


def _params(source: random.Random, version: str, name: object) -> dict[str, Any]:
    meta: dict[str, object] = {
        VERSION_KEY: source.choice([version] * 9 + ["2026-07-28", "2099-01-01", None, 5]),
        CAPABILITIES_KEY: source.choice([{}] * 9 + [None, []]),
    }
    likely = 0.9 if version == "2026-07-28" else 0.3
    meta = {key: value for key, value in meta.items() if source.random() < likely}
    params = {
        "name": name,
        "uri": name,
        "taskId": "a",
        "ref": {},
        "notifications": {},
        "level": "info",
        "protocolVersion": version,
        "_meta": source.choice([meta] * 12 + [None, "x", ...]),
    }
    return {key: value for key, value in params.items() if value is not ...}


def ours(body: dict[str, Any], lines: Lines) -> tuple[Verdict, Fault | None]:
    required = [("Content-Type", "application/json"), ("Accept", "*/*")]
    message = Request(body["id"], body["method"], body.get("params"))
    try:
        judged = agree(check_post([*required, *lines]), message)
    except WireError as error:
        return error.code, error.fault
    return MODERN if judged.is_modern else LEGACY, None


def theirs(body: dict[str, Any], lines: Lines) -> Verdict:
    headers = dict(reversed(lines))
    version = headers.get("mcp-protocol-version")
    if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS:
        return LEGACY
    if find_duplicated_routing_header(lines) is not None:
        return -32020
    verdict = classify_inbound_request(body, headers=headers)
    return verdict.code if isinstance(verdict, InboundLadderRejection) else MODERN


def is_deliberate(fault: Fault, other: Verdict, method: str) -> bool:
    if (fault, other) == TASKS:
        return method.startswith("tasks/")
    return fault in DELIBERATE and other in DELIBERATE[fault][0]


def compare(seed: int, count: int) -> tuple[list[object], Counter[Fault], Counter[Verdict]]:
    """Return the pairs judged differently without a reason, the reasons used, and our verdicts."""
    source = random.Random(seed)
    unexplained: list[object] = []
    reasons: Counter[Fault] = Counter()
    verdicts: Counter[Verdict] = Counter()
    for _ in range(count):
        body, lines = pair(source)
        verdict, fault = ours(body, lines)
        other = theirs(body, lines)
        verdicts[verdict] += 1
        if verdict == other:
            continue
        if fault is not None and is_deliberate(fault, other, body["method"]):
            reasons[fault] += 1
        else:
            unexplained.append((verdict, fault, other, body, lines))
    return unexplained, reasons, verdicts


def test_we_differ_from_the_sdk_only_where_we_mean_to() -> None:
    unexplained, reasons, verdicts = compare(seed=1, count=20_000)

    assert unexplained == []
    assert reasons.keys() == DELIBERATE.keys()
    assert min(verdicts[LEGACY], verdicts[MODERN]) > 400
    assert verdicts.keys() == {LEGACY, MODERN, -32020, -32022, -32600, -32601, -32602}


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(2, 12))
def test_we_differ_from_the_sdk_only_where_we_mean_to_over_a_million_pairs(seed: int) -> None:
    assert compare(seed, count=100_000)[0] == []
