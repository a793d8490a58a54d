"""T29: a task is its owner's, and has a name that nobody else can use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.handles import (
    OWN,
    TASKS,
    able,
    begun,
    of_task,
    told,
)
from tests.gateway.harness import Rig
from tests.gateway.raw import ENVELOPE, LEGACY, MODERN, asking
from tests.gateway.tasks import (
    ANN,
    BOB,
    METHODS,
    OTHER,
    Works,
    each_carrier,
    each_era,
    each_method,
    own_list,
    started,
    task_of,
    unknown,
    working,
)
from tests.upstream.speaking import (
    gives,
    refuses,
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


# Beginning, and asking for it again.


@each_era
@each_carrier
def test_a_call_becomes_a_task_that_its_client_knows_by_a_handle(
    rig: Rig, works: Works, era: str, carrier: str
) -> None:
    async def story() -> None:
        with rig.saying({"tools/call": lambda asked: works.call(asked, carrier)}):
            said = await started(rig, era, text="hello")

        result = said.message["result"]
        task = result["task"] if era == LEGACY else result
        own = works.state(works.ids[-1])
        assert said.is_stream is (carrier == "stream")
        assert task["taskId"] not in (own["taskId"], "")
        assert task == own | {"taskId": task["taskId"]} | (
            {} if era == LEGACY else {"resultType": "task"}
        )
        assert ("task" in told(rig)["params"]) is (era == LEGACY)
        record = rig.records()[-1]
        outcome = await rig.outcome_of(record)
        assert (record.payload["resource"]["id"], outcome["status"]) == ("up__echo", 200)

    rig.run(story())


@each_method
def test_whatever_is_asked_of_a_task_goes_upstream_under_its_own_id(
    rig: Rig, works: Works, era: str, method: str
) -> None:
    async def story() -> None:
        handle, own = await task_of(rig, era), works.ids[-1]
        said = await of_task(rig, method, handle, era=era, inputResponses={"a": {"x": 1}})

        assert (said.status, said.code) == (200, None)
        assert said.message["result"].get("taskId") in (None, handle)
        assert told(rig)["params"]["taskId"] == own
        assert told(rig)["params"]["inputResponses"] == {"a": {"x": 1}}
        raw = rig.upstream.seen[-1]
        assert (f"Mcp-Name: {own}\r\n".encode() in raw) is (era == MODERN)
        assert handle.encode() not in raw
        record = rig.records()[-1]
        found = (record.payload["method"], record.payload["action"], record.payload["verdict"])
        assert found == (method, "call", "allow")
        assert record.payload["resource"] == {"type": "Tool", "id": "up__echo"}
        outcome = await rig.outcome_of(record)
        assert (outcome["status"], outcome["is_error"]) == (200, False)

    rig.run(story())


USABLE = ("t", "a b", '"quoted" \\', "\u00fc\U0001f511" * 400, "x" * 1024, "=?base64?eA==?=")
UNUSABLE = (None, "", 5, True, ["x"], "x" * 1025, "\1" * 1024)


@each_era
@pytest.mark.parametrize("own", USABLE, ids=lambda one: ascii(one[:9]))
def test_a_task_can_be_asked_for_whatever_its_upstream_calls_it(
    rig: Rig, works: Works, era: str, own: str
) -> None:
    async def story() -> None:
        with rig.saying({"tools/call": lambda asked: works.call(asked, taskId=own)}):
            handle = await task_of(rig, era)
        works.ids.pop()
        assert (await of_task(rig, "tasks/get", handle, era=era)).status == 200
        assert told(rig)["params"]["taskId"] == own

    rig.run(story())


@each_era
@pytest.mark.parametrize("own", UNUSABLE, ids=lambda one: ascii(one)[:9])
def test_a_task_that_nobody_could_ask_for_is_not_passed_on(
    rig: Rig, works: Works, era: str, own: object
) -> None:
    async def story() -> None:
        with rig.saying({"tools/call": lambda asked: works.call(asked, taskId=own)}):
            said = await started(rig, era)
        works.ids.pop()
        assert (said.status, said.code) == (502, 50201)
        outcome = await rig.outcome_of(rig.records()[-1])
        assert (outcome["status"], outcome["is_error"]) == (502, True)

    rig.run(story())


@pytest.mark.parametrize("result", [{"task": 5}, {"task": []}, {"task": {}}, {"task": None}])
def test_what_is_called_a_task_and_is_none_is_not_passed_on(
    rig: Rig, result: dict[str, object]
) -> None:
    with rig.saying({"tools/call": gives(result)}):
        assert rig.run(started(rig, LEGACY)).code == 50201


def test_a_version_that_knows_no_tasks_has_none(rig: Rig) -> None:
    async def story() -> None:
        params = {"name": "echo", "task": {"ttl": 1}}
        member = {"content": [], "task": "a member like any other"}
        with rig.saying({"tools/call": gives(member)}):
            said = await rig.ask("tools/call", params, version="2025-06-18")
        assert said.message["result"] == member
        assert "task" not in told(rig)["params"]
        seen, handle = rig.mark, await task_of(rig, LEGACY)
        for method in METHODS[LEGACY]:
            said = await rig.ask(method, {"taskId": handle}, version="2025-06-18")
            assert (said.status, said.code) == (200, -32601)
        assert rig.mark == seen + 1

    rig.run(story())


@pytest.mark.parametrize(
    ("era", "method", "status"),
    [(MODERN, "tasks/list", 404), (MODERN, "tasks/result", 404), (LEGACY, "tasks/update", 200)],
)
def test_a_method_of_the_other_eras_tasks_does_not_exist(
    rig: Rig, era: str, method: str, status: int
) -> None:
    async def story() -> None:
        handle = await task_of(rig, era)
        seen = rig.mark
        said = await of_task(rig, method, handle, era=era)
        assert (said.status, said.code) == (status, -32601)
        assert rig.mark == seen

    rig.run(story())


def test_whoever_does_not_say_that_it_knows_tasks_is_told_to(rig: Rig) -> None:
    async def story() -> None:
        handle = await task_of(rig, MODERN)
        seen, answers = rig.mark, set()
        for one in (handle, "junk"):
            for method in METHODS[MODERN]:
                named = [("Mcp-Name", one)]
                said = await rig.ask(method, {"taskId": one}, more=named)
                answers.add((said.status, said.code, said.body))
        ((status, code, _),) = answers
        assert (status, code) == (400, -32021)
        data = said.message["error"]["data"]
        assert data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        wanted = {"notifications": {"taskIds": [handle]}}
        assert (await rig.ask("subscriptions/listen", wanted)).code == -32021
        assert rig.mark == seen

    rig.run(story())


@pytest.mark.parametrize("name", ["", "junk", None])
def test_a_header_that_names_another_task_is_refused(rig: Rig, name: str | None) -> None:
    async def story() -> None:
        handle = await task_of(rig, MODERN)
        seen = rig.mark
        named = [] if name is None else [("Mcp-Name", name)]
        said = await rig.ask("tasks/get", able() | {"taskId": handle}, more=named)
        assert (said.status, said.code) == (400, -32020)
        assert rig.mark == seen

    rig.run(story())


@pytest.mark.parametrize("kind", ["tools/call", "prompts/get"])
def test_a_task_that_the_client_cannot_know_or_did_not_begin_is_not_passed_on(
    rig: Rig, kind: str
) -> None:
    async def story() -> None:
        task = {"resultType": "task", "taskId": f"{OWN}-x", "status": "working"}
        meta = {"_meta": ENVELOPE} if kind == "tools/call" else able()
        params = {"name": "echo" if kind == "tools/call" else "greet"} | meta
        with rig.saying({kind: gives(task)}):
            assert (await rig.ask(kind, params)).code == 50201

    rig.run(story())


# Whose it is.


@each_method
def test_a_task_of_somebody_else_is_as_unknown_as_one_that_there_is_not(
    rig: Rig, works: Works, era: str, method: str
) -> None:
    async def story() -> None:
        own, theirs = await task_of(rig, era, ANN), await task_of(rig, era, BOB)
        of_other = await task_of(rig, era, ANN, where=OTHER)
        session = await begun(rig, ANN)
        altered = own[:20] + ("A" if own[20] != "A" else "B") + own[21:]
        seen, before, answers = rig.mark, len(rig.records()), set()
        tries = (theirs, of_other, session, altered, "junk", "t-1")
        for one in tries:
            said = await of_task(rig, method, one, era=era, client=ANN)
            answers.add((said.status, said.headers, said.body))
            assert unknown(said)
        # The upstream's own name is of no use to anybody, not even to the owner.
        raw = await of_task(rig, method, works.ids[-1], era=era, client=ANN)
        answers.add((raw.status, raw.headers, raw.body))

        assert len(answers) == 1
        assert rig.mark == seen
        records = [one.payload for one in rig.records()[before:]]
        assert {(one["verdict"], one["reason"]) for one in records} == {("deny", "not_visible")}
        assert len(records) == len(tries) + 1
        assert (await of_task(rig, method, own, era=era, client=ANN)).code is None

    rig.run(story())


@each_era
def test_a_task_is_known_to_its_owner_with_a_fresh_token(rig: Rig, era: str) -> None:
    async def story() -> None:
        handle = await task_of(rig, era)
        params = {"taskId": handle} | (able() if era == MODERN else {})
        body, headers = asking("tasks/get", params, version=era)
        fresh = [("Authorization", f"Bearer {rig.token()}"), ("Mcp-Name", handle)]
        assert (await rig.post([*fresh, *headers], body)).status == 200

    rig.run(story())


def test_an_upstream_that_gives_a_client_the_task_of_another_gets_no_further(
    rig: Rig, works: Works
) -> None:
    async def story() -> None:
        handle, own = await task_of(rig, LEGACY, ANN), works.ids[-1]
        with rig.saying({"tools/call": lambda asked: works.call(asked, taskId=own)}):
            said = await started(rig, LEGACY, BOB)
            assert (said.status, said.code) == (502, 50201)
            outcome = await rig.outcome_of(rig.records()[-1])
            assert (outcome["status"], outcome["is_error"]) == (502, True)
            # To tell its owner of it twice is no harm.
            assert await task_of(rig, LEGACY, ANN) == handle
        assert handle not in await own_list(rig, BOB)
        assert handle in await own_list(rig, ANN)

    rig.run(story())


def test_the_name_of_a_task_that_is_over_can_be_given_to_another_client(
    rig: Rig, works: Works
) -> None:
    async def story() -> None:
        name = f"{OWN}-again"
        with rig.saying({"tools/call": lambda asked: works.call(asked, taskId=name, ttl=0)}):
            first = await task_of(rig, LEGACY, ANN)
            second = await task_of(rig, LEGACY, BOB)
        works.ids = [one for one in works.ids if one != name]
        assert first != second

    rig.run(story())


# What the upstream says no to.


@each_method
def test_an_upstream_that_has_forgotten_a_task_says_so_itself(
    rig: Rig, era: str, method: str
) -> None:
    async def story() -> None:
        handle = await task_of(rig, era)
        with rig.saying({method: refuses(-32602)}):
            said = await of_task(rig, method, handle, era=era)
        assert (said.status, said.code) == (200, -32602)
        outcome = await rig.outcome_of(rig.records()[-1])
        assert (outcome["status"], outcome["is_error"]) == (200, True)

    rig.run(story())
