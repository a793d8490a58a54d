"""Development mode: nobody's calls are judged like everybody's."""

from __future__ import annotations

import asyncio
from pathlib import Path

from policies.model import Entity, Fact
from tests.gateway.harness import PATH, gateway
from tests.gateway.raw import Said, asking

DEVELOPMENT = {"mode": "development"}


def test_a_call_without_a_token_is_judged_forwarded_and_recorded(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, settings=DEVELOPMENT, facts=()) as rig:
            body, headers = asking("tools/call", {"name": "echo", "arguments": {"text": "hi"}})
            said = await rig.post(headers, body, path=PATH)

            (record,) = rig.records()
            assert said.status == 200
            assert "result" in said.message
            assert record.payload["principal"]["id"] == "development"
            assert record.payload["verdict"] == "allow"
            assert record.payload["resource"] == {"type": "Tool", "id": "up__echo"}

    asyncio.run(story())


def test_what_is_disabled_is_refused_to_nobody_too(tmp_path: Path) -> None:
    async def story() -> Said:
        disabled = Fact("is_disabled", (Entity("Tool", "up__echo"),))
        async with gateway(tmp_path, settings=DEVELOPMENT, facts=(disabled,)) as rig:
            body, headers = asking("tools/call", {"name": "echo", "arguments": {"text": "hi"}})
            return await rig.post(headers, body, path=PATH)

    assert asyncio.run(story()).code == -32602


def test_a_bad_token_is_no_better_than_in_enterprise_mode(tmp_path: Path) -> None:
    async def story() -> list[int]:
        async with gateway(tmp_path, settings=DEVELOPMENT, facts=()) as rig:
            body, headers = asking("tools/list")
            bad = [("Authorization", "Bearer not.a.token"), ("Authorization", "Basic YTpi")]
            return [(await rig.post([one, *headers], body, path=PATH)).status for one in bad]

    assert asyncio.run(story()) == [401, 401]


def test_an_enterprise_gateway_serves_nobody(tmp_path: Path) -> None:
    async def story() -> int:
        async with gateway(tmp_path) as rig:
            body, headers = asking("tools/list")
            return (await rig.post(headers, body, path=PATH)).status

    assert asyncio.run(story()) == 401
