"""A client whose lists are others by now is told so, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from tests.gateway.desk import offering, prompt, tool, tools_of
from tests.gateway.harness import Rig, gateway, may, shared
from tests.gateway.raw import LEGACY
from tests.gateway.registering import SERVERS, Control
from tests.gateway.streams import (
    LISTS,
    PROMPTS,
    RESOURCES,
    TOOLS,
    Channel,
    Ear,
    Studio,
    getting,
    hearing,
    posting,
    session_of,
    streaming,
    subscribed,
    told,
    tuned,
)
from tests.upstream.speaking import Message, gives

ALL = dict.fromkeys(("toolsListChanged", "promptsListChanged", "resourcesListChanged"), True)
MARK = "io.modelcontextprotocol/subscriptionId"
LAST = told("notifications/resources/updated", uri="note://one")
"""What every client here may hear, and no list is: so that nothing else came before it."""
A, B = "a", "b"
EACH = (
    *(may(one, "caller", "Document", "up|note://one") for one in (A, B)),
    may(A, "viewer", "Tool", "up__echo"),
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("changes"), facts=EACH) as rig:
        yield rig


def grant(role: str, type_: str, name: str, client: str = A) -> Fact:
    return may(client, role, type_, name)


def of_a(predicate: str, *rest: Any) -> Fact:  # noqa: ANN401  arguments of a fact
    return Fact(predicate, (Entity("Client", A), *rest))


FAR = 253_402_300_799
CHANGES: dict[str, tuple[Fact, set[str]]] = {
    "a tool": (grant("caller", "Tool", "up__wipe"), {TOOLS}),
    "a tool that is only seen": (grant("viewer", "Tool", "up__wipe"), {TOOLS}),
    "a prompt": (grant("caller", "Prompt", "up__greet"), {PROMPTS}),
    "a document": (grant("viewer", "Document", "up|note://two"), {RESOURCES}),
    "a template": (grant("viewer", "Document", "up|note://{id}"), {RESOURCES}),
    "the server": (grant("viewer", "Server", "up"), set(LISTS)),
    "a lease": (of_a("lease", "caller", Entity("Tool", "up__wipe"), FAR), {TOOLS}),
    "what is disabled": (Fact("is_disabled", (Entity("Tool", "up__echo"),)), {TOOLS}),
    "what was there before": (grant("caller", "Tool", "up__echo"), set()),
    "a lease that is over": (of_a("lease", "caller", Entity("Tool", "up__wipe"), 1), set()),
    "something elsewhere": (grant("caller", "Tool", "other__echo"), set()),
    "a tool that is not there": (grant("caller", "Tool", "up__absent"), set()),
}


async def listened(rig: Rig, studio: Studio, stack: AsyncExitStack, client: str) -> list[Any]:
    """Return both ends of a GET and of a listen stream of *client*."""
    session = await session_of(rig, client)
    enter = stack.enter_async_context
    listens = ALL | {"resourceSubscriptions": ["note://one"]}
    streams = [
        await enter(tuned(rig, studio, session, client=client)),
        await enter(subscribed(rig, studio, listens, client=client)),
    ]
    acknowledged = await streams[1][0].event()
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    return streams


async def heard(ear: Ear, channel: Channel) -> set[str]:
    """Return what *ear* heard that the upstream did not say."""
    await channel.say(LAST)
    found: list[str] = []
    while (event := await ear.event())["method"] != LAST["method"]:
        found.append(event["method"])
    assert len(found) == len(set(found))
    return set(found)


async def looked(rig: Rig) -> None:
    """Return when the gateway has looked at all streams, which it does between calls."""
    for _ in range(3):
        await rig.ask("tools/list", client=A)


@pytest.mark.parametrize("name", CHANGES)
def test_a_grant_is_told_to_those_whose_lists_it_changed_and_so_is_its_end(
    rig: Rig, name: str
) -> None:
    fact, lists = CHANGES[name]

    async def story() -> None:
        with streaming(rig, "GET", "subscriptions/listen") as studio:
            async with AsyncExitStack() as stack:
                # In this order the gateway looks at them.
                b = await listened(rig, studio, stack, B)
                a = await listened(rig, studio, stack, A)
                for change in (rig.state, rig.unstate):
                    await change(fact)
                    if lists:
                        # The first tells that the change was noticed.
                        for ear, channel in a:
                            assert await heard_until(ear, channel, lists) == lists
                    else:
                        await looked(rig)
                        for ear, channel in a:
                            assert await heard(ear, channel) == set()
                    for ear, channel in b:
                        assert await heard(ear, channel) == set()

    rig.run(story())


async def heard_until(ear: Ear, channel: Channel, lists: set[str]) -> set[str]:
    """Return what *ear* heard once it has heard as much as *lists*."""
    found = {(await ear.event())["method"] for _ in lists}
    return found | await heard(ear, channel)


def test_a_listen_stream_tells_of_the_lists_it_was_asked_for_alone_and_with_its_mark(
    rig: Rig,
) -> None:
    fact = grant("viewer", "Server", "up")

    async def story() -> None:
        with streaming(rig, "subscriptions/listen") as studio:
            listens = {"promptsListChanged": True}
            async with subscribed(rig, studio, listens, client=A, id_="seven") as (ear, _):
                await ear.event()
                await rig.state(fact)
                event = await ear.event()
                assert event == told(PROMPTS, _meta={MARK: "seven"})
                await rig.unstate(fact)
                assert (await ear.event())["method"] == PROMPTS

    rig.run(story())


@pytest.mark.parametrize(
    "fact", [of_a("is_suspended"), Fact("is_disabled", (Entity("Server", "up"),))]
)
def test_the_streams_of_whoever_may_not_connect_any_more_end(rig: Rig, fact: Fact) -> None:
    async def story() -> None:
        with streaming(rig, "GET", "subscriptions/listen") as studio:
            async with AsyncExitStack() as stack:
                get, listen = await listened(rig, studio, stack, A)
                b = await listened(rig, studio, stack, B)
                await rig.state(fact)
                try:
                    assert await get[0].event() is None
                    assert (await listen[0].event())["result"]["_meta"] == {MARK: 7}
                    assert await listen[0].event() is None
                    for _, channel in (get, listen):
                        await channel.left()
                finally:
                    await rig.unstate(fact)
                if fact.predicate == "is_suspended":
                    for ear, channel in b:
                        assert await heard(ear, channel) == set()

    rig.run(story())


@pytest.mark.parametrize("ends", ["by itself", "by an admin"])
def test_what_a_server_lets_hear_while_it_is_observed_ends_with_that(rig: Rig, ends: str) -> None:
    until = {"until": "1s"} if ends == "by itself" else {}

    async def story() -> None:
        control = Control(rig)
        said = await control.ask("POST", f"{SERVERS}/up/observe", {"why": "rollout"})
        assert said.status == 200, said.body
        session = await session_of(rig, "stranger")
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session, client="stranger") as (ear, channel):
                await control.ask("POST", f"{SERVERS}/up/observe", {"why": "rollout"} | until)
                if not until:
                    await control.ask("POST", f"{SERVERS}/up/enforce", {})
                assert await ear.event() is None
                await channel.left()
        await control.ask("POST", f"{SERVERS}/up/enforce", {})

    rig.run(story())


def test_a_change_while_the_upstream_opens_the_stream_is_told_as_well(rig: Rig) -> None:
    fact = grant("caller", "Tool", "up__wipe")

    async def story() -> None:
        session = await session_of(rig, A)
        with streaming(rig, "GET", is_silent=True) as studio:
            async with rig.line() as line:
                await line.send(getting(rig, session, bearer=rig.bearer(A)))
                channel = await studio.channel()
                await rig.state(fact)
                await studio.opens_late(channel)
                await line.reader.readuntil(b"\r\n\r\n")
                assert await Ear(line, 200, b"").event() == told(TOOLS)
        await rig.unstate(fact)

    rig.run(story())


def test_no_change_is_told_before_a_subscription_is_acknowledged(rig: Rig) -> None:
    fact = grant("caller", "Tool", "up__wipe")

    async def story() -> None:
        raw = posting(rig, "subscriptions/listen", {"notifications": ALL}, bearer=rig.bearer(A))
        with streaming(rig, "subscriptions/listen") as studio:
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                await rig.state(fact)
                await looked(rig)
                await channel.say(told(PROMPTS))
                await channel.say(told("notifications/subscriptions/acknowledged"))
                await channel.say(told(RESOURCES))
                events = [(await ear.event())["method"] for _ in range(3)]
        await rig.unstate(fact)
        assert events[0] == "notifications/subscriptions/acknowledged"
        assert set(events[1:]) == {TOOLS, RESOURCES}

    rig.run(story())


def test_the_end_of_a_lease_is_told_when_it_comes(rig: Rig) -> None:
    until = int(time.time()) + 2
    fact = of_a("lease", "caller", Entity("Tool", "up__wipe"), until)

    async def story() -> None:
        session = await session_of(rig, A)
        with streaming(rig, "GET") as studio:
            await rig.state(fact)
            async with tuned(rig, studio, session, client=A) as (ear, _):
                async with asyncio.timeout(4):
                    assert await ear.event() == told(TOOLS)
                assert time.time() >= until
                said = await rig.ask("tools/list", client=A, version=LEGACY)
                assert [one["name"] for one in said.message["result"]["tools"]] == ["echo"]
        await rig.unstate(fact)

    rig.run(story())


# Of everybody at once.

POLICY = """
has_permission(client: Client, "list", prompt: Prompt) if
  client = Client{"a"} and prompt = Prompt{"up__plot"};
