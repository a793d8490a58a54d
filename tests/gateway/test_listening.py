"""T24, T29: what a modern client wants to hear of, and what of that it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.wire.headers import CAPABILITIES_KEY
from tests.gateway.harness import CI, Rig, may, shared
from tests.gateway.raw import ENVELOPE
from tests.gateway.streams import (
    LISTS,
    PROMPTS,
    RESOURCES,
    TOOLS,
    acknowledgement,
    counted,
    hearing,
    posting,
    streaming,
    subscribed,
    told,
    updated,
)
from tests.upstream.speaking import Message, refuses, result_of

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
MARK = "io.modelcontextprotocol/subscriptionId"
READER = "reader"
ONE, TWO, ODD = "note://one", "note://two", "NOTE://one/../two"
ALL = {
    "toolsListChanged": TOOLS,
    "promptsListChanged": PROMPTS,
    "resourcesListChanged": RESOURCES,
}
LISTEN = "subscriptions/listen"

FACTS = (
    may(CI, "caller", "Server", "up"),
    may(READER, "caller", "Document", f"up|{ONE}"),
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("listening"), facts=FACTS) as rig:
        yield rig


def marked(message: Message, id_: object = 7) -> Message:
    params = {**message.get("params", {}), "_meta": {MARK: id_}}
    return {**message, "params": params}


@pytest.mark.parametrize("id_", [0, 7, "7", "a b"])
def test_every_frame_is_marked_with_the_id_of_the_request(rig: Rig, id_: object) -> None:
    async def story() -> None:
        wanted = {"toolsListChanged": True, "resourceSubscriptions": [ONE]}
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, wanted, id_=id_) as (ear, channel):
                assert await ear.event() == marked(acknowledgement(wanted), id_)
                for mark in (7, "x", None, True):
                    news = updated(ONE)
                    news["params"]["_meta"] = {MARK: mark, "a": 1}
                    await channel.say(news)
                    event = await ear.event()
                    assert event["params"] == {"uri": ONE, "_meta": {MARK: id_, "a": 1}}
                    assert type(event["params"]["_meta"][MARK]) is type(id_)
                await channel.say(told(TOOLS))
                assert await ear.event() == marked(told(TOOLS), id_)

    rig.run(story())


@pytest.mark.parametrize("name", ALL)
def test_of_what_was_not_asked_for_nothing_is_heard(rig: Rig, name: str) -> None:
    async def story() -> None:
        with streaming(rig, LISTEN) as studio:
            wanted = {name: True, **{one: False for one in ALL if one != name}}
            async with subscribed(rig, studio, wanted) as (ear, channel):
                assert channel.asked["params"]["notifications"] == {name: True}
                assert (await ear.event())["method"] == ACKNOWLEDGED
                before = await rig.metrics()
                unasked = [one for one in LISTS if one != ALL[name]]
                for one in unasked:
                    await channel.say(told(one))
                await channel.say(updated(ONE))
                await channel.say(told(ALL[name]))
                assert await ear.event() == marked(told(ALL[name]))
                after = await rig.metrics()
                for one in unasked:
                    assert counted(after, one) == counted(before, one) + 1

    rig.run(story())


@pytest.mark.parametrize("value", ["true", 1, None, {}, [True]])
def test_what_is_not_plainly_wanted_is_not_asked_for(rig: Rig, value: object) -> None:
    async def story() -> None:
        wanted = {"toolsListChanged": value, "everything": True, "promptsListChanged": True}
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, wanted) as (_, channel):
                assert channel.asked["params"]["notifications"] == {"promptsListChanged": True}

    rig.run(story())


def test_documents_that_may_not_be_read_are_neither_asked_for_nor_acknowledged_nor_heard_of(
    rig: Rig,
) -> None:
    async def story() -> None:
        wanted = {"resourceSubscriptions": [TWO, ONE, ODD, ONE, "note://absent"]}
        before = len(rig.records())
        raw = posting(rig, LISTEN, {"notifications": wanted}, bearer=rig.bearer(READER))
        with streaming(rig, LISTEN) as studio:
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                decisions = rig.records()[before:]
                assert channel.asked["params"]["notifications"] == {"resourceSubscriptions": [ONE]}
                # Whatever the upstream says that it would tell.
                await channel.say(
                    acknowledgement(
                        {"resourceSubscriptions": [ONE, TWO, 5, None], "toolsListChanged": True}
                    )
                )
                assert await ear.event() == marked(
                    acknowledgement({"resourceSubscriptions": [ONE]})
                )
                await channel.say(updated(TWO))
                await channel.say(updated(ONE))
                assert await ear.event() == marked(updated(ONE))

        found = [
            (one.payload["action"], one.payload["resource"]["id"], one.payload["verdict"])
            for one in decisions
        ]
        assert ("connect", "up", "allow") in found
        assert sorted(one for one in found if one[0] == "subscribe")[-2:] == [
            ("subscribe", f"up|{ONE}", "allow"),
            ("subscribe", f"up|{TWO}", "deny"),
        ]
        assert len(found) == 5
        assert {one.payload["method"] for one in decisions} == {LISTEN}
        for one in decisions:
            if one.payload["verdict"] == "allow":
                assert (await rig.outcome_of(one))["status"] == "cancelled"

    rig.run(story())


def test_whoever_is_denied_all_documents_still_hears_of_lists(rig: Rig) -> None:
    async def story() -> None:
        wanted = {"resourceSubscriptions": [TWO], "toolsListChanged": True}
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, wanted, client=READER) as (ear, channel):
                assert channel.asked["params"]["notifications"] == {"toolsListChanged": True}
                assert await ear.event() == marked(acknowledgement({"toolsListChanged": True}))
            only = {"resourceSubscriptions": [TWO]}
            async with subscribed(rig, studio, only, client=READER) as (ear, channel):
                assert channel.asked["params"]["notifications"] == {}
                assert await ear.event() == marked(acknowledgement({}))

    rig.run(story())


def test_a_document_that_may_not_be_read_any_more_is_not_heard_of(rig: Rig) -> None:
    grant = may(READER, "caller", "Document", f"up|{TWO}")

    async def story() -> None:
        await rig.state(grant)
        wanted = {"resourceSubscriptions": [ONE, TWO]}
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, wanted, client=READER) as (ear, channel):
                await ear.event()
                await channel.say(updated(TWO))
                assert await ear.event() == marked(updated(TWO))
                await rig.unstate(grant)
                await channel.say(updated(TWO))
                await channel.say(updated(ONE))
                assert await ear.event() == marked(updated(ONE))

    rig.run(story())


@pytest.mark.parametrize(
    "wanted",
    [
        {"resourceSubscriptions": [f"note://{number}" for number in range(257)]},
        {"taskIds": [str(number) for number in range(257)]},
        {"resourceSubscriptions": ONE},
        {"resourceSubscriptions": [ONE, 5]},
        {"resourceSubscriptions": None},
        {"taskIds": {"a": 1}},
    ],
)
def test_too_much_or_what_cannot_be_read_is_refused(rig: Rig, wanted: dict[str, Any]) -> None:
    async def story() -> None:
        seen = rig.mark
        said = await rig.ask(LISTEN, {"notifications": wanted})
        assert (said.status, said.code) == (400, -32602)
        assert rig.records()[-1].payload["reason"] == "malformed"
        assert rig.mark == seen

    rig.run(story())


def test_two_hundred_and_fifty_six_documents_are_not_too_many(rig: Rig) -> None:
    async def story() -> None:
        uris = [f"note://{number:03}" for number in range(256)]
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, {"resourceSubscriptions": uris}) as (_, channel):
                asked = channel.asked["params"]["notifications"]
                assert asked == {"resourceSubscriptions": uris}

    rig.run(story())


def test_somebody_elses_task_is_not_heard_of(rig: Rig) -> None:
    async def story() -> None:
        wanted = {"taskIds": ["t-1", "x"], "toolsListChanged": True}
        capabilities: Message = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
        meta = ENVELOPE | {CAPABILITIES_KEY: capabilities}
        raw = posting(rig, LISTEN, {"notifications": wanted, "_meta": meta})
        with streaming(rig, LISTEN) as studio:
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                await channel.say(acknowledgement({**wanted}))
                assert channel.asked["params"]["notifications"] == {"toolsListChanged": True}
                acknowledged = {"toolsListChanged": True, "taskIds": []}
                assert await ear.event() == marked(acknowledgement(acknowledged))
                await channel.say(told("notifications/tasks", taskId="t-1", status="working"))
                await channel.say(told(TOOLS))
                assert await ear.event() == marked(told(TOOLS))

    rig.run(story())


def test_the_acknowledgement_comes_first_and_once(rig: Rig) -> None:
    wanted = {"toolsListChanged": True, "promptsListChanged": True}

    async def story() -> None:
        raw = posting(rig, LISTEN, {"notifications": wanted})
        with streaming(rig, LISTEN) as studio:
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                await channel.say(told(TOOLS))
                await channel.say(told("notifications/message", level="info", data="x"))
                await channel.say(acknowledgement(wanted))
                await channel.say(acknowledgement(wanted))
                await channel.say(told(PROMPTS))
                assert await ear.event() == marked(acknowledgement(wanted))
                assert await ear.event() == marked(told(PROMPTS))

    rig.run(story())


def test_an_upstream_that_ends_a_subscription_well_ends_it_well(rig: Rig) -> None:
    async def story() -> None:
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, {"toolsListChanged": True}) as (ear, channel):
                decision = rig.records()[-1]
                await ear.event()
                result = {"resultType": "complete", "_meta": {MARK: 7}}
                await channel.answer(result)
                assert await ear.event() == {"jsonrpc": "2.0", "id": 7, "result": result}
                assert await ear.event() is None
        outcome = await rig.outcome_of(decision)
        assert (outcome["status"], outcome["is_error"]) == (200, False)

    rig.run(story())


def test_an_upstream_that_cuts_a_subscription_off_is_a_failure(rig: Rig) -> None:
    async def story() -> None:
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, {"toolsListChanged": True}) as (ear, channel):
                decision = rig.records()[-1]
                await ear.event()
                channel.cut()
                message = await ear.event()
                assert (message["id"], message["error"]["code"]) == (7, 50201)
                assert await ear.event() is None
        assert (await rig.outcome_of(decision))["is_error"] is True

    rig.run(story())


def test_an_upstream_that_refuses_a_subscription_is_passed_on(rig: Rig) -> None:
    async def story() -> None:
        with rig.saying({LISTEN: refuses(-32601, status=b"404 Not Found")}):
            said = await rig.ask(LISTEN, {"notifications": {"toolsListChanged": True}})
        assert (said.status, said.code, said.message["id"]) == (404, -32601, 7)

    rig.run(story())


@pytest.mark.parametrize(
    "method", ["sampling/createMessage", "elicitation/create", "roots/list", "ping", "tools/call"]
)
def test_what_the_upstream_asks_on_a_subscription_is_dropped(rig: Rig, method: str) -> None:
    async def story() -> None:
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, {"resourcesListChanged": True}) as (ear, channel):
                await ear.event()
                seen = rig.mark
                before = counted(await rig.metrics(), method)
                params = {"messages": [], "maxTokens": 1, "message": "?", "name": "echo"}
                ask = {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}
                await channel.say(ask)
                await channel.say(result_of(ask, {"tools": []}))
                await channel.say(told(RESOURCES))
                assert await ear.event() == marked(told(RESOURCES))
                assert counted(await rig.metrics(), method) == before + 1
                assert rig.mark == seen

    rig.run(story())


def test_a_subscription_has_no_event_ids(rig: Rig) -> None:
    async def story() -> None:
        with streaming(rig, LISTEN) as studio:
            async with subscribed(rig, studio, {"toolsListChanged": True}) as (ear, channel):
                await ear.event()
                await channel.block(b"id: e-0\nretry: 5\ndata:\n\n")
                await channel.say(told(TOOLS), b"id: e-1\nretry: 5\n")
                block = await ear.block()
                assert block is not None
                assert block.startswith(b"event: message\ndata: ")

    rig.run(story())


def test_many_subscriptions_of_one_client_do_not_hear_each_other(rig: Rig) -> None:
    async def story() -> None:
        with streaming(rig, LISTEN) as studio:
            tools, prompts = {"toolsListChanged": True}, {"promptsListChanged": True}
            async with (
                subscribed(rig, studio, tools, id_="t") as (first, one),
                subscribed(rig, studio, prompts, id_="p") as (second, other),
            ):
                await asyncio.gather(first.event(), second.event())
                for channel in (one, other):
                    await channel.say(told(TOOLS))
                    await channel.say(told(PROMPTS))
                assert await first.event() == marked(told(TOOLS), "t")
                assert await second.event() == marked(told(PROMPTS), "p")

    rig.run(story())
