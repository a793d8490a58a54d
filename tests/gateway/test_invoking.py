"""A call by hand takes the way of every call (checklist 34, 53 to 55)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.desk import hangs_up
from tests.gateway.harness import CI, Rig, until
from tests.gateway.invoking import (
    ANN,
    CAREFUL,
    ERAS,
    EVE,
    NEW,
    OFF,
    OLD,
    SUE,
    about,
    answers,
    ask,
    asked,
    asks,
    invoke,
    saying,
    seen,
    world,
)
from tests.gateway.raw import DEADLINE, Said
from tests.gateway.test_inability import full_disk
from tests.upstream.scripted import SSE, Line, whole
from tests.upstream.speaking import (
    Message,
    Speech,
    events,
    gives,
    methods,
    refuses,
    result_of,
    understood,
)

each_era = pytest.mark.parametrize("server", ERAS)

RICH = {
    "content": [
        {"type": "image", "data": "aGk=", "mimeType": "image/png", "annotations": {"priority": 1}},
        {"type": "text", "text": "done \u00e9"},
    ],
    "structuredContent": {"sum": 1.5, "of": [1, None]},
    "isError": True,
    "_meta": {"example.com/took": 3},
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with world(
        tmp_path_factory.mktemp("invoking"), limits__connect_seconds=1, limits__call_seconds=2
    ) as rig:
        yield rig


def document(said: Said) -> Any:  # noqa: ANN401  whatever was said
    return json.loads(said.body)


@each_era
def test_what_the_server_answers_comes_back_as_it_is(rig: Rig, server: str) -> None:
    async def story() -> Said:
        with saying(rig, {"tools/call": gives(RICH | {"resultType": "complete"})}):
            return await invoke(rig, f"{server}__echo")

    said = rig.run(story())

    assert said.status == 200
    assert document(said) == RICH


@each_era
def test_an_answer_that_comes_as_a_stream_is_found_in_it(rig: Rig, server: str) -> None:
    def streamed(asked: Message) -> bytes:
        progress = {"progressToken": 1, "progress": 1}
        news = {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}
        return events(news, result_of(asked, RICH))

    async def story() -> Said:
        with saying(rig, {"tools/call": streamed}):
            return await invoke(rig, f"{server}__echo")

    assert document(rig.run(story())) == RICH


@each_era
def test_a_call_is_one_decision_on_its_tool_with_one_outcome(rig: Rig, server: str) -> None:
    async def story() -> None:
        before = len(rig.records())
        await invoke(rig, f"{server}__echo", {"text": "hi"}, ANN)
        (record,) = about(rig.records()[before:])
        assert record.payload["principal"]["type"] == "User"
        assert record.payload["principal"]["id"] == ANN
        assert record.payload["resource"] == {"type": "Tool", "id": f"{server}__echo"}
        assert record.payload["method"] == "tools/call"
        assert (await rig.outcome_of(record))["status"] == 200

    rig.run(story())


def test_the_control_plane_adds_no_decision_of_its_own(rig: Rig) -> None:
    async def story() -> list[str]:
        before = len(rig.records())
        await invoke(rig, f"{NEW}__echo")
        return [one.payload["action"] for one in rig.records()[before:]]

    assert rig.run(story()) == ["call"]


def test_a_legacy_session_lasts_no_longer_than_its_call(rig: Rig) -> None:
    async def story() -> list[str]:
        before = len(methods(rig.listeners[OLD]))
        await invoke(rig, f"{OLD}__echo")
        return methods(rig.listeners[OLD])[before:]

    expected = ["initialize", "notifications/initialized", "tools/call", "DELETE"]
    assert rig.run(story()) == expected


@each_era
def test_a_server_is_told_of_no_capability(rig: Rig, server: str) -> None:
    async def story() -> list[bytes]:
        before = len(rig.listeners[server].seen)
        await invoke(rig, f"{server}__echo")
        return rig.listeners[server].seen[before:]

    first = understood(rig.run(story())[0])[1]["params"]
    key = "io.modelcontextprotocol/clientCapabilities"
    assert first.get("capabilities", first.get("_meta", {}).get(key)) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"arguments": {"name": "x", "text": "y"}},
        {"arguments": {"arguments": {"a": 1}}},
        {"text": "y", "n": 1},
        {"text": "{[" * 100},
        {},
    ],
)
def test_any_argument_can_be_passed(rig: Rig, body: dict[str, Any]) -> None:
    async def story() -> Said:
        return await ask(rig, "tools/invoke", {"name": f"{NEW}__echo", **body})

    (text,) = document(rig.run(story()))["content"]
    assert json.loads(text["text"]) == body.get("arguments", body)


def test_an_argument_that_has_a_header_is_repeated_there(rig: Rig) -> None:
    async def story() -> tuple[int, bytes]:
        said = await invoke(rig, f"{NEW}__mirror", {"where": "he\u00ebre"})
        return said.status, rig.listeners[NEW].seen[-1]

    status, raw = rig.run(story())

    assert status == 200
    assert b"\r\nmcp-param-where: =?base64?" in raw.lower()


REFUSED = {
    "a disabled tool (34)": (CI, "wipe", {}, 404, "unknown-tool"),
    "an unknown tool": (CI, "nothing", {}, 404, "unknown-tool"),
    "a name that no tool can have": (CI, "we ird", {}, 404, "unknown-tool"),
    "a hidden tool": (ANN, "fetch", {}, 404, "unknown-tool"),
    "a server that is hidden": (EVE, "echo", {}, 404, "unknown-tool"),
    "a suspended user": (SUE, "echo", {}, 404, "unknown-tool"),
    "an argument": (CAREFUL, "echo", {"text": "now"}, 403, "not-allowed"),
    "a look-alike of a tested argument": (CAREFUL, "echo", {"Text": "please"}, 422, "invalid"),
}


@each_era
@pytest.mark.parametrize("why", REFUSED)
def test_what_is_refused_never_reaches_the_server(rig: Rig, server: str, why: str) -> None:
    who, name, arguments, status, code = REFUSED[why]

    async def story() -> tuple[Said, int]:
        before = seen(rig, server)
        said = await invoke(rig, f"{server}__{name}", arguments, who)
        return said, seen(rig, server) - before

    said, calls = rig.run(story())

    assert (said.status, document(said)["code"]) == (status, code)
    assert calls == 0


def test_the_arguments_alone_decide_where_a_rule_says_so(rig: Rig) -> None:
    async def story() -> list[int]:
        told = [await invoke(rig, "up__echo", {"text": one}, CAREFUL) for one in ("please", "now")]
        return [one.status for one in told]

    assert rig.run(story()) == [200, 403]


def test_a_denial_names_the_record_in_which_it_stands(rig: Rig) -> None:
    async def story() -> tuple[Any, str]:
        said = await invoke(rig, f"{NEW}__echo", {"text": "now"}, CAREFUL)
        return document(said), rig.records()[-1].id

    told, record = rig.run(story())

    assert told["decision_id"] == record
    assert (told["action"], told["reason"]) == ("call", "no_rule")


def test_hidden_and_unknown_are_told_in_the_same_bytes(rig: Rig) -> None:
    async def story() -> list[Said]:
        names = ("up__fetch", "up__nothing", "old__fetch", "nowhere__fetch", "off__fetch")
        return [await invoke(rig, one, None, ANN) for one in names]

    first, *others = (one.raw for one in rig.run(story()))

    assert all(one == first for one in others)


UNREADABLE: dict[str, tuple[str, object, int, str]] = {
    "no server": ("tools/invoke", {"name": "echo"}, 400, "misnamed"),
    "a server that cannot be": ("tools/invoke", {"name": "u p__echo"}, 400, "misnamed"),
    "no tool": ("tools/invoke", {"name": "up__"}, 400, "misnamed"),
    "no server of a prompt": ("prompts/render", {"name": "greet"}, 400, "misnamed"),
    "no server of a resource": ("resources/read", {"uri": "note://one"}, 400, "misnamed"),
    "no name": ("tools/invoke", {"arguments": {}}, 422, "invalid"),
    "arguments beside arguments": (
        "tools/invoke",
        {"name": "up__echo", "arguments": {}, "text": 1},
        422,
        "invalid",
    ),
    "arguments that are a list": (
        "tools/invoke",
        {"name": "up__echo", "arguments": []},
        422,
        "invalid",
    ),
    "a number": ("prompts/render", {"name": "up__greet", "arguments": {"a": 1}}, 422, "invalid"),
}


@pytest.mark.parametrize("why", UNREADABLE)
def test_what_cannot_be_meant_is_refused_with_a_reason(rig: Rig, why: str) -> None:
    what, body, status, code = UNREADABLE[why]

    said = rig.run(ask(rig, what, body))

    assert (said.status, document(said)["code"]) == (status, code)


@pytest.mark.parametrize("text", [b'"\\ud800"', b"123456789012345678901234567890"])
def test_what_cannot_be_written_on_is_refused(rig: Rig, text: bytes) -> None:
    body = b'{"name": "up__echo", "arguments": {"a": %b}}' % text

    said = rig.run(ask(rig, "tools/invoke", body))

    assert said.status in {400, 422}


FAILED: dict[str, tuple[Any, int, str]] = {
    "nothing": (hangs_up, 502, "no-answer"),
    "what is no answer": (lambda _: whole(b"hello", media=b"text/plain"), 502, "no-answer"),
    "a stream that ends": (lambda _: whole(b": \n\n", media=SSE), 502, "no-answer"),
    "its own failure": (refuses(-32603), 502, "failed-at-server"),
    "that it does not take this": (refuses(-32602), 422, "refused-by-server"),
    "that a capability is missing": (refuses(-32021), 422, "needs-client"),
    "a page to visit": (refuses(-32042), 422, "needs-client"),
    "a denial, as if it were the gateway": (
        refuses(40301, data={"reason": "no_rule", "decision_id": "0"}),
        422,
        "needs-client",
    ),
    "that it could not record": (refuses(50302, status=b"503 No"), 502, "no-answer"),
}


@each_era
@pytest.mark.parametrize("what", FAILED)
def test_a_server_that_fails_is_told_apart_from_a_refusal(rig: Rig, server: str, what: str) -> None:
    speech, status, code = FAILED[what]

    async def story() -> Said:
        with saying(rig, {"tools/call": speech}):
            return await invoke(rig, f"{server}__echo")

    said = rig.run(story())

    assert (said.status, document(said)["code"]) == (status, code)


@pytest.mark.parametrize(
    "speeches",
    [
        {"initialize": refuses(-32602)},
        {"initialize": gives({"protocolVersion": "1999-01-01", "capabilities": {}})},
        {"notifications/initialized": refuses(-32602, status=b"400 No")},
    ],
)
def test_a_session_that_does_not_begin_is_not_the_callers_fault(
    rig: Rig, speeches: dict[str, Speech]
) -> None:
    async def story() -> tuple[Said, int]:
        before = seen(rig, OLD, "resources/read")
        with saying(rig, speeches):
            said = await ask(rig, "resources/read", {"uri": f"{OLD}|note://one"})
        return said, seen(rig, OLD, "resources/read") - before

    said, calls = rig.run(story())

    assert (said.status, document(said)["code"]) == (502, "no-answer")
    assert calls == 0


def test_a_server_that_was_never_reached_leaves_its_tools_undecided(rig: Rig) -> None:
    said = rig.run(invoke(rig, f"{OFF}__echo"))

    assert (said.status, document(said)["code"]) == (503, "undecided")


def test_silence_ends_in_time(rig: Rig) -> None:
    async def story() -> list[Said]:
        with saying(rig, {"tools/call": lambda _: b""}):
            return await asyncio.gather(*(invoke(rig, f"{one}__echo") for one in ERAS))

    for said in rig.run(story()):
        assert (said.status, document(said)["code"]) == (504, "late-answer")


def test_a_result_that_asks_for_more_says_that_a_client_is_needed(rig: Rig) -> None:
    async def story() -> list[Said]:
        wanted = {"a": {"method": "elicitation/create", "params": FORM}}
        results = ({"requestState": "s"}, {"inputRequests": wanted})
        told = []
        for one in results:
            result = {"resultType": "input_required", **one}
            with saying(rig, {"tools/call": gives(result)}):
                told.append(await invoke(rig, f"{NEW}__echo"))
        return told

    for said in rig.run(story()):
        assert (said.status, document(said)["code"]) == (422, "needs-client")


@each_era
def test_a_prompt_is_rendered(rig: Rig, server: str) -> None:
    message = {"role": "user", "content": {"type": "text", "text": "Hi."}}
    result = {"description": "To greet.", "messages": [message]}

    async def story() -> Said:
        with saying(rig, {"prompts/get": gives(result)}):
            return await ask(rig, "prompts/render", {"name": f"{server}__greet"})

    assert document(rig.run(story())) == result


@each_era
def test_a_resource_is_read_and_one_that_is_not_there_looks_hidden(rig: Rig, server: str) -> None:
    async def story() -> list[Said]:
        uris = (f"{server}|note://one", f"{server}|note://none")
        told = [await ask(rig, "resources/read", {"uri": one}) for one in uris]
        return [*told, await ask(rig, "resources/read", {"uri": uris[0]}, EVE)]

    found, absent, hidden = rig.run(story())

    assert document(found) == {"contents": [{"uri": "note://one", "text": "A note."}]}
    assert absent.status == 404
    assert hidden.raw == absent.raw


FORM = {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object"}}
ASKED = {
    "its user": (CI, "elicitation/create", FORM, 422, "error"),
    "its user, which it may not": (ANN, "elicitation/create", FORM, 200, "error"),
    "whether it is there": (CI, "ping", {}, 200, "result"),
}


@pytest.mark.parametrize("what", ASKED)
def test_a_server_that_asks_the_client_something_gets_an_answer(rig: Rig, what: str) -> None:
    who, method, params, status, member = ASKED[what]

    async def story() -> tuple[Said, Message]:
        rig.desks[OLD].deeds["tools/call"] = asks(method, params)
        try:
            said = await invoke(rig, f"{OLD}__echo", None, who)
        finally:
            del rig.desks[OLD].deeds["tools/call"]
        return said, answers(rig.listeners[OLD])[-1]

    said, answer = rig.run(story())

    assert said.status == status
    assert answer["id"] == 5
    assert member in answer


@each_era
def test_who_leaves_ends_the_call_and_leaves_nothing_behind(rig: Rig, server: str) -> None:
    async def story() -> None:
        tasks, let_go = ours(), asyncio.Event()

        async def works(line: Line, asked: Message) -> None:
            await let_go.wait()
            await line.send(gives({"content": []})(asked))

        before, goodbyes = len(rig.records()), seen(rig, server, "DELETE")
        rig.desks[server].deeds["tools/call"] = works
        try:
            raw = await asked(rig, "tools/invoke", {"name": f"{server}__echo"})
            calls = seen(rig, server)
            async with rig.line("control") as line:
                await line.send(raw)
                await until(lambda: seen(rig, server) > calls)
            if server == OLD:
                await until(lambda: seen(rig, server, "DELETE") > goodbyes)
                assert seen(rig, server, "notifications/cancelled") == 1
                let_go.set()
            (record,) = about(rig.records()[before:])
            outcome = await rig.outcome_of(record)
        finally:
            let_go.set()
            del rig.desks[server].deeds["tools/call"]
        # In a legacy version to leave is not to cancel, and the server did not heed what it heard.
        assert outcome["status"] == (200 if server == OLD else "cancelled")
        await until(lambda: ours() <= tasks)

    rig.run(story())


def ours() -> set[asyncio.Task[Any]]:
    """Return the tasks of the gateway; those of the upstreams last as long as connections do."""
    return {one for one in asyncio.all_tasks() if "/tests/" not in repr(one)}


def test_a_call_that_cannot_be_recorded_is_not_made_until_it_can(rig: Rig) -> None:
    async def story() -> None:
        raws = [await asked(rig, "tools/invoke", {"name": f"{one}__echo"}) for one in ERAS]
        before = [len(rig.listeners[one].seen) for one in ERAS]
        with full_disk():
            for raw in raws:
                said = await rig.say(raw, plane="control")
                assert (said.status, document(said)["code"]) == (503, "not-recorded")
        assert [len(rig.listeners[one].seen) for one in ERAS] == before
        async with asyncio.timeout(DEADLINE):
            while said.status == 503:
                said = await rig.say(raws[0], plane="control")
        assert said.status == 200

    rig.run(story())


def test_who_calls_too_fast_is_told_to_wait(tmp_path: Path) -> None:
    async def story(rig: Rig) -> list[int]:
        told = [await invoke(rig, f"{NEW}__echo") for _ in range(3)]
        assert told[-1].header("retry-after") == "1"
        return [one.status for one in told]

    with world(tmp_path, limits__calls_per_second=2) as rig:
        assert rig.run(story(rig)) == [200, 429, 429]
