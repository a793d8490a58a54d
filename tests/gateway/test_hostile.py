"""T32: a hostile upstream. What the client sees, what the record says, and what goes on working."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from proxy.upstream.limits import Limits
from tests.gateway.harness import CI, Rig, may, shared, until
from tests.gateway.hostile import (
    ANSWER,
    FEW,
    GOOD,
    HEARS,
    MARK,
    ODD_IDS,
    OPENED,
    SCRIPTS,
    SLOW,
    TOLD,
    Script,
    stream,
)
from tests.gateway.raw import ERAS, LEGACY, Header, Said
from tests.gateway.worlds import IMPATIENT
from tests.upstream.scripted import Line
from tests.upstream.speaking import Message

FACTS = (may(CI, "caller", "Server", "up"), may(FEW, "caller", "Tool", "up__echo"))
SETTINGS = IMPATIENT | {"record.arguments": "full"}
HEADERS = frozenset(
    {
        "cache-control", "connection", "content-length", "content-type", "date", "mcp-session-id",
        "transfer-encoding", "x-accel-buffering",
    }
)  # fmt: skip
"""What may stand in the head of an answer."""

CASES = [(name, era) for name, script in SCRIPTS.items() for era in script.eras]

each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with (
        impatient(),
        shared(tmp_path_factory.mktemp("hostile"), settings=SETTINGS, facts=FACTS) as rig,
    ):
        yield rig


@contextmanager
def impatient() -> Iterator[None]:
    """Let streams of upstreams begin to end after seconds, and not after an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.app.registry.Limits", partial(Limits, stream_life=2.5))
        yield


@contextmanager
def performing(rig: Rig, script: Script) -> Iterator[None]:
    if isinstance(script.says, bytes):
        said = script.says
        with rig.saying({script.method: lambda _: said}):
            yield
        return
    rig.desk.deeds[script.method] = script.says
    try:
        yield
    finally:
        del rig.desk.deeds[script.method]


def asked_upstream(rig: Rig, method: str, since: int) -> int:
    needle = b'"method":"%b"' % method.encode()
    return sum(needle in one for one in rig.upstream.seen[since:])


async def works(rig: Rig, era: str) -> bool:
    said = await rig.ask("tools/call", {"name": "echo", "arguments": {"a": 1}}, version=era)
    return (said.status, said.code) == (200, None) and b'{\\"a\\": 1}' in said.body


def test_there_are_enough_of_them() -> None:
    assert len(SCRIPTS) + len(SLOW) >= 150


@dataclass(frozen=True)
class Evidence:
    """What came of a script: what the client was told, who was asked, what was noted."""

    said: Said
    asked: int
    noted: int
    decision: str
    worked: bool


async def tried(rig: Rig, script: Script, era: str) -> Evidence:
    seen, log = rig.mark, len(rig.log.getvalue())
    with performing(rig, script):
        said = await rig.ask(script.method, script.params, version=era, client=script.client)
    asked = asked_upstream(rig, script.method, seen)
    told = [json.loads(line) for line in rig.log.getvalue()[log:].splitlines()]
    noted = sum(one["event"].startswith("upstream_") for one in told)
    decision = next(one["decision_id"] for one in told if one["event"] == "decision_made")
    return Evidence(said, asked, noted, decision, await works(rig, era))


@pytest.fixture(scope="module")
def evidence(rig: Rig) -> Mapping[tuple[str, str], Evidence]:
    async def story() -> Mapping[tuple[str, str], Evidence]:
        return {(name, era): await tried(rig, SCRIPTS[name], era) for name, era in CASES}

    return rig.run(story())


@pytest.fixture(scope="module")
def outcomes(
    rig: Rig, evidence: Mapping[tuple[str, str], Evidence]
) -> Mapping[str, Mapping[str, Any]]:
    """Return the outcomes in the record, by their decisions."""

    def found() -> dict[str, Mapping[str, Any]]:
        payloads = (one.payload for one in rig.records("outcome"))
        return {payload["decision"]: payload for payload in payloads}

    decisions = {one.decision for one in evidence.values()}
    rig.run(until(lambda: decisions <= found().keys()))
    return found()


