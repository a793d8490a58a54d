"""What a call leaves in traces and metrics, and that no name of a caller's makes a series."""

from __future__ import annotations

import asyncio
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.harness import Rig, gateway
from tests.gateway.raw import ENVELOPE, ERAS
from tests.telemetry.collector import attributes, collecting

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARY = "canary-argument"


async def call(rig: Rig, version: str) -> None:
    meta = (ENVELOPE if version == ERAS[0] else {}) | {"traceparent": PARENT}
    params = {"name": "echo", "arguments": {"text": CANARY}, "_meta": meta}
    assert (await rig.ask("tools/call", params, version=version)).status == 200


def test_a_call_is_one_span_in_its_callers_trace_and_the_upstream_is_told_of_another(
    tmp_path: Path,
) -> None:
    async def story(endpoint: str) -> list[bytes]:
        settings = {"telemetry.otlp_endpoint": endpoint}
        async with gateway(tmp_path, settings=settings) as rig:
            before = len(rig.upstream.seen)
            await call(rig, ERAS[0])
            return rig.upstream.seen[before:]

    with collecting() as collector:
        (sent,) = asyncio.run(story(collector.endpoint))
        served, onward = (
            collector.span(Span.SPAN_KIND_SERVER),
            collector.span(Span.SPAN_KIND_CLIENT),
        )

    assert served.name == "tools/call echo"
    assert served.trace_id.hex() == PARENT.split("-")[1]
    assert served.parent_span_id.hex() == PARENT.split("-")[2]
    assert onward.parent_span_id == served.span_id
    told = f"00-{onward.trace_id.hex()}-{onward.span_id.hex()}-01".encode()
    assert sent.count(told) == 2  # in a header, and in the body
    assert PARENT.encode() not in sent
    assert attributes(served.attributes)["northgate.decision.verdict"] == "allow"
    assert not any(CANARY.encode() in body for body in collector.raw)


def test_without_a_collector_the_context_of_the_caller_passes_as_it_came(tmp_path: Path) -> None:
    async def story(version: str) -> bytes:
        async with gateway(tmp_path / version) as rig:
            before = len(rig.upstream.seen)
            await call(rig, version)
            return rig.upstream.seen[before]

    for version in ERAS:
        head, _, body = asyncio.run(story(version)).partition(b"\r\n\r\n")
        assert b"traceparent" not in head.lower()
        assert body.count(PARENT.encode()) == 1


def series(text: str) -> int:
    return sum(len(family.samples) for family in text_string_to_metric_families(text))


def test_names_that_callers_make_up_make_no_series(tmp_path: Path) -> None:
    async def story() -> tuple[int, int]:
        async with gateway(tmp_path) as rig:

            async def strangers(name: str) -> None:
                await rig.ask("tools/call", {"name": name})
                await rig.ask(f"made/{name}")
                await rig.ask("tools/list", path=f"/servers/{name}/mcp")
                await rig.ask("tools/list", version=f"2099-{name}")

            await strangers("first")
            before = series(await rig.metrics())
            for number in range(100):
                await strangers(f"name{number}")
            return before, series(await rig.metrics())

    before, after = asyncio.run(story())

    assert before == after
