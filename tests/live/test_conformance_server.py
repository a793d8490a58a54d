"""That our own server passes the official conformance suite, with no gateway before it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from mcp import Client
from mcp.types import Implementation

from tests.live.conformance import run_server, seen, serving
from tests.live.conformance_server import GATEWAY
from tests.live.servers import Server

# What the extension for tasks adds comes on top.
EXTENSION = "tasks-"
LEAST = [("2026-07-28", 152), ("2025-11-25", 84), ("2025-06-18", 56)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.mark.parametrize(("revision", "least"), LEAST)
def test_the_server_does_all_that_a_revision_asks(
    server: Server, revision: str, least: int
) -> None:
    verdicts = run_server(server.url, revision)

    assert verdicts.is_passed
    assert verdicts.failing == frozenset()
    assert len({name for name in verdicts.passing if not name.startswith(EXTENSION)}) >= least


def counted(server: Server) -> Counter[str]:
    found = seen(server)
    del found["GET"]  # whoever leaves at once may open its stream, or be gone before it does
    return found


async def lists_tools(url: str, name: str, mode: str) -> None:
    who = Implementation(name=name, version="1")
    async with Client(url, mode=mode, client_info=who) as client:
        await client.list_tools()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("legacy", {"initialize": 1, "notifications/initialized": 1, "tools/list": 1, "DELETE": 1}),
        ("auto", {"server/discover": 1, "tools/list": 1}),
    ],
)
def test_the_server_counts_what_it_sees_but_for_what_the_gateway_asks_itself(
    server: Server, mode: str, expected: dict[str, int]
) -> None:
    before = counted(server)
    asyncio.run(lists_tools(server.url, "somebody", mode))
    after = counted(server)
    asyncio.run(lists_tools(server.url, GATEWAY, mode))

    assert after - before == Counter(expected)
    assert counted(server) == after