"""


def test_a_policy_that_is_swapped_is_told_to_those_whose_lists_it_changed(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with gateway(tmp_path, policy="# nothing yet\n", facts=EACH) as rig:
            with streaming(rig, "GET", "subscriptions/listen") as studio:
                async with AsyncExitStack() as stack:
                    b = await listened(rig, studio, stack, B)
                    a = await listened(rig, studio, stack, A)
                    path = rig.directory / "policies" / "test.polar"
                    path.write_text(POLICY, encoding="utf-8")
                    for ear, channel in a:
                        assert await heard_until(ear, channel, {PROMPTS}) == {PROMPTS}
                    for ear, channel in b:
                        assert await heard(ear, channel) == set()

    asyncio.run(story())


def test_a_catalogue_that_changed_is_told_once_it_is_known(tmp_path: Path) -> None:
    async def story() -> None:
        settings = {"catalogue.trust": "all", "catalogue.refresh_seconds": 1}
        facts = (*EACH, may(A, "viewer", "Server", "up"))
        async with gateway(tmp_path, settings=settings, facts=facts) as rig:
            with streaming(rig, "GET") as studio:
                async with AsyncExitStack() as stack:
                    streams = [
                        await stack.enter_async_context(
                            tuned(rig, studio, await session_of(rig, client), client=client)
                        )
                        for client in (A, B)
                    ]
                    (a, said), (b, others) = streams
                    offers: list[Message] = [*tools_of(), tool("fresh")]
                    with rig.saying({"tools/list": gives({"tools": offers})}):
                        # The upstream tells one client; what is known of it changes for all.
                        await others.say(told(TOOLS))
                        assert await b.event() == told(TOOLS)
                        assert await a.event() == told(TOOLS)
                        listed = await rig.ask("tools/list", client=A)
                        names = [one["name"] for one in listed.message["result"]["tools"]]
                        assert "fresh" in names
                        assert await heard(a, said) == set()
                        assert await heard(b, others) == set()

    asyncio.run(story())


def test_of_five_hundred_streams_one_grant_is_told_to_one(tmp_path: Path) -> None:
    clients = [f"client-{number}" for number in range(500)]
    facts = [may(one, "caller", "Document", "up|note://one") for one in clients]

    async def story() -> None:
        speeches = {"up": offering()}
        async with gateway(tmp_path, speeches, facts=facts) as rig:
            with streaming(rig, "GET") as studio:
                async with AsyncExitStack() as stack:
                    streams = {}
                    for client in clients:
                        session = await session_of(rig, client)
                        streams[client] = await stack.enter_async_context(
                            tuned(rig, studio, session, client=client)
                        )
                    began = time.monotonic()
                    await rig.state(may("client-499", "caller", "Prompt", "up__greet"))
                    ear, _ = streams.pop("client-499")
                    assert await ear.event() == told(PROMPTS)
                    print(f"told after {time.monotonic() - began:.3f} s")  # noqa: T201
                    before = await rig.ask("prompts/list", client="client-499")
                    assert before.message["result"]["prompts"] == [prompt("greet")]
                    for ear, channel in streams.values():
                        assert await heard(ear, channel) == set()
                    print(f"all heard after {time.monotonic() - began:.3f} s")  # noqa: T201

    asyncio.run(story())
