"""What a modern upstream asks inside a result: judged and recorded before the client sees any."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from storage.journal import Record
from tests.gateway.asks import (
    ASKS,
    CANARY,
    CHANGING,
    ELICIT,
    FEW,
    PUZZLED,
    ROOTS,
    SAMPLE,
    decided,
    fail,
    mended,
    right,
    world,
)
from tests.gateway.harness import CI, Rig
from tests.gateway.raw import ENVELOPE, Said
from tests.gateway.streams import hearing, posting, streaming
from tests.upstream.scripted import SSE, whole
from tests.upstream.speaking import Message, Speech, gives, refuses, result_of, written

CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
EVERYTHING: Final[Message] = {"sampling": {}, "elicitation": {}, "roots": {}}
CALLS: Final[Mapping[str, tuple[str, Message]]] = {
    "tools/call": ("call", {"name": "echo"}),
    "prompts/get": ("get", {"name": "greet"}),
    "resources/read": ("read", {"uri": "note://one"}),
}
"""What may be answered with a question, the right that it needs itself, and its params."""

each_call = pytest.mark.parametrize("call", CALLS)
each_ask = pytest.mark.parametrize("method", ASKS)
each_carrier = pytest.mark.parametrize("carrier", ["json", "stream"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with world(tmp_path_factory.mktemp("inputs")) as rig:
        yield rig


def wanting(*methods: str, **more: object) -> Message:
    """Return a result that asks for input by *methods*, each with a canary in it."""
    requests = {
        f"key-{n}": {"method": one, "params": ASKS[one][1] | {"message": CANARY, **more}}
        for n, one in enumerate(methods)
    }
    return {"resultType": "input_required", "inputRequests": requests}


def carried(carrier: str, result: Message) -> Speech:
    if carrier == "json":
        return gives(result)
    return lambda asked: whole(b"data: %b\n\n" % written(result_of(asked, result)), media=SSE)


async def called(
    rig: Rig, client: str, speech: Speech, *, call: str = "tools/call", able: Message = EVERYTHING
) -> Said:
    """Return what *client*, who says it is *able*, is told if the upstream answers so."""
    meta = ENVELOPE | {CAPABILITIES_KEY: able}
    with rig.saying({call: speech}):
        return await rig.ask(call, CALLS[call][1] | {"_meta": meta}, client=client)


async def status_of(rig: Rig, record: Record) -> tuple[Any, Any]:
    outcome = await rig.outcome_of(record)
    return outcome["status"], outcome["is_error"]


@each_carrier
@each_call
@each_ask
def test_what_a_result_asks_for_reaches_a_client_that_may_be_asked(
    rig: Rig, call: str, method: str, carrier: str
) -> None:
    action, right = CALLS[call][0], ASKS[method][0]

    async def story() -> None:
        before, result = len(rig.records()), wanting(method)
        said = await called(rig, right, carried(carrier, result), call=call)
        assert (said.status, said.message["result"]) == (200, result)
        assert decided(rig, before) == [
            (call, action, "allow", "granted"),
            (method, right, "allow", "granted"),
        ]
        made, asked = rig.records()[before:]
        assert await status_of(rig, made) == (200, False)
        assert await status_of(rig, asked) == ("asked", False)

    rig.run(story())


def test_what_a_result_asks_for_is_judged_when_it_is_asked(rig: Rig) -> None:
    """A right that was withdrawn while the call was under way gives nothing any more."""

    async def story() -> None:
        before = len(rig.records())
        meta = ENVELOPE | {CAPABILITIES_KEY: EVERYTHING}
        raw = posting(
            rig, "tools/call", {"name": "echo", "_meta": meta}, bearer=rig.bearer(CHANGING)
        )
        await rig.state(right(CHANGING, ELICIT))
        with streaming(rig, "tools/call") as studio:
            async with hearing(rig, raw) as ear:
                channel = await studio.channel()
                await rig.unstate(right(CHANGING, ELICIT))
                await channel.answer(wanting("elicitation/create"))
                event = await ear.event()
        assert event["error"]["code"] == 40301
        assert decided(rig, before)[1:] == [("elicitation/create", ELICIT, "deny", "no_rule")]

    rig.run(story())


async def is_refused(rig: Rig, said: Said, before: int, reason: str, count: int = 1) -> None:
    """See that nothing of a result was passed on, and that the record says why.

    The last of *count* decisions on what it asks for is a denial.
    """
    assert said.status == 200
    error = said.message["error"]
    assert (said.message["id"], error["code"]) == (7, 40301)
    assert CANARY.encode() not in said.raw
    made, *asked = rig.records()[before:]
    assert len(asked) == count
    assert error["data"] == {"reason": reason, "decision_id": asked[-1].id}
    assert (asked[-1].payload["verdict"], asked[-1].payload["reason"]) == ("deny", reason)
    assert await status_of(rig, made) == (200, True)
    outcomes = {one.payload["decision"] for one in rig.records("outcome")}
    assert outcomes.isdisjoint(one.id for one in asked)


@each_carrier
@each_call
@each_ask
def test_what_a_result_asks_for_is_refused_where_the_policy_does_not_allow_it(
    rig: Rig, call: str, method: str, carrier: str
) -> None:
    other = {SAMPLE: ELICIT, ELICIT: ROOTS, ROOTS: SAMPLE}[ASKS[method][0]]

    async def story() -> None:
        before = len(rig.records())
        said = await called(rig, other, carried(carrier, wanting(method)), call=call)
        await is_refused(rig, said, before, "no_rule")

    rig.run(story())


@each_call
@each_ask
def test_nobody_is_asked_for_what_he_cannot_do(rig: Rig, call: str, method: str) -> None:
    name = method.partition("/")[0]
    able = {key: value for key, value in EVERYTHING.items() if key != name}

    async def story() -> None:
        before = len(rig.records())
        said = await called(rig, CI, gives(wanting(method)), call=call, able=able)
        await is_refused(rig, said, before, "malformed")

    rig.run(story())


@each_carrier
def test_of_several_questions_none_is_asked_if_one_may_not_be(rig: Rig, carrier: str) -> None:
    async def story() -> None:
        before = len(rig.records())
        said = await called(rig, ELICIT, carried(carrier, wanting(*reversed(list(ASKS)))))
        await is_refused(rig, said, before, "no_rule", 1)

        before = len(rig.records())
        result = wanting("elicitation/create", "elicitation/create", "roots/list")
        said = await called(rig, ELICIT, carried(carrier, result))
        await is_refused(rig, said, before, "no_rule", 3)
        assert [one[2] for one in decided(rig, before)] == ["allow"] * 3 + ["deny"]

    rig.run(story())


def test_of_several_questions_each_is_recorded_and_keeps_its_key(rig: Rig) -> None:
    async def story() -> None:
        before, result = len(rig.records()), wanting(*ASKS)
        said = await called(rig, CI, gives(result))
        assert said.message["result"] == result
        _, *asked = rig.records()[before:]
        assert [one.payload["action"] for one in asked] == [SAMPLE, ELICIT, ROOTS]
        assert [await status_of(rig, one) for one in asked] == [("asked", False)] * 3

    rig.run(story())


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("sampling/createMessage", {"includeContext": "allServers"}),
        ("elicitation/create", {"mode": "url", "url": "http://a.b/c"}),
        ("elicitation/create", {"mode": "url", "url": "https://u@a.b/c"}),
        ("elicitation/create", {"mode": "x"}),
    ],
)
def test_what_no_client_should_be_shown_is_refused_whatever_the_policy_says(
    rig: Rig, method: str, more: Message
) -> None:
    async def story() -> None:
        before = len(rig.records())
        said = await called(rig, CI, gives(wanting(method, **more)))
        await is_refused(rig, said, before, "malformed")

    rig.run(story())


def decent(asked: Message) -> bytes:
    """Ask whoever can be asked, and tell others that they cannot be served."""
    if "elicitation" in asked["params"]["_meta"][CAPABILITIES_KEY]:
        return gives(wanting("elicitation/create"))(asked)
    data: Message = {"requiredCapabilities": {"elicitation": {}}}
    return refuses(-32021, status=b"400 Bad Request", data=data)(asked)


def test_an_upstream_that_was_not_told_of_a_capability_can_say_that_it_needs_it(rig: Rig) -> None:
    async def story() -> None:
        assert (await called(rig, ELICIT, decent)).message["result"]["inputRequests"]
        before = len(rig.records())
        said = await called(rig, FEW, decent)
        assert (said.status, said.code) == (400, -32021)
        assert said.message["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}
        (record,) = rig.records()[before:]
        assert record.payload["withheld"] == ["elicitation", "roots", "sampling"]

    rig.run(story())


@each_carrier
def test_what_cannot_be_judged_is_not_asked(rig: Rig, carrier: str) -> None:
    async def story() -> None:
        before = len(rig.records())
        said = await called(rig, PUZZLED, carried(carrier, wanting("sampling/createMessage")))
        assert (said.status, said.code) == (503 if carrier == "json" else 200, 50301)
        assert CANARY.encode() not in said.raw
        assert [one[2] for one in decided(rig, before)] == ["allow", "undecided"]

    rig.run(story())


@each_carrier
@each_call
def test_what_cannot_be_recorded_is_not_asked(
    rig: Rig, call: str, carrier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        before = len(rig.records())
        with monkeypatch.context() as patched:

            def speech(asked: Message) -> bytes:
                patched.setattr(os, "pwrite", fail)
                return carried(carrier, wanting("roots/list"))(asked)

            said = await called(rig, ROOTS, speech, call=call)
        assert (said.status, said.code) == (503 if carrier == "json" else 200, 50302)
        assert CANARY.encode() not in said.raw
        assert [one[0] for one in decided(rig, before)] == [call]
        await mended(rig)

    rig.run(story())
