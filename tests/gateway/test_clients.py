"""Every real client at every real server, with the gateway between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from mcp import MCPError

from tests.gateway.clients import (
    CLIENTS,
    LEGACY,
    MODERN,
    Stage,
    names,
    outcome,
    staged,
    text_of,
    version_of,
)
from tests.gateway.harness import may
from tests.live.agents import Agent, RefusedError
from tests.live.python_servers import fastmcp, time_behind_proxy
from tests.live.servers import dual_era, everything, inspect

FEW, EYE, STRANGER = "few", "eye", "stranger"


@dataclass(frozen=True)
class Offer:
    """What is tried at a server: one of each kind, a tool to be denied, and the newest version.

    `templates` are those that `uri` could have come from: who may read it is shown them.
    """

    newest: str
    tool: str
    arguments: Mapping[str, Any]
    says: str
    other: str
    prompt: str = ""
    prompt_arguments: Mapping[str, str] | None = None
    uri: str = ""
    templates: frozenset[str] = frozenset()


OFFERS = {
    "old": Offer(
        LEGACY, "get-sum", {"a": 2, "b": 3}, "is 5", "get-env",
        "args-prompt", {"city": "Oslo"}, "demo://resource/static/document/features.md",
    ),
    "dual": Offer(
        MODERN, "add", {"a": 2, "b": 3}, "5", "slow",
        "greet", {"name": "Ada"}, "note://static", frozenset({"note://{id}"}),
    ),
    "fast": Offer(
        MODERN, "shout", {"text": "hey"}, "HEY", "count",
        "brief", {"topic": "tea"}, "page://fixed", frozenset({"page://{number}"}),
    ),
    "time": Offer(
        LEGACY,
        "convert_time",
        {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"},
        "T21:00:00+09:00",
        "get_current_time",
    ),
}  # fmt: skip
PAIRS = [(client, server) for client in CLIENTS for server in OFFERS]
UNABLE = [pair for pair in PAIRS if version_of(pair[0], OFFERS[pair[1]].newest) is None]
each_pair = pytest.mark.parametrize(
    ("client", "server"), [pair for pair in PAIRS if pair not in UNABLE]
)


def facts_of(server: str, offer: Offer) -> list[Any]:
    granted = [("Tool", f"{server}__{offer.tool}")]
    if offer.prompt:
        granted.append(("Prompt", f"{server}__{offer.prompt}"))
        granted.append(("Document", f"{server}|{offer.uri}"))
    return [
        may("ci", "caller", "Server", server),
        may(EYE, "viewer", "Server", server),
        *(may(FEW, "caller", *one) for one in granted),
    ]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    serving = {"old": everything, "dual": dual_era, "fast": fastmcp, "time": time_behind_proxy}
    facts = [fact for server, offer in OFFERS.items() for fact in facts_of(server, offer)]
    with ExitStack() as stack:
        urls = {name: stack.enter_context(run()).url for name, run in serving.items()}
        directory = tmp_path_factory.mktemp("clients")
        yield stack.enter_context(staged(directory, urls, tuple(facts)))


async def transcript(agent: Agent, offer: Offer) -> dict[str, Any]:
    """Return all that a client is told at a server: lists without their caching, results whole."""
    told: dict[str, Any] = {"version": agent.version}
    for kind in ("tools", "prompts", "resources", "templates"):
        listed = await outcome(agent, kind)
        told[kind] = listed if isinstance(listed, list) else items_of(listed)
    told["called"] = await outcome(agent, "call", name=offer.tool, arguments=offer.arguments)
    if offer.prompt:
        asked = {"name": offer.prompt, "arguments": offer.prompt_arguments}
        told["prompted"] = await outcome(agent, "prompt", **asked)
        told["read"] = (await outcome(agent, "read", uri=offer.uri))["contents"]
    return told


def items_of(listed: Mapping[str, Any]) -> list[Any]:
    (items,) = (value for value in listed.values() if isinstance(value, list))
    return items


@each_pair
def test_a_client_that_may_do_everything_finds_what_it_finds_without_a_gateway(
    stage: Stage, client: str, server: str
) -> None:
    offer = OFFERS[server]

    async def story() -> tuple[dict[str, Any], dict[str, Any]]:
        async with stage.directly(client, server) as agent:
            direct = await transcript(agent, offer)
        async with stage.through(client, server, "ci") as agent:
            return direct, await transcript(agent, offer)

    direct, through = stage.rig.run(story())

    assert through == direct
    assert through["version"] == version_of(client, offer.newest)
    assert offer.says in text_of(through["called"])


@each_pair
def test_a_client_sees_and_does_what_it_was_granted_and_nothing_else_exists(
    stage: Stage, client: str, server: str
) -> None:
    offer = OFFERS[server]

    async def story() -> None:
        async with stage.through(client, server, FEW) as agent:
            assert names(await agent.ask("tools")) == {offer.tool}
            if offer.prompt:
                assert names(await agent.ask("prompts")) == {offer.prompt}
                assert names(await agent.ask("resources")) == {offer.uri}
                assert names(await agent.ask("templates")) == offer.templates

            hidden = await refused(agent, "call", name=offer.other, arguments={})
            unknown = await refused(agent, "call", name="no_such", arguments={})
            assert (hidden.code, unknown.code) == (-32602, -32602)
            assert unknown.message.endswith("Unknown tool: no_such")
            assert hidden.message == unknown.message.replace("no_such", offer.other)
            if offer.uri:
                gone = await refused(agent, "read", uri=f"{offer.uri}.gone")
                # The second TypeScript SDK turns the older code into the newer.
                is_new = agent.version == MODERN or client.startswith("v2")
                assert gone.code == (-32602 if is_new else -32002)
            # The connection is as good as before.
            called = await agent.ask("call", name=offer.tool, arguments=offer.arguments)
            assert offer.says in text_of(called)

    before = len(stage.rig.records())
    stage.rig.run(story())

    calls = [one for one in stage.judged(before, principal=FEW) if one[0] == "call"]
    assert calls == [
        ("call", f"{server}__{offer.other}", "deny"),
        ("call", f"{server}__no_such", "deny"),
        ("call", f"{server}__{offer.tool}", "allow"),
    ]


@each_pair
def test_a_client_that_may_only_look_is_told_which_decision_stopped_it(
    stage: Stage, client: str, server: str
) -> None:
    offer = OFFERS[server]

    async def story() -> RefusedError:
        async with stage.through(client, server, EYE) as agent:
            assert {offer.tool, offer.other} <= names(await agent.ask("tools"))
            denied = await refused(agent, "call", name=offer.tool, arguments=offer.arguments)
            # The connection is as good as before.
            assert {offer.tool, offer.other} <= names(await agent.ask("tools"))
            return denied

    before = len(stage.rig.records())
    denied = stage.rig.run(story())

    (record,) = stage.recorded(before, "tools/call")
    assert (denied.code, denied.data["reason"]) == (40301, "no_rule")
    assert denied.message.endswith("The policy does not allow this call.")
    assert denied.data["decision_id"] == record.id
    assert record.payload["verdict"] == "deny"


async def refused(agent: Agent, what: str, **question: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await agent.ask(what, **question)
    return caught.value


@pytest.mark.parametrize(("client", "server"), UNABLE)
def test_a_client_that_wants_another_version_than_there_is_fails_to_begin(
    stage: Stage, client: str, server: str
) -> None:
    async def story() -> None:
        async with stage.through(client, server, "ci") as agent:
            await agent.ask("tools")

    with pytest.raises((RefusedError, MCPError, ExceptionGroup)):
        stage.rig.run(story())


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_without_any_grant_cannot_begin(stage: Stage, client: str) -> None:
    async def story() -> None:
        async with stage.through(client, "dual", STRANGER) as agent:
            await agent.ask("tools")

    before = len(stage.rig.records())
    with pytest.raises((RefusedError, MCPError, ExceptionGroup)):
        stage.rig.run(story())

    assert {verdict for *_, verdict in stage.judged(before, principal=STRANGER)} == {"deny"}


# The inspector is a whole program, started for each question.

ERAS = {"legacy": "v2 default", "auto": "v2 auto", "modern": "v2 pinned"}
INSPECTED = [
    (era, server)
    for era, alike in ERAS.items()
    for server, offer in OFFERS.items()
    if version_of(alike, offer.newest)
]


@pytest.mark.parametrize(("era", "server"), INSPECTED)
def test_the_inspector_sees_calls_and_is_denied_as_any_client(
    stage: Stage, era: str, server: str
) -> None:
    offer = OFFERS[server]
    arguments = json.dumps(offer.arguments)
    call = "tools/call", "--tool-name", offer.tool, "--tool-args-json", arguments

    async def asked(principal: str, method: str, *args: str) -> tuple[int, str, str]:
        token = stage.rig.bearer(principal).partition(" ")[2]
        url = stage.url(server)
        done = await asyncio.to_thread(inspect, url, token, method, *args, era=era)
        return done.returncode, done.stdout, done.stderr

    async def story() -> Sequence[tuple[int, str, str]]:
        return await asyncio.gather(
            asked(FEW, "tools/list"),
            asked(FEW, *call),
            asked(EYE, *call),
        )

    listed, called, denied = stage.rig.run(story())

    assert (listed[0], called[0], denied[0]) == (0, 0, 1)
    assert names(json.loads(listed[1])["result"]) == {offer.tool}
    assert offer.says in text_of(json.loads(called[1])["result"])
    assert "The policy does not allow this call." in denied[2]
