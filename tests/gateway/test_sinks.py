"""The record of a running gateway in its sinks, beside the calls and never in their way."""

from __future__ import annotations

import asyncio
import gc
import re
from pathlib import Path

import orjson
import pytest

from proxy.cli.serving import idle
from storage.journal import Kind, read
from tests.gateway.harness import gateway, until
from tests.sinks.listeners import HUNG, stream, web
from tests.telemetry.collector import collecting

TOKEN = "very-secret-token"  # noqa: S105  which is looked for


def behind(text: str, sink: str) -> float:
    found = re.search(rf'^northgate_sink_behind{{sink="{sink}"}} (\S+)$', text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_a_gateway_sends_its_record_while_one_sink_hangs_and_another_refuses(
    tmp_path: Path,
) -> None:
    with (
        web() as well,
        web(troubles=(HUNG,)) as hanging,
        web() as refusing,
        stream() as syslog,
        collecting() as collector,
    ):
        refusing.answer = (401, b"")
        sinks = {
            "well.url": f"http://127.0.0.1:{well.port}/",
            "well.bearer": TOKEN,
            "hanging.url": f"http://127.0.0.1:{hanging.port}/",
            "refusing.url": f"http://127.0.0.1:{refusing.port}/?key={TOKEN}",
            "logs.kind": "otlp",
            "logs.endpoint": collector.endpoint,
            "far.address": f"tcp://127.0.0.1:{syslog.port}",
        } | {f"{one}.kind": "webhook" for one in ("well", "hanging", "refusing")}
        settings: dict[str, object] = {f"record.sinks.{key}": value for key, value in sinks.items()}
        settings |= {"record.sinks.far.kind": "syslog", "record.sinks.far.kinds": ["decision"]}

        async def story() -> str:
            async with gateway(tmp_path, settings=settings) as rig:
                for _ in range(3):
                    said = await rig.ask("tools/call", {"name": "echo", "arguments": {}})
                    assert said.status == 200
                decided = [one.id for one in await rig.recorded(3, "decision")]
                for id_ in decided:
                    await until(lambda id_=id_: id_.encode() in b"".join(well.bodies))
                    await until(lambda id_=id_: id_.encode() in b"".join(syslog.messages))
                assert hanging.bodies == refusing.bodies == []
                await until(lambda: '"event":"sink_failed"' in rig.log.getvalue())
                text = await rig.metrics()
                assert behind(text, "hanging") >= 3
                assert behind(text, "refusing") >= 3
                ready = await rig.say(
                    b"GET /ready HTTP/1.1\r\nHost: localhost:8081\r\n\r\n", plane="control"
                )
                assert ready.status == 200
                hanging.over.set()
                refusing.answer = (200, b"")
                await until(lambda: rig.log.getvalue().count('"event":"sink_recovered"') == 2)
            return rig.log.getvalue()

        log = asyncio.run(story())

        written = {one.id: one.kind for one in read(tmp_path / "data" / "journal")}
        for one in (well, hanging, refusing):
            sent = [orjson.loads(line)["id"] for line in one.lines]
            # Only what is written at the very end waits for the next start.
            assert sent == list(written)[: len(sent)]
            assert len(sent) >= len(written) - 2
        bodies = [f"{one.body.string_value}\n".encode() for one in collector.logs]
        assert len(bodies) >= len(written) - 2
        assert all(ours == theirs for ours, theirs in zip(bodies, well.lines, strict=False))
        assert len(syslog.messages) == list(written.values()).count(Kind.DECISION)
        assert well.headers[0]["Authorization"] == f"Bearer {TOKEN}"

    failed = [line for line in log.splitlines() if '"event":"sink_failed"' in line]
    assert all('"sink":"' in line for line in failed)
    assert TOKEN not in log


def test_the_record_has_standard_output_for_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        told = asyncio.Event()
        told.set()
        async with gateway(tmp_path, settings={"record.sinks.out.kind": "stdout"}) as rig:
            await idle(rig.gateway, told)

    try:
        asyncio.run(story())
    finally:
        gc.unfreeze()

    out, err = capfd.readouterr()
    written = {one.id: one for one in read(tmp_path / "data" / "journal")}
    sent = [orjson.loads(line)["id"] for line in out.splitlines()]
    assert sent == list(written)[: len(sent)]
    assert len(sent) >= len(written) - 2
    assert "init-server" in err
