"""What is told of tasks reaches their owners, and what tasks ask for is decided."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.handles import (
    OWN,
    RELATED,
    SUBSCRIPTION,
    able,
    bare,
    begun,
    in_session,
    messages_of,
    of_task,
    told,
)
from tests.gateway.harness import Rig
from tests.gateway.raw import LEGACY, MODERN, asking
from tests.gateway.streams import acknowledgement, hearing, posting, streaming
from tests.gateway.tasks import (
    ANN,
    BOB,
    HOST,
    ONE,
    Works,
    each_era,
    note,
    started,
    task_of,
    telling,
    working,
)
from tests.upstream.scripted import SSE, whole
from tests.upstream.speaking import (
    Message,
    Speech,
    events,
    gives,
    result_of,
    written,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Works]]:
    with working(tmp_path_factory.mktemp("tasks")) as world:
        yield world


@pytest.fixture
def rig(world: tuple[Rig, Works]) -> Rig:
    return world[0]


@pytest.fixture
def works(world: tuple[Rig, Works]) -> Works:
    return world[1]


# News of tasks, and what relates to them.


@pytest.mark.parametrize("verb", ["POST", "GET"])
def test_news_of_a_legacy_task_reach_its_owner_alone(rig: Rig, works: Works, verb: str) -> None:
    async def story() -> None:
        own = await task_of(rig, LEGACY, ANN)
        ids = [works.ids[-1]]
        await task_of(rig, LEGACY, BOB)
        ids += [works.ids[-1], f"{OWN}-none"]
        status = [note("notifications/tasks/status", **works.state(one)) for one in ids]
        strange: list[object] = [None, 5, ""]
        odd = [note("notifications/tasks/status", taskId=one) for one in strange]
        meta = [
            note("notifications/message", level="info", data=one, _meta={RELATED: {"taskId": each}})
            for one, each in enumerate(ids)
        ]
        relations: list[object] = [None, 5, {}, {"taskId": 5}, []]
        odder = [
            note("notifications/message", data=9, _meta={RELATED: one, "x": 1}) for one in relations
        ]
        news = [*status, *odd, *meta, *odder, note("notifications/tasks", **works.state(ids[0]))]

        session = await begun(rig, ANN)
        body = b"".join(b"data: %b\n\n" % written(one) for one in news)
        speeches = {"ping": telling(*news), "GET": lambda _: whole(body, media=SSE)}
        with rig.saying(speeches):
            if verb == "GET":
                said = await bare(rig, "GET", session, ANN)
            else:
                more = in_session(session)
                said = await rig.ask("ping", version=LEGACY, client=ANN, more=more)
        found = [one["params"] for one in messages_of(said) if "method" in one]
        assert found[0] == works.state(ids[0]) | {"taskId": own}
        assert [one["data"] for one in found[1:]] == [0, 1, 2, *[9] * len(odder)]
        assert [one["_meta"] for one in found[1:4]] == [{RELATED: {"taskId": own}}, {}, {}]
        assert [one["_meta"] for one in found[4:]] == [{"x": 1}] * len(odder)

    rig.run(story())


def test_a_result_relates_to_the_task_by_the_handle_of_the_client(rig: Rig, works: Works) -> None:
    async def story() -> None:
        handle = await task_of(rig, LEGACY, ANN)
        said = await of_task(rig, "tasks/result", handle, era=LEGACY, client=ANN)
        meta = said.message["result"]["_meta"]
        assert meta == {RELATED: {"taskId": handle}, "kept": 1}

        related = {"_meta": {RELATED: {"taskId": f"{OWN}-fresh"}}}
        task = works.state(f"{OWN}-fresh")
        with rig.saying({"tools/call": gives({"task": task} | related)}):
            result = (await started(rig, LEGACY, ANN)).message["result"]
        assert result["_meta"] == {RELATED: {"taskId": result["task"]["taskId"]}}

    rig.run(story())


@pytest.mark.parametrize("kind", ["task", "input_required", "complete"])
def test_no_result_relates_to_a_task_under_the_upstreams_own_name(rig: Rig, kind: str) -> None:
    async def story() -> None:
        results: dict[str, dict[str, object]] = {
            "task": {"resultType": kind, "taskId": f"{OWN}-m", "status": "working"},
            "input_required": {"resultType": kind, "requestState": "s"},
            "complete": {"content": []},
        }
        result = results[kind]
        meta = {"_meta": {RELATED: {"taskId": f"{OWN}-m"}, "kept": 1}}
        with rig.saying({"tools/call": gives(result | meta)}):
            said = await started(rig, MODERN)
        assert said.message["result"]["_meta"] == {"kept": 1}

    rig.run(story())


@each_era
def test_what_a_client_relates_to_its_task_the_upstream_knows_by_its_own_name(
    rig: Rig, works: Works, era: str
) -> None:
    async def story() -> None:
        handle, own = await task_of(rig, era, ANN), works.ids[-1]
        theirs = await task_of(rig, era, BOB)
        meta = dict(able()["_meta"]) if era == MODERN else {}
        for shown, expected in (
            ({"taskId": handle}, {"taskId": own}),
            ({"taskId": theirs}, None),
            ({"taskId": own}, None),
            ({"taskId": 5}, None),
            ("x", None),
        ):
            params = {"name": "echo", "_meta": {**meta, RELATED: shown}}
            assert (await rig.ask("tools/call", params, version=era, client=ANN)).code is None
            assert told(rig)["params"]["_meta"].get(RELATED) == expected

    rig.run(story())


def test_a_question_in_a_task_and_its_answer_relate_to_it_on_either_side(
    rig: Rig, works: Works
) -> None:
    async def story() -> None:
        session = await begun(rig, ANN)
        handle, own = await task_of(rig, LEGACY, ANN), works.ids[-1]
        meta = {RELATED: {"taskId": own}}
        question = note("elicitation/create", message="Sure?", _meta=meta) | {"id": 3}
        params = {"taskId": handle}
        with rig.saying({"tasks/result": telling(question)}):
            said = await rig.ask(
                "tasks/result", params, version=LEGACY, client=ANN, more=in_session(session)
            )
        shown = messages_of(said)[0]
        assert shown["params"] == {"message": "Sure?", "_meta": {RELATED: {"taskId": handle}}}

        _, headers = asking("ping", version=LEGACY)
        fields = [("Authorization", rig.bearer(ANN)), *headers, *in_session(session)]
        result = {"action": "accept", "_meta": shown["params"]["_meta"]}
        answer = {"jsonrpc": "2.0", "id": shown["id"], "result": result}
        assert (await rig.post(fields, written(answer))).status == 202
        assert told(rig) == {
            "jsonrpc": "2.0",
            "id": 3,
            "result": {"action": "accept", "_meta": {RELATED: {"taskId": own}}},
        }

    rig.run(story())


# What a modern task asks for.

ASKS = {"a": {"method": "elicitation/create", "params": {"message": "Sure?"}}}


def waiting(asked: Message) -> bytes:
    task = {"resultType": "complete", "status": "input_required", "inputRequests": ASKS}
    return whole(written(result_of(asked, {"taskId": asked["params"]["taskId"]} | task)))


def test_what_a_task_asks_of_the_client_is_decided_and_recorded(rig: Rig) -> None:
    async def story() -> None:
        handle = await task_of(rig, MODERN, ANN)
        params = able("elicitation") | {"taskId": handle}
        before = len(rig.records())
        with rig.saying({"tasks/get": waiting}):
            said = await rig.ask("tasks/get", params, client=ANN, more=[("Mcp-Name", handle)])
        assert said.message["result"]["inputRequests"] == ASKS
        assert said.message["result"]["taskId"] == handle
        records = rig.records()[before:]
        assert [one.payload["action"] for one in records] == ["call", "elicit"]
        assert (await rig.outcome_of(records[1]))["status"] == "asked"
        assert (await rig.outcome_of(records[0]))["status"] == 200

    rig.run(story())


@pytest.mark.parametrize(("client", "declared"), [(ANN, ()), (ONE, ("elicitation",))])
def test_a_task_gets_nothing_of_a_client_that_may_not_or_cannot_give_it(
    rig: Rig, client: str, declared: tuple[str, ...]
) -> None:
    async def story() -> None:
        handle = await task_of(rig, MODERN, client)
        params = able(*declared) | {"taskId": handle}
        with rig.saying({"tasks/get": waiting}):
            said = await rig.ask("tasks/get", params, client=client, more=[("Mcp-Name", handle)])
        assert (said.status, said.code) == (200, 40301)
        record = rig.records()[-1]
        assert record.payload["verdict"] == "deny"
        assert said.message["error"]["data"]["decision_id"] == record.id

    rig.run(story())


# subscriptions/listen.


def announcing(*ids: str) -> Speech:
    """Agree to everything, and tell of each task of *ids* that it is done."""

    def speech(asked: Message) -> bytes:
        wanted = asked["params"]["notifications"]
        done = {"status": "completed", "result": {"content": []}}
        return events(
            note("notifications/subscriptions/acknowledged", notifications=wanted),
            *(note("notifications/tasks", taskId=one, **done) for one in ids),
            result_of(asked, {"resultType": "complete"}),
        )

    return speech


def test_a_listener_hears_of_its_own_tasks_alone(rig: Rig, works: Works) -> None:
    async def story() -> None:
        own, theirs = await task_of(rig, MODERN, ANN), await task_of(rig, MODERN, BOB)
        ids = works.ids[-2:]
        wanted = {"taskIds": [own, theirs, "junk", own, ids[0]], "toolsListChanged": True}
        before = len(rig.records())
        with rig.saying({"subscriptions/listen": announcing(*ids, f"{OWN}-none")}):
            said = await rig.ask(
                "subscriptions/listen", able() | {"notifications": wanted}, client=ANN
            )
        sent = told(rig)["params"]["notifications"]
        assert sent == {"toolsListChanged": True, "taskIds": [ids[0]]}
        first, news, *rest = said.events
        assert first["params"]["notifications"] == {"toolsListChanged": True, "taskIds": [own]}
        assert news["method"] == "notifications/tasks"
        assert news["params"] == {
            "taskId": own,
            "status": "completed",
            "result": {"content": []},
            "_meta": {SUBSCRIPTION: 7},
        }
        assert [sorted(one) for one in rest] == [["id", "jsonrpc", "result"]]
        records = [one.payload for one in rig.records()[before:]]
        assert [(one["action"], one["verdict"]) for one in records] == [
            ("connect", "allow"),
            ("call", "allow"),
        ]

    rig.run(story())


def test_who_may_not_call_the_tool_any_more_hears_nothing_more_of_its_tasks(
    rig: Rig, works: Works
) -> None:
    async def story() -> None:
        handle = await task_of(rig, MODERN, tool_="fetch", url="https://ok.example/")
        done = {"taskId": works.ids[-1], "status": "completed"}
        listen = "subscriptions/listen"
        wanted = {"notifications": {"taskIds": [handle], "toolsListChanged": True}}
        with streaming(rig, listen) as studio:
            async with hearing(rig, posting(rig, listen, able() | wanted)) as ear:
                channel = await studio.channel()
                await channel.say(acknowledgement(channel.asked["params"]["notifications"]))
                await channel.say(note("notifications/tasks", **done))
                assert (await ear.event())["method"] == "notifications/subscriptions/acknowledged"
                assert (await ear.event())["params"]["taskId"] == handle
                await rig.unstate(HOST)
                await channel.say(note("notifications/tasks", **done))
                await rig.state(HOST)
                await channel.answer({"resultType": "complete", "_meta": {SUBSCRIPTION: "other"}})
                # The list may have changed for it as well, with the right and back.
                rest = [await ear.event()]
                while "result" not in rest[-1]:
                    rest.append(await ear.event())
        assert "notifications/tasks" not in [one.get("method") for one in rest]
        assert rest[-1]["result"]["_meta"] == {SUBSCRIPTION: 7}

    rig.run(story())


def test_who_may_not_call_the_tool_any_more_hears_no_status_of_its_legacy_tasks(
    rig: Rig, works: Works
) -> None:
    async def story() -> None:
        await task_of(rig, LEGACY, tool_="fetch", url="https://ok.example/")
        status = note("notifications/tasks/status", **works.state(works.ids[-1]))
        session = await begun(rig)
        found = []
        for is_allowed in (True, False):
            if not is_allowed:
                await rig.unstate(HOST)
            with rig.saying({"ping": telling(status)}):
                said = await rig.ask("ping", version=LEGACY, more=in_session(session))
            found.append([one.get("method") for one in messages_of(said)])
        await rig.state(HOST)
        assert found == [["notifications/tasks/status", None], [None]]

    rig.run(story())


def test_a_listener_hears_nothing_of_a_task_whose_tool_it_may_not_call_any_more(
    rig: Rig, works: Works
) -> None:
    async def story() -> None:
        handle = await task_of(rig, MODERN, tool_="fetch", url="https://ok.example/")
        wanted = {"notifications": {"taskIds": [handle]}}
        await rig.unstate(HOST)
        with rig.saying({"subscriptions/listen": announcing(works.ids[-1])}):
            said = await rig.ask("subscriptions/listen", able() | wanted)
        await rig.state(HOST)
        assert "taskIds" not in told(rig)["params"]["notifications"]
        assert "notifications/tasks" not in [one.get("method") for one in said.events]
        assert (rig.records()[-1].payload["action"], rig.records()[-1].payload["verdict"]) == (
            "call",
            "deny",
        )

    rig.run(story())


@pytest.mark.parametrize("ids", [5, "x", [5], [None], {}, ["x"] * 257])
def test_tasks_to_hear_of_that_cannot_be_read_are_malformed(rig: Rig, ids: object) -> None:
    async def story() -> None:
        seen = rig.mark
        said = await rig.ask("subscriptions/listen", able() | {"notifications": {"taskIds": ids}})
        assert (said.status, said.code) == (400, -32602)
        assert rig.mark == seen

    rig.run(story())