@pytest.mark.parametrize(("name", "era"), CASES)
def test_a_hostile_answer_is_not_passed_on_and_the_record_says_so(
    evidence: Mapping[tuple[str, str], Evidence],
    outcomes: Mapping[str, Mapping[str, Any]],
    name: str,
    era: str,
) -> None:
    script, found = SCRIPTS[name], evidence[name, era]
    said, seen, outcome = found.said, script.seen, outcomes[found.decision]

    assert (said.status, said.code) == (seen.status, seen.code)
    assert (outcome["status"], outcome["is_error"]) == (seen.outcome, seen.code is not None)
    assert found.asked == 1
    assert found.worked

    assert MARK.encode() not in said.raw
    assert {key.lower() for key, _ in said.headers} <= HEADERS
    *others, answer = messages_of(said)
    assert answer["id"] == 7
    assert len(others) == script.told
    assert all("method" in one for one in others)
    if seen.code is None:
        assert_passed_on(answer["result"], script.result)
    if seen.code in (50201, 50401):
        assert found.noted


def assert_passed_on(result: dict[str, Any], expected: object) -> None:
    """Check what came of a result, but for how long it may be kept."""
    kept = {"cacheScope", "ttlMs"}
    assert {name: value for name, value in result.items() if name not in kept} == expected


def messages_of(said: Said) -> list[Any]:
    return said.events if said.is_stream else [said.message]


@pytest.mark.usefixtures("evidence")
def test_nothing_hostile_was_logged_and_nothing_failed_inside(rig: Rig) -> None:
    log = rig.log.getvalue()

    assert MARK not in log
    assert '"event":"internal_error"' not in log
    assert not any(b"ookie" in one.partition(b"\r\n\r\n")[0] for one in rig.upstream.seen)


@pytest.mark.usefixtures("evidence")
def test_what_was_dropped_was_counted(rig: Rig) -> None:
    dropped = [one for one in rig.run(rig.metrics()).splitlines() if "upstream_dropped" in one]

    for what in ("response", "notifications/progress", "notifications/cancelled", "ping"):
        assert any(f'"{what}"' in one for one in dropped), what
    assert not any(MARK in one for one in dropped)


def test_an_answer_that_takes_its_time_is_given_up_and_its_end_is_nobody_elses(rig: Rig) -> None:
    cases = [(name, era) for name, script in SLOW.items() for era in script.eras]

    async def performed(line: Line, asked: Message) -> None:
        says = SLOW[asked["params"]["arguments"]["case"][0]].says
        assert not isinstance(says, bytes)
        await says(line, asked)

    async def called(name: str, era: str) -> Said:
        arguments = {"case": [name, era]}
        return await rig.ask("tools/call", {"name": "echo", "arguments": arguments}, version=era)

    async def story() -> None:
        before = len(rig.records())
        rig.desk.deeds["tools/call"] = performed
        try:
            found = await asyncio.gather(*(called(*case) for case in cases))
        finally:
            del rig.desk.deeds["tools/call"]
        decisions = {tuple(one.payload["arguments"]["case"]): one for one in rig.records()[before:]}
        for case, said in zip(cases, found, strict=True):
            seen, outcome = SLOW[case[0]].seen, await rig.outcome_of(decisions[case])
            assert (said.status, said.code, said.message["id"]) == (seen.status, seen.code, 7), case
            assert (outcome["status"], outcome["is_error"]) == (seen.outcome, True), case
            assert MARK.encode() not in said.raw, case
        assert all([await works(rig, era) for era in ERAS])
        assert '"event":"internal_error"' not in rig.log.getvalue()

    rig.run(story())


# Where nothing was asked.


async def opens(rig: Rig, said: bytes, *more: Header) -> Said:
    """Return what a client hears on a stream that it opens, of an upstream that says *said*."""
    headers = [
        ("Authorization", rig.bearer()),
        ("Accept", "text/event-stream"),
        ("MCP-Protocol-Version", LEGACY),
        *more,
    ]
    # What has no body is a DELETE to the desk.
    with rig.saying({"DELETE": lambda _: said}):
        return await rig.post(headers, b"", verb="GET")


