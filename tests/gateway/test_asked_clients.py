"""What the reference server asks of real clients and tells them, past a gateway and without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.gateway.clients import Stage, names, outcome, staged, text_of
from tests.gateway.harness import may
from tests.live.agents import DECLARED, Agent
from tests.live.servers import dual_era, everything

OLD, NEW = "old", "dual"
CI, TOOLS, READER, CHANGING = "ci", "tools", "reader", "changing"
ASKING = (
    "trigger-sampling-request",
    "trigger-elicitation-request",
    "trigger-url-elicitation",
    "get-roots-list",
)
TELLING = ("toggle-simulated-logging", "toggle-subscriber-updates", "gzip-file-as-resource")
LONG, RESEARCH = "trigger-long-running-operation", "simulate-research-query"
URI, HIDDEN, SEEN = (
    f"demo://resource/static/document/{name}.md" for name in ("features", "how-it-works", "startup")
)
ACTIONS = {
    "sampling/createMessage": "sample",
    "elicitation/create": "elicit",
    "roots/list": "list_roots",
}
PAGE = "https://shop.example/confirm"

FACTS = (
    may(CI, "caller", "Server", OLD),
    may(CI, "caller", "Server", NEW),
    *(
        may(TOOLS, "caller", "Tool", f"{OLD}__{tool}")
        for tool in (*ASKING, *TELLING, LONG, RESEARCH)
    ),
    may(READER, "caller", "Document", f"{OLD}|{URI}"),
    may(READER, "viewer", "Document", f"{OLD}|{SEEN}"),
    may(READER, "caller", "Prompt", f"{OLD}__completable-prompt"),
    may(READER, "caller", "Document", f"{NEW}|note://static"),
    may(CHANGING, "viewer", "Tool", f"{OLD}__echo"),
    may(CHANGING, "viewer", "Tool", f"{NEW}__echo"),
)
each_client = pytest.mark.parametrize("client", ["python legacy", "v1 legacy", "v2 default"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        urls = {
            OLD: stack.enter_context(everything()).url,
            NEW: stack.enter_context(dual_era()).url,
        }
        directory = tmp_path_factory.mktemp("asked")
        yield stack.enter_context(staged(directory, urls, FACTS))


async def asked(agent: Agent) -> dict[str, Any]:
    """Let the server ask for all that it can ask for, and return what each side was told."""
    return {
        "sampling": await outcome(agent, "call", name=ASKING[0], arguments={"prompt": "2+2?"}),
        "elicitation": await outcome(agent, "call", name=ASKING[1], arguments={}),
        "page": await outcome(agent, "call", name=ASKING[2], arguments={"url": PAGE}),
        "roots": await outcome(agent, "call", name=ASKING[3], arguments={}),
        "demand": await outcome(
            agent, "call", name=ASKING[2], arguments={"url": PAGE, "errorPath": True}
        ),
        "asked": by_method((await outcome(agent, "seen"))["asked"]),
    }


def by_method(messages: list[Any]) -> dict[str, list[Any]]:
    """Return the params of *messages*, each once: roots may be asked for twice."""
    found: dict[str, list[Any]] = {}
    for one in messages:
        known = found.setdefault(one["method"], [])
        if one["params"] not in known:
            known.append(one["params"])
    return found


@each_client
def test_what_a_server_asks_reaches_a_client_and_its_answers_the_server(
    stage: Stage, client: str
) -> None:
    async def story() -> tuple[dict[str, Any], dict[str, Any]]:
        async with stage.directly(client, OLD, DECLARED) as agent:
            direct = await asked(agent)
        async with stage.through(client, OLD, CI, DECLARED) as agent:
            return direct, await asked(agent)

    before = len(stage.rig.records())
    direct, through = stage.rig.run(story())

    assert through == direct
    assert "Four." in text_of(through["sampling"])
    assert "Name: Ada" in text_of(through["elicitation"])
    assert "file:///srv/work" in text_of(through["roots"])
    assert through["demand"][0] == -32042
    for method, action in ACTIONS.items():
        assert set(stage.judged(before, method=method)) == {(action, OLD, "allow")}


@each_client
def test_a_client_that_was_granted_single_tools_is_asked_for_nothing(
    stage: Stage, client: str
) -> None:
    async def story() -> None:
        async with stage.through(client, OLD, TOOLS, DECLARED) as agent:
            assert "logging" not in agent.offers
            # The server offers its tools to who can be asked, and was not told that anybody can.
            assert names(await agent.ask("tools")) == {*TELLING, LONG, RESEARCH}
            for tool in ASKING:
                called = await agent.ask("call", name=tool, arguments={"url": PAGE, "prompt": "x"})
                assert called["isError"] is True
                assert "not found" in text_of(called)
            denied = await outcome(agent, "level", level="debug")
            assert denied[0] == 40301
            assert (await agent.ask("seen"))["asked"] == []

    before = len(stage.rig.records())
    stage.rig.run(story())

    (begun,) = stage.recorded(before, "initialize")
    assert begun.payload["withheld"] == ["elicitation", "roots", "sampling"]


async def told(agent: Agent) -> dict[str, Any]:
    """Let the server tell all that it can tell, and return one of each kind."""
    found: dict[str, Any] = {"progress": await reported(agent)}
    await agent.ask("level", level="debug")
    await agent.ask("subscribe", uri=URI)
    for tool, method in zip(TELLING, TOLD, strict=True):
        await agent.ask("call", name=tool, arguments={"name": "x.gz", "data": "data:text/plain,x"})
        seen = (await agent.ask("seen", method=method))["told"]
        found[method] = next(one.get("params") for one in seen if one["method"] == method)
    await agent.ask("unsubscribe", uri=URI)
    return found


TOLD = (
    "notifications/message",
    "notifications/resources/updated",
    "notifications/resources/list_changed",
)


async def reported(agent: Agent) -> list[Any]:
    brief = {"duration": 0.1, "steps": 3}
    called = await agent.ask("call", name=LONG, arguments=brief, reports=True)
    progress: list[Any] = called["progress"]
    return progress


@each_client
def test_what_a_server_tells_reaches_a_client(stage: Stage, client: str) -> None:
    async def story() -> tuple[dict[str, Any], dict[str, Any]]:
        async with stage.directly(client, OLD) as agent:
            direct = await told(agent)
        async with stage.through(client, OLD, CI) as agent:
            return direct, await told(agent)

    direct, through = stage.rig.run(story())

    assert [one["progress"] for one in through["progress"]] == [1, 2, 3]
    assert through[TOLD[1]]["uri"] == URI
    assert through[TOLD[0]].keys() == direct[TOLD[0]].keys()
    del through[TOLD[0]], direct[TOLD[0]]  # of a random level
    assert through == direct


@each_client
def test_a_client_follows_only_what_it_may_read(stage: Stage, client: str) -> None:
    async def story() -> None:
        async with stage.through(client, OLD, READER) as agent:
            await agent.ask("subscribe", uri=URI)
            denied = await outcome(agent, "subscribe", uri=SEEN)
            hidden = await outcome(agent, "subscribe", uri=HIDDEN)
            unknown = await outcome(agent, "subscribe", uri=f"{HIDDEN}.gone")
            assert denied[0] == 40301
            assert hidden[0] == unknown[0]
            assert hidden[0] in (-32002, -32602)
            assert hidden[1] == {"uri": HIDDEN}

    stage.rig.run(story())


@each_client
def test_only_who_may_use_a_thing_is_told_how_its_arguments_go_on(
    stage: Stage, client: str
) -> None:
    def question(name: str) -> dict[str, Any]:
        argument = {"name": "department", "value": "S"}
        return {"ref": {"type": "ref/prompt", "name": name}, "argument": argument}

    async def story() -> None:
        async with stage.through(client, OLD, READER) as agent:
            completed = await agent.ask("complete", **question("completable-prompt"))
            assert completed["completion"]["values"] == ["Sales", "Support"]
            assert (await outcome(agent, "complete", **question("args-prompt")))[0] == -32602

    stage.rig.run(story())


@pytest.mark.parametrize("client", ["python legacy", "v1 legacy", "v2 default", "v2 pinned"])
def test_a_client_is_told_when_a_grant_changes_what_it_may_see(stage: Stage, client: str) -> None:
    server = NEW if client == "v2 pinned" else OLD
    grant = may(CHANGING, "viewer", "Server", server)

    async def story() -> None:
        async with stage.through(client, server, CHANGING) as agent:
            if client == "v2 pinned":
                await agent.ask("listen", filter={"toolsListChanged": True})
            # The stream of a legacy client may begin after the change, so there are some.
            for change in (stage.rig.state, stage.rig.unstate) * 5:
                await change(grant)
                if await is_told(agent, "notifications/tools/list_changed"):
                    break
            else:
                pytest.fail("the client was told nothing")

    try:
        stage.rig.run(story())
    finally:
        stage.rig.run(stage.rig.unstate(grant))


async def is_told(agent: Agent, method: str) -> bool:
    """Tell whether a client hears of *method* within a second."""
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if any(one["method"] == method for one in (await agent.ask("seen"))["told"]):
            return True
        await asyncio.sleep(0.02)
    return False


def test_a_modern_client_listens_only_to_what_it_may_read(stage: Stage) -> None:
    wanted = ["note://static", "note://7"]

    async def story() -> dict[str, Any]:
        async with stage.through("v2 pinned", NEW, READER) as agent:
            return await agent.ask("listen", filter={"resourceSubscriptions": wanted})

    assert stage.rig.run(story())["resourceSubscriptions"] == ["note://static"]


# Tasks, as the 2025-11-25 revision has them.


async def as_task(agent: Agent, topic: str, *, ambiguous: bool = False) -> str:
    arguments = {"topic": topic, "ambiguous": ambiguous}
    begun = await agent.ask("task", name=RESEARCH, arguments=arguments)
    assert begun["status"] == "working"
    id_: str = begun["taskId"]
    return id_


def test_a_task_is_followed_listed_and_finished_by_who_began_it(stage: Stage) -> None:
    async def story() -> None:
        async with stage.through("v1 legacy", OLD, CI, DECLARED) as agent:
            id_ = await as_task(agent, "python", ambiguous=True)
            assert (await agent.ask("status", id=id_))["taskId"] == id_
            assert [one["taskId"] for one in (await agent.ask("tasks"))["tasks"]] == [id_]
            # The server asks on the stream of the outcome what is meant.
            report = text_of(await agent.ask("outcome", id=id_))
            assert "python (programming)" in report
            assert (await agent.ask("status", id=id_))["status"] == "completed"

    before = len(stage.rig.records())
    stage.rig.run(story())

    for method in ("tasks/get", "tasks/result"):
        assert set(stage.judged(before, method=method)) == {("call", f"{OLD}__{RESEARCH}", "allow")}
    assert set(stage.judged(before, method="elicitation/create")) == {("elicit", OLD, "allow")}


def test_a_task_of_somebody_else_is_no_task(stage: Stage) -> None:
    async def story() -> None:
        async with stage.through("v1 legacy", OLD, CI) as agent:
            id_ = await as_task(agent, "tea")
            assert (await agent.ask("cancel", id=id_))["status"] == "cancelled"
        async with stage.through("v1 legacy", OLD, TOOLS) as agent:
            assert (await agent.ask("tasks"))["tasks"] == []
            for what in ("status", "outcome", "cancel"):
                theirs = await outcome(agent, what, id=id_)
                none = await outcome(agent, what, id="no-such-task")
                assert theirs == none
                assert theirs[0] == -32602

    before = len(stage.rig.records())
    stage.rig.run(story())

    # This server, too, knows no task of another session; it was never asked.
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        decided = stage.judged(before, principal=TOOLS, method=method)
        assert {verdict for *_, verdict in decided} == {"deny"}


def test_a_client_does_what_it_is_asked_for_as_a_task_of_its_own(stage: Stage) -> None:
    requests: dict[str, Any] = {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}
    declared = {**DECLARED, "tasks": {"requests": requests}}

    async def both(agent: Agent) -> list[Any]:
        questions = [("trigger-sampling-request-async", {"prompt": "2+2?"})]
        questions.append(("trigger-elicitation-request-async", {}))
        return [await outcome(agent, "call", name=name, arguments=one) for name, one in questions]

    async def story() -> tuple[list[Any], list[Any]]:
        async with stage.directly("v1 legacy", OLD, declared) as agent:
            direct = await both(agent)
        async with stage.through("v1 legacy", OLD, CI, declared) as agent:
            return direct, await both(agent)

    direct, through = stage.rig.run(story())

    assert through == direct
    assert "Four." in text_of(through[0])
    assert "Name: Ada" in text_of(through[1])
