"""What a client answers an upstream, and tells it: its own affair alone, judged and recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gateway.asks import (
    CANARY,
    CHANGING,
    ELICIT,
    FEW,
    FORM,
    OUTCOMES,
    ROOTS,
    SAMPLE,
    answers,
    asking,
    decided,
    fail,
    mended,
    messages,
    refused,
    reply,
    right,
    talking,
    world,
)
from tests.gateway.harness import CI, Rig, shared
from tests.gateway.raw import LEGACY, Header
from tests.gateway.streams import told
from tests.upstream.speaking import ACCEPTED, Message, says


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with world(tmp_path_factory.mktemp("answering")) as rig:
        yield rig


# What a client answers.


def test_an_answer_that_cannot_be_recorded_goes_nowhere(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with talking(rig, "GET", CI) as (ear, channel):
            await channel.say(asking("roots/list"))
            handle, seen = (await ear.event())["id"], rig.mark
            with monkeypatch.context() as patched:
                patched.setattr(os, "pwrite", fail)
                said = await reply(rig, handle, {"result": {"roots": []}})
            assert (said.status, said.code) == (503, 50302)
            assert rig.mark == seen
        await mended(rig)

    rig.run(story())


def test_an_answer_that_is_allowed_no_more_is_not_passed_on_and_the_upstream_waits_no_longer(
    rig: Rig,
) -> None:
    async def story() -> None:
        await rig.state(right(CHANGING, ELICIT))
        async with talking(rig, "POST", CHANGING) as (ear, channel):
            await channel.say(asking("elicitation/create", FORM))
            handle = (await ear.event())["id"]
            await rig.unstate(right(CHANGING, ELICIT))
            before, seen = len(rig.records()), rig.mark
            said = await reply(rig, handle, {"result": {"content": CANARY}}, client=CHANGING)
            assert (said.status, said.code, said.message["id"]) == (200, 40301, handle)
            assert decided(rig, before) == [("elicitation/create", ELICIT, "deny", "no_rule")]
            ((headers, message),) = await answers(rig, seen)
            assert refused(message, 5, 40301)
            assert headers["Mcp-Session-Id"] == "s-1"
            # The same question is refused by now.
            await channel.say(asking("elicitation/create", FORM, 6))
            (_, (_, message)) = await answers(rig, seen, 2)
            assert refused(message, 6, 40301)

    rig.run(story())


def test_an_answer_that_comes_twice_is_judged_and_passed_on_twice(rig: Rig) -> None:
    async def story() -> None:
        async with talking(rig, "POST", ROOTS) as (ear, channel):
            await channel.say(asking("roots/list"))
            handle, before, seen = (await ear.event())["id"], len(rig.records()), rig.mark
            for _ in range(2):
                assert (await reply(rig, handle, OUTCOMES[0], client=ROOTS)).status == 202
            assert len({str(message) for _, message in await answers(rig, seen, 2)}) == 1
            assert decided(rig, before) == [("roots/list", ROOTS, "allow", "granted")] * 2

    rig.run(story())


def test_an_answer_to_what_was_not_asked_of_this_client_goes_nowhere(rig: Rig) -> None:
    async def story() -> None:
        async with talking(rig, "GET", CI) as (ear, channel):
            await channel.say(asking("roots/list"))
            own = (await ear.event())["id"]
        other = (rig.session(CI, "s-2"),)
        none: tuple[Header, ...] = (("X-None", "none"),)
        session = rig.session()[1]
        flipped = ("B" if own[0] == "A" else "A") + own[1:]
        before, seen = len(rig.records()), rig.mark
        cases: list[tuple[object, str, tuple[Header, ...]]] = [
            *((one, CI, ()) for one in (5, "5", 0, "x", flipped, own[:-1], own + "A", session)),
            (own, ROOTS, ()),
            (own, CI, other),
            (own, CI, none),
        ]
        for handle, client, more in cases:
            said = await reply(rig, handle, OUTCOMES[0], client=client, more=more)
            assert (said.status, said.code, said.message["id"]) == (400, -32600, handle)
        assert rig.mark == seen
        assert {one[2:] for one in decided(rig, before)} == {("deny", "not_visible")}
        assert len(rig.records()) == before + len(cases)

    rig.run(story())


def test_an_answer_that_is_too_large_goes_nowhere(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        async with talking(rig, "GET", CI) as (ear, channel):
            await channel.say(asking("sampling/createMessage", {"messages": []}))
            handle, seen = (await ear.event())["id"], rig.mark
            large = {"result": {"content": "x" * 70_000}}
            assert (await reply(rig, handle, large)).status == 413
            assert rig.mark == seen
            assert rig.records()[-1].payload["reason"] == "malformed"
            assert (await reply(rig, handle, {"result": {"content": "x" * 60_000}})).status == 202

    with shared(tmp_path, settings={"limits.body_bytes": 65_536}) as rig:
        rig.run(story(rig))


def test_an_answer_needs_no_stream_of_its_own(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        async with talking(rig, "POST", CI) as (ear, channel):
            await channel.say(asking("roots/list"))
            handle = (await ear.event())["id"]
            assert (await rig.ask("ping", version=LEGACY)).status == 429
            assert (await reply(rig, handle, {"result": {"roots": []}})).status == 202

    with shared(tmp_path, settings={"limits.streams_per_principal": 1}) as rig:
        rig.run(story(rig))


@pytest.mark.parametrize("client", [SAMPLE, ELICIT])
def test_a_task_that_a_client_runs_can_be_asked_about_by_whoever_may_begin_one(
    rig: Rig, client: str
) -> None:
    async def story() -> None:
        async with talking(rig, "GET", client) as (ear, channel):
            before, seen = len(rig.records()), rig.mark
            await channel.say(asking("tasks/get", {"taskId": "of-the-client"}))
            heard = await ear.event()
            assert heard["params"] == {"taskId": "of-the-client"}
            status = {"result": {"taskId": "of-the-client", "status": "working"}}
            assert (await reply(rig, heard["id"], status, client=client)).status == 202
            ((_, message),) = await answers(rig, seen)
            assert message == {"jsonrpc": "2.0", "id": 5} | status
            assert decided(rig, before) == [("tasks/get", client, "allow", "granted")] * 2

    rig.run(story())


# What is told beside that.


def test_what_an_upstream_takes_back_is_taken_back_under_the_name_the_client_knows(
    rig: Rig,
) -> None:
    async def story() -> None:
        async with talking(rig, "POST", CI) as (ear, channel):
            await channel.say(asking("roots/list", id_=1))
            handle = (await ear.event())["id"]
            for unknown in (2, "1", 1.5, None, [1]):
                await channel.say(told("notifications/cancelled", requestId=unknown))
            await channel.say(told("notifications/cancelled", requestId=1, reason="late"))
            heard = await ear.event()
            assert heard["params"] == {"requestId": handle, "reason": "late"}

    rig.run(story())


@pytest.mark.parametrize(
    ("client", "version", "is_told"),
    [(CI, LEGACY, True), (ELICIT, LEGACY, True), (FEW, LEGACY, False), (CI, "2025-06-18", False)],
)
def test_who_may_not_be_asked_is_not_told_that_it_is_done(
    rig: Rig, client: str, version: str, *, is_told: bool
) -> None:
    async def story() -> list[Any]:
        async with talking(rig, "POST", client, version=version) as (ear, channel):
            await channel.say(told("notifications/elicitation/complete", elicitationId="e"))
            await channel.answer({"content": []})
            heard = []
            while (event := await ear.event()) is not None:
                heard.append(event.get("params"))
            return heard

    told_of = [{"elicitationId": "e"}] if is_told else []
    assert rig.run(story()) == [*told_of, None]


TELLS: Final[Mapping[str, Message]] = {
    "notifications/roots/list_changed": {},
    "notifications/progress": {"progressToken": "of-the-upstream", "progress": 1},
    "notifications/cancelled": {"requestId": 7, "reason": "enough"},
}


@pytest.mark.parametrize("method", TELLS)
def test_what_a_client_tells_reaches_a_legacy_upstream_in_its_session(
    rig: Rig, method: str
) -> None:
    async def story() -> None:
        before, seen, params = len(rig.records()), rig.mark, TELLS[method]
        with rig.saying({method: says(ACCEPTED)}):
            said = await rig.ask(
                method, params, version=LEGACY, id_=None, client=ROOTS, more=[rig.session(ROOTS)]
            )
        assert (said.status, said.body) == (202, b"")
        (raw,) = rig.upstream.seen[seen:]
        assert b"\r\nMcp-Session-Id: s-1\r\n" in raw
        assert messages(rig, seen) == [{"jsonrpc": "2.0", "method": method, "params": params}]
        (record,) = rig.records()[before:]
        assert (await rig.outcome_of(record))["status"] == 202

    rig.run(story())


def test_who_may_not_be_asked_for_directories_does_not_tell_that_they_changed(rig: Rig) -> None:
    async def story() -> None:
        before, seen, method = len(rig.records()), rig.mark, "notifications/roots/list_changed"
        said = await rig.ask(method, version=LEGACY, id_=None, client=FEW, more=[rig.session(FEW)])
        assert (said.status, said.code) == (200, 40301)
        assert rig.mark == seen
        assert decided(rig, before) == [(method, ROOTS, "deny", "no_rule")]

    rig.run(story())


def test_what_a_modern_client_tells_goes_nowhere(rig: Rig) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark
        said = {
            method: (await rig.ask(method, params, id_=None)).status
            for method, params in TELLS.items()
        }
        # The version has no other notification of clients.
        expected = dict.fromkeys(TELLS, 404) | {"notifications/cancelled": 202}
        assert said == expected
        assert rig.mark == seen
        found = [one[2:] for one in decided(rig, before)]
        assert found == [("deny", "unknown_method")] * 2 + [("allow", "granted")]
        assert (await rig.outcome_of(rig.records()[-1]))["status"] == "dropped"

    rig.run(story())