@pytest.mark.parametrize("name", HEARS)
def test_a_stream_that_asked_nothing_brings_no_answers_and_no_lists(rig: Rig, name: str) -> None:
    script = HEARS[name]

    async def story() -> None:
        said = await opens(rig, script.says)
        outcome = await rig.outcome_of(rig.records()[-1])

        assert (said.status, said.is_stream) == (200, True)
        assert len(said.events) == script.told
        assert all("id" not in one for one in said.events)
        assert MARK.encode() not in said.raw
        assert (outcome["status"], outcome["is_error"]) == (200, False)
        assert await works(rig, LEGACY)

    rig.run(story())


@pytest.mark.parametrize("name", OPENED)
def test_what_is_no_stream_is_not_passed_on_as_one(rig: Rig, name: str) -> None:
    status, says = OPENED[name]

    async def story() -> None:
        said = await opens(rig, says)
        outcome = await rig.outcome_of(rig.records()[-1])

        assert said.status == status
        assert MARK.encode() not in said.raw
        assert {key.lower() for key, _ in said.headers} <= HEADERS | {"allow"}
        assert (outcome["status"], outcome["is_error"]) == (
            405 if status == 405 else "unknown",
            True,
        )
        assert await works(rig, LEGACY)

    rig.run(story())


@pytest.mark.parametrize("name", TOLD)
def test_whatever_a_notification_is_answered_with_a_client_gets_a_status(
    rig: Rig, name: str
) -> None:
    status, says = TOLD[name]

    async def story() -> None:
        with rig.saying({"notifications/initialized": lambda _: says}):
            said = await rig.ask("notifications/initialized", {}, version=LEGACY, id_=None)
        outcome = await rig.outcome_of(rig.records()[-1])

        assert said.status == status
        assert MARK.encode() not in said.raw
        assert {key.lower() for key, _ in said.headers} <= HEADERS - {"mcp-session-id"}
        assert (said.body == b"") == (status == 202)
        assert outcome["is_error"] == (status != 202)
        assert await works(rig, LEGACY)

    rig.run(story())


@pytest.mark.parametrize("name", ODD_IDS)
def test_an_id_of_an_event_that_cannot_be_sent_back_is_not_given_to_a_client(
    rig: Rig, name: str
) -> None:
    async def story() -> None:
        with rig.saying({"tools/call": lambda _: stream(b"id: %b\n" % ODD_IDS[name], ANSWER)}):
            said = await rig.ask("tools/call", {"name": "echo"}, version=LEGACY)

        assert said.message["result"] == GOOD
        for line in said.body.splitlines():
            if line.startswith(b"id: "):
                again = await opens(rig, stream(ANSWER), ("Last-Event-ID", line[4:].decode()))
                assert again.status == 200, again
        assert '"event":"internal_error"' not in rig.log.getvalue()

    rig.run(story())


# Memory.

BIG = (
    "endless headers",
    "endless interim answers",
    "a chunk of gigabytes",
    "100,000 levels as JSON",
    "an endless line",
    "an event of endless lines",
    "a chunk of gigabytes in a stream",
    "an event of 5 MB",
    "an answer of 5 MB",
    "a flood that is not for the client",
)


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def held_by_the_gateway() -> int:
    """Return the bytes that were allocated by modules of the gateway, and are not free."""
    gc.collect()
    ours = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(inclusive=True, filename_pattern="*/proxy/*")]
    )
    return sum(one.size for one in ours.traces)


def test_hostile_answers_take_no_memory_with_them(rig: Rig) -> None:
    async def round_() -> int:
        for name, era in zip(BIG, cycle(ERAS)):
            with performing(rig, SCRIPTS[name]):
                await rig.ask("tools/call", {"name": "echo"}, version=era)
        return resident()

    async def story() -> tuple[int, int]:
        await round_()
        # What the allocator keeps for the next time, it keeps once.
        before = await round_()
        grown = await round_() - before
        tracemalloc.start()
        try:
            held = held_by_the_gateway()
            await round_()
            return grown, held_by_the_gateway() - held
        finally:
            tracemalloc.stop()

    grown, kept = rig.run(story())

    assert grown < 16 * 2**20
    assert kept < 2**16
