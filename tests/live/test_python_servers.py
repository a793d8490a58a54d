"""That the Python servers of other environments do what other tests take for granted."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mcp import MCPError

from tests.live import python_client
from tests.live.python_servers import PROXY, SERVERS, Environment, fastmcp, time_behind_proxy
from tests.live.servers import Server

Serving = Callable[[], AbstractContextManager[Server]]

each_server = pytest.mark.parametrize("serving", [fastmcp, time_behind_proxy])
each_environment = pytest.mark.parametrize("environment", [SERVERS, PROXY])


def test_fastmcp_offers_one_of_each_kind_in_both_eras() -> None:
    async def story(url: str, mode: str) -> tuple[str, set[str]]:
        async with python_client.connected(url, mode=mode) as agent:
            found = {one["name"] for one in (await agent.ask("tools"))["tools"]}
            found |= {one["name"] for one in (await agent.ask("prompts"))["prompts"]}
            found |= {one["uri"] for one in (await agent.ask("resources"))["resources"]}
            templates = (await agent.ask("templates"))["resourceTemplates"]
            return agent.version, found | {one["uriTemplate"] for one in templates}

    with fastmcp() as server:
        modern = asyncio.run(story(server.url, "auto"))
        legacy = asyncio.run(story(server.url, "legacy"))

    offered = {"shout", "whisper", "count", "brief", "page://fixed", "page://{number}"}
    assert modern == ("2026-07-28", offered)
    assert legacy == ("2025-11-25", offered)


def test_the_server_behind_the_proxy_is_legacy_alone() -> None:
    async def story(url: str, mode: str) -> tuple[str, set[str]]:
        async with python_client.connected(url, mode=mode) as agent:
            tools = (await agent.ask("tools"))["tools"]
            return agent.version, {one["name"] for one in tools}

    with time_behind_proxy() as server:
        legacy = asyncio.run(story(server.url, "auto"))
        with pytest.raises((MCPError, ExceptionGroup)):
            asyncio.run(story(server.url, "2026-07-28"))

    assert legacy == ("2025-11-25", {"get_current_time", "convert_time"})


@each_server
def test_nothing_of_a_server_is_left_when_its_block_ends(serving: Serving) -> None:
    with serving() as server:
        processes = [server.process.pid, *below(server.process.pid)]

    end = time.monotonic() + 10
    while any(map(is_running, processes)):
        assert time.monotonic() < end, processes
        time.sleep(0.01)


def below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in children.read_text(encoding="ascii").split()]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@each_environment
def test_what_is_installed_is_left_alone(environment: Environment) -> None:
    environment.install()
    before = environment.directory.stat().st_mtime_ns

    environment.install()

    assert environment.directory.stat().st_mtime_ns == before


@each_environment
def test_each_package_is_of_one_version_and_has_hashes_and_no_place_is_named(
    environment: Environment,
) -> None:
    text = environment.lock.read_text(encoding="utf-8").replace("\\\n", "")
    requirements = text.splitlines()

    assert len(requirements) > 10
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:", one) for one in requirements)
    assert "://" not in text
