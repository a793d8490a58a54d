"""What an upstream may ask of a client: first it is not told, then it is judged, and recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.gateway.asks import (
    ASKS,
    CANARY,
    ELICIT,
    FEW,
    FORM,
    OUTCOMES,
    PUZZLED,
    ROOTS,
    SAMPLE,
    answers,
    asking,
    decided,
    fail,
    hears_nothing,
    mended,
    messages,
    refused,
    reply,
    talking,
    world,
)
from tests.gateway.harness import CI, Rig
from tests.gateway.raw import ENVELOPE, LEGACY, MODERN
from tests.gateway.registering import SERVERS, Control
from tests.upstream.speaking import Message

each_ask = pytest.mark.parametrize("method", ASKS)
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"

each_way = pytest.mark.parametrize("way", ["POST", "GET"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with world(tmp_path_factory.mktemp("asking")) as rig:
        yield rig


# What an upstream is told.

CAPABILITIES: Final[Message] = {
    "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
    "roots": {"listChanged": True},
    "tasks": {
        "list": {},
        "requests": {
            "sampling": {"createMessage": {}},
            "elicitation": {"create": {}},
            "roots": {"list": {}},
        },
    },
    "experimental": {"x": {"y": 1}},
    "extensions": {"example.org/z": {}},
    "future": [1],
}
ALWAYS = ("experimental", "extensions", "future")
TOLD: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[str]]] = {
    CI: (("sampling", "elicitation", "roots"), ("sampling", "elicitation"), []),
    SAMPLE: (("sampling",), ("sampling",), ["elicitation", "roots"]),
    ELICIT: (("elicitation",), ("elicitation",), ["roots", "sampling"]),
    ROOTS: (("roots",), (), ["elicitation", "sampling", "tasks"]),
    FEW: ((), (), ["elicitation", "roots", "sampling", "tasks"]),
    PUZZLED: ((), (), ["elicitation", "roots", "sampling", "tasks"]),
}
"""Of each client: what it can do and the upstream is told, which tasks, and what is withheld."""


async def introduced(
    rig: Rig, era: str, client: str, capabilities: object
) -> tuple[Message, list[str]]:
    """Return what the upstream is told of *capabilities*, and what the record says is not."""
    if era == LEGACY:
        info = {"name": "x", "version": "1"}
        params: Message = {"protocolVersion": LEGACY, "clientInfo": info}
        method, params = "initialize", params | {"capabilities": capabilities}
    else:
        meta = ENVELOPE | {CAPABILITIES_KEY: capabilities}
        method, params = "tools/call", {"name": "echo", "_meta": meta}
    before = len(rig.records())
    said = await rig.ask(method, params, version=era, client=client)
    assert said.status == 200
    (record,) = rig.records()[before:]
    sent = messages(rig)[-1]["params"]
    heard = sent["capabilities"] if era == LEGACY else sent["_meta"][CAPABILITIES_KEY]
    return heard, record.payload.get("withheld", [])


@pytest.mark.parametrize("client", TOLD)
@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_an_upstream_is_told_of_what_it_may_ask_for_alone(rig: Rig, era: str, client: str) -> None:
    heard, withheld = rig.run(introduced(rig, era, client, CAPABILITIES))

    able, tasks, unheard = TOLD[client]
    expected = {name: CAPABILITIES[name] for name in (*able, *ALWAYS)}
    if tasks:
        requests = CAPABILITIES["tasks"]["requests"]
        kept = {name: requests[name] for name in tasks}
        expected["tasks"] = {"list": {}, "requests": kept}
    assert heard == expected
    assert withheld == unheard


@pytest.mark.parametrize("era", [MODERN, LEGACY])
def test_of_what_a_client_cannot_do_nothing_is_said_and_nothing_withheld(
    rig: Rig, era: str
) -> None:
    known: tuple[Message, ...] = ({}, {"experimental": {}})
    for capabilities in known:
        assert rig.run(introduced(rig, era, FEW, capabilities)) == (capabilities, [])


@pytest.mark.parametrize("tasks", [[], "x", None, {}, {"requests": []}, {"requests": {"x": {}}}])
def test_tasks_of_a_client_that_cannot_be_understood_are_not_told_of(
    rig: Rig, tasks: object
) -> None:
    assert rig.run(introduced(rig, LEGACY, CI, {"tasks": tasks})) == ({}, ["tasks"])


# What a legacy upstream asks in a stream.


@each_way
@each_ask
def test_what_is_asked_reaches_the_client_and_its_answer_the_upstream(
    rig: Rig, way: str, method: str
) -> None:
    action, params = ASKS[method]

    async def story() -> None:
        async with talking(rig, way, action) as (ear, channel):
            for id_ in (5, "q-1", 0, "0", "x" * 96):
                for outcome in OUTCOMES:
                    before, seen = len(rig.records()), rig.mark
                    await channel.say(asking(method, params, id_))
                    heard = await ear.event()
                    handle = heard.pop("id")
                    assert heard == {"jsonrpc": "2.0", "method": method, "params": params}
                    assert type(handle) is str
                    assert handle != id_
                    said = await reply(rig, handle, outcome, client=action)
                    assert (said.status, said.body) == (202, b"")

                    ((headers, message),) = await answers(rig, seen)
                    assert message == {"jsonrpc": "2.0", "id": id_} | outcome
                    assert type(message["id"]) is type(id_)
                    assert headers["MCP-Protocol-Version"] == LEGACY
                    assert headers["Mcp-Session-Id"] == "s-1"
                    assert headers["Authorization"] == "Bearer of-the-gateway-for-up"
                    assert decided(rig, before) == [(method, action, "allow", "granted")] * 2
                    asked, answered = rig.records()[before:]
                    assert (await rig.outcome_of(asked))["status"] == "asked"
                    assert (await rig.outcome_of(answered))["status"] == 202

    rig.run(story())


@each_way
def test_each_side_can_be_asked_whether_it_is_there(rig: Rig, way: str) -> None:
    async def story() -> None:
        said = await rig.ask("ping", version=LEGACY, client=FEW, more=[rig.session(FEW)])
        assert said.message == {"jsonrpc": "2.0", "id": 7, "result": {}}
        async with talking(rig, way, FEW) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking("ping"))
            heard = await ear.event()
            assert (heard["method"], "params" in heard) == ("ping", False)
            assert (await reply(rig, heard["id"], {"result": {}}, client=FEW)).status == 202
            ((_, message),) = await answers(rig, seen)
            assert message == {"jsonrpc": "2.0", "id": 5, "result": {}}
            assert decided(rig, before) == [("ping", "connect", "allow", "granted")]

    rig.run(story())


@each_way
@each_ask
def test_what_may_not_be_asked_is_refused_upstream_and_the_client_hears_nothing(
    rig: Rig, way: str, method: str
) -> None:
    action, params = ASKS[method]

    async def story() -> None:
        async with talking(rig, way, FEW) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking(method, params | {"message": CANARY}))
            ((headers, message),) = await answers(rig, seen)
            assert refused(message, 5, 40301)
            assert (headers["Mcp-Session-Id"], headers["MCP-Protocol-Version"]) == ("s-1", LEGACY)
            assert decided(rig, before) == [(method, action, "deny", "no_rule")]
            await hears_nothing(ear, channel, rig, FEW)

    rig.run(story())


@each_ask
def test_what_a_server_that_is_observed_may_not_ask_is_asked_and_recorded_as_denied(
    rig: Rig, method: str
) -> None:
    action, params = ASKS[method]

    async def story() -> None:
        control = Control(rig)
        await control.ask("POST", f"{SERVERS}/up/observe", {"why": "rollout"})
        async with talking(rig, "GET", FEW) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking(method, params))
            said = await reply(rig, (await ear.event())["id"], OUTCOMES[0], client=FEW)
            assert said.status == 202
            await answers(rig, seen)
            assert decided(rig, before) == [(method, action, "deny", "no_rule")] * 2
            assert [one.payload["enforced"] for one in rig.records()[before:]] == [False] * 2
            before = len(rig.records())
            await control.ask("POST", f"{SERVERS}/up/enforce", {})
            seen = rig.mark
            await channel.say(asking(method, params, "q-2"))
            ((_, message),) = await answers(rig, seen)
            assert refused(message, "q-2", 40301)

    rig.run(story())


@each_way
@pytest.mark.parametrize(("method", "id_"), [("x/y", 5), ("tools/call", "a"), ("ping ", 0)])
def test_a_request_that_no_client_knows_is_answered_in_its_place(
    rig: Rig, way: str, method: str, id_: object
) -> None:
    async def story() -> None:
        async with talking(rig, way, CI) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking(method, {"message": CANARY}, id_))
            ((_, message),) = await answers(rig, seen)
            assert refused(message, id_, -32601)
            assert decided(rig, before) == []
            await hears_nothing(ear, channel, rig, CI)

    rig.run(story())


PAGE: Final[Message] = {
    "mode": "url",
    "message": "Go there.",
    "elicitationId": "e",
    "url": "https://a.b/c",
}
IMPROPER: Final[list[tuple[str, Message]]] = [
    *(
        ("sampling/createMessage", {"messages": [], "includeContext": one})
        for one in ("allServers", "thisServer", "NONE", None, "")
    ),
    *(
        ("elicitation/create", PAGE | {"url": one})
        for one in (
            "http://a.b/c", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "",
            "//a.b/c", "https:///c", "https://a.b@c.d/", "https://a b/", "https://\u00e4.b/",
            "https://a.b/\n", "https://[::1", None, 5, ["https://a.b/c"],
        )
    ),
    ("elicitation/create", {"mode": "url", "message": "Go."}),
    *(("elicitation/create", FORM | {"mode": one}) for one in ("URL", "x", "", None, ["url"])),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params"), IMPROPER)
def test_what_no_client_should_be_shown_is_refused_whatever_the_policy_says(
    rig: Rig, method: str, params: Message
) -> None:
    async def story() -> None:
        async with talking(rig, "GET", CI) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking(method, params))
            ((_, message),) = await answers(rig, seen)
            assert refused(message, 5, 40301)
            assert [one[2:] for one in decided(rig, before)] == [("deny", "malformed")]
            await hears_nothing(ear, channel, rig, CI)

    rig.run(story())


@pytest.mark.parametrize("url", ["https://a.b/c?d=e#f", "HTTPS://a.b:8443/", "https://[::1]/"])
def test_a_page_of_the_web_may_be_shown(rig: Rig, url: str) -> None:
    async def story() -> None:
        async with talking(rig, "GET", ELICIT) as (ear, channel):
            await channel.say(asking("elicitation/create", PAGE | {"url": url}))
            assert (await ear.event())["params"] == PAGE | {"url": url}

    rig.run(story())


@pytest.mark.parametrize("id_", ["x" * 256, '"' * 120])
def test_an_id_that_no_answer_could_name_is_refused_upstream(rig: Rig, id_: str) -> None:
    async def story() -> None:
        async with talking(rig, "GET", CI) as (ear, channel):
            seen = rig.mark
            await channel.say(asking("roots/list", id_=id_))
            ((_, message),) = await answers(rig, seen)
            assert refused(message, id_, -32602)
            await hears_nothing(ear, channel, rig, CI)

    rig.run(story())


# When it cannot be judged, or not be recorded.


@each_way
def test_what_cannot_be_judged_is_not_asked(rig: Rig, way: str) -> None:
    async def story() -> None:
        async with talking(rig, way, PUZZLED) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking("sampling/createMessage", {"messages": [CANARY]}))
            ((_, message),) = await answers(rig, seen)
            assert refused(message, 5, 40301)
            ((_, action, verdict, _),) = decided(rig, before)
            assert (action, verdict) == (SAMPLE, "undecided")
            await hears_nothing(ear, channel, rig, PUZZLED)

    rig.run(story())


@each_way
@each_ask
def test_what_cannot_be_recorded_is_not_asked(
    rig: Rig, way: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with talking(rig, way, CI) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            with monkeypatch.context() as patched:
                patched.setattr(os, "pwrite", fail)
                await channel.say(asking(method, ASKS[method][1] | {"message": CANARY}))
                ((_, message),) = await answers(rig, seen)
            assert refused(message, 5, 50302)
            assert decided(rig, before) == []
        assert CANARY.encode() not in ear.heard
        await mended(rig)

    rig.run(story())
