"""Real servers behind the gateway and real clients in front of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from policies.model import Entity, Fact
from storage.journal import Record
from tests.gateway.harness import Rig, may, shared, until
from tests.live.servers import dual_era, everything, inspect

FEW, STRANGER = "few", "stranger"
FACTS = (
    may("ci", "caller", "Server", "old"),
    may("ci", "caller", "Server", "dual"),
    may(FEW, "caller", "Tool", "old__get-sum"),
    may(FEW, "viewer", "Tool", "old__echo"),
    may(FEW, "caller", "Tool", "dual__add"),
    may(FEW, "viewer", "Tool", "dual__echo"),
    may(FEW, "caller", "Tool", "dual__fetch"),
    Fact("has_tag", (Entity("Tool", "dual__fetch"), "guarded")),
    Fact("allowed_host", (Entity("Tool", "dual__fetch"), "ok.example")),
)
SUM = {"old": "get-sum", "dual": "add"}

# Server, how the client chooses a version, and the version that they come to.
MODES = [
    ("old", "auto", "2025-11-25"),
    ("old", "legacy", "2025-11-25"),
    ("dual", "auto", "2026-07-28"),
    ("dual", "legacy", "2025-11-25"),
    ("dual", "2026-07-28", "2026-07-28"),
]
each_mode = pytest.mark.parametrize(("server", "mode", "version"), MODES)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with ExitStack() as stack:
        urls = {
            "old": stack.enter_context(everything()).url,
            "dual": stack.enter_context(dual_era()).url,
        }
        directory = tmp_path_factory.mktemp("real")
        yield stack.enter_context(shared(directory, speeches={}, urls=urls, facts=FACTS))


def url_of(rig: Rig, server: str) -> str:
    return f"http://{rig.host}/servers/{server}/mcp"


@asynccontextmanager
async def connected(rig: Rig, server: str, mode: str, client: str = "ci") -> AsyncIterator[Client]:
    headers = {"Authorization": rig.bearer(client)}
    async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
        transport = streamable_http_client(url_of(rig, server), http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=30) as found:
            yield found


async def refusal(client: Client, name: str, **arguments: object) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await client.call_tool(name, arguments)
    return caught.value


def text_of(result: Any) -> str:  # noqa: ANN401  any result with content
    (first,) = result.content
    assert isinstance(first, TextContent)
    return first.text


@each_mode
def test_a_client_that_may_do_everything_notices_nothing(
    rig: Rig, server: str, mode: str, version: str
) -> None:
    async def story() -> None:
        async with connected(rig, server, mode) as client:
            assert client.protocol_version == version
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert {SUM[server], "echo"} <= names
            assert "5" in text_of(await client.call_tool(SUM[server], {"a": 2, "b": 3}))
            prompts = (await client.list_prompts()).prompts
            resources = (await client.list_resources()).resources
            templates = (await client.list_resource_templates()).resource_templates
            assert prompts
            assert templates
            found = await client.read_resource(str(resources[0].uri))
            assert found.contents

    rig.run(story())


@each_mode
def test_a_client_that_may_do_little_sees_little_and_is_told_why(
    rig: Rig, server: str, mode: str, version: str
) -> None:
    del version

    async def story() -> None:
        async with connected(rig, server, mode, FEW) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names == {SUM[server], "echo"} | ({"fetch"} if server == "dual" else set())
            assert "5" in text_of(await client.call_tool(SUM[server], {"a": 2, "b": 3}))

            denied = await refusal(client, "echo", text="x", message="x")
            assert (denied.code, denied.data["reason"]) == (40301, "no_rule")
            assert denied.data["decision_id"] in {one.id for one in rig.records()}
            unknown = await refusal(client, "no_such")
            hidden = await refusal(client, "get-env" if server == "old" else "slow")
            assert (unknown.code, unknown.message) == (-32602, "Unknown tool: no_such")
            assert hidden.message == unknown.message.replace(
                "no_such", "get-env" if server == "old" else "slow"
            )
            # The connection is as good as before.
            assert "5" in text_of(await client.call_tool(SUM[server], {"a": 2, "b": 3}))

    rig.run(story())


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
def test_an_argument_decides_what_a_client_may_call(rig: Rig, mode: str) -> None:
    async def story() -> None:
        async with connected(rig, "dual", mode, FEW) as client:
            allowed = await client.call_tool("fetch", {"url": "https://ok.example/a"})
            assert text_of(allowed) == "fetched https://ok.example/a"
            denied = await refusal(client, "fetch", url="https://evil.example/a")
            assert denied.code == 40301

    rig.run(story())


@each_mode
def test_a_client_that_is_not_granted_the_server_cannot_even_begin(
    rig: Rig, server: str, mode: str, version: str
) -> None:
    del version

    async def story() -> None:
        async with connected(rig, server, mode, STRANGER) as client:
            await client.list_tools()

    with pytest.raises((MCPError, ExceptionGroup)):
        rig.run(story())


def test_a_pinned_client_of_a_server_that_does_not_speak_its_version_is_told_so(rig: Rig) -> None:
    async def story() -> None:
        async with connected(rig, "old", "2026-07-28") as client:
            await client.list_tools()

    with pytest.raises((MCPError, ExceptionGroup)):
        rig.run(story())


def test_a_call_whose_client_goes_away_ends_as_cancelled(rig: Rig) -> None:
    def is_slow(record: Record) -> bool:
        return bool(record.payload["resource"]["id"] == "dual__slow")

    async def story() -> None:
        before = len(rig.records())
        async with connected(rig, "dual", "2026-07-28") as client:
            task = asyncio.create_task(client.call_tool("slow", {"seconds": 60}))
            # Not when it is written: one who leaves before it is durable has called nothing.
            allowed = r'dual__slow\"}","verdict":"allow"'
            await until(lambda: allowed in rig.log.getvalue())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        (decision,) = filter(is_slow, rig.records()[before:])
        assert (await rig.outcome_of(decision))["status"] == "cancelled"

    rig.run(story())


# The inspector, as a whole program. Its exit codes: 0 answered, 1 error, 3 refused, 5 tool failed.

TOOL, ARGUMENTS = "--tool-name", "--tool-arg"
DENIED = "The policy does not allow this call."
INSPECTIONS = [
    ("old", "legacy", "ci", ("tools/list",), 0, "get-sum"),
    ("dual", "modern", "ci", ("tools/list",), 0, "slow"),
    ("old", "legacy", FEW, ("tools/call", TOOL, "get-sum", ARGUMENTS, "a=2", "b=3"), 0, "5"),
    ("dual", "auto", FEW, ("tools/call", TOOL, "add", ARGUMENTS, "a=2", "b=3"), 0, "5"),
    ("dual", "modern", FEW, ("tools/call", TOOL, "echo", ARGUMENTS, "text=x"), 1, DENIED),
    ("old", "legacy", FEW, ("tools/call", TOOL, "echo", ARGUMENTS, "message=x"), 1, DENIED),
    ("dual", "legacy", "ci", ("tools/call", TOOL, "fail", ARGUMENTS, "why=x"), 5, "tool_is_error"),
    ("dual", "legacy", None, ("tools/list",), 3, "auth_required"),
]


def test_the_inspector_is_answered_denied_and_refused_as_it_should_be(rig: Rig) -> None:
    async def story() -> None:
        done = await asyncio.gather(
            *(asyncio.to_thread(inspected, rig, *one[:4]) for one in INSPECTIONS)
        )
        for (code, out, err), (*_, expected, said) in zip(done, INSPECTIONS, strict=True):
            assert code == expected, (out, err)
            assert said in (out if expected == 0 else err)

    rig.run(story())


def inspected(
    rig: Rig, server: str, era: str, client: str | None, asked: tuple[str, ...]
) -> tuple[int, str, str]:
    token = None if client is None else rig.bearer(client).partition(" ")[2]
    done = inspect(url_of(rig, server), token, *asked, era=era)
    return done.returncode, done.stdout, done.stderr


def test_the_inspector_sees_what_its_client_may_see(rig: Rig) -> None:
    async def story() -> str:
        return (await asyncio.to_thread(inspected, rig, "old", "legacy", FEW, ("tools/list",)))[1]

    listed = json.loads(rig.run(story()))

    assert [one["name"] for one in listed["result"]["tools"]] == ["echo", "get-sum"]
