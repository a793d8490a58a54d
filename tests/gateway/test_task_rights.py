"""T29: a task goes on for as long as its owner may call the tool that began it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from policies.model import Entity, Fact
from proxy.wire.headers import MAX_HEADER
from tests.gateway.desk import tools_of
from tests.gateway.handles import (
    OWN,
    RELATED,
    able,
    in_form,
    messages_of,
    of_task,
    told,
)
from tests.gateway.harness import Rig, gateway, may, until
from tests.gateway.raw import ERAS, LEGACY, MODERN
from tests.gateway.tasks import (
    ANN,
    BOB,
    ECHO,
    FACTS,
    HOST,
    ONE,
    OTHER,
    Works,
    each_carrier,
    each_era,
    each_method,
    listed,
    own_list,
    started,
    task_of,
    telling,
    unknown,
    working,
)
from tests.upstream.speaking import (
    Message,
    gives,
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


# The right to it now.


@each_method
def test_a_task_is_asked_for_by_whoever_may_call_its_tool_at_this_moment(
    rig: Rig, era: str, method: str
) -> None:
    grant, view = may(ONE, "caller", "Tool", "up__echo"), may(ONE, "viewer", "Tool", "up__echo")
    connects = may(ONE, "viewer", "Prompt", "up__greet")

    async def story() -> None:
        handle = await task_of(rig, era, ONE)
        assert (await of_task(rig, method, handle, era=era, client=ONE)).code is None
        seen = rig.mark
        await rig.state(connects)
        await rig.unstate(grant)
        hidden = await of_task(rig, method, handle, era=era, client=ONE)
        junk = await of_task(rig, method, "junk", era=era, client=ONE)
        assert unknown(hidden)
        assert (hidden.headers, hidden.body) == (junk.headers, junk.body)
        await rig.state(view)
        denied = await of_task(rig, method, handle, era=era, client=ONE)
        assert (denied.status, denied.code) == (200, 40301)
        assert denied.message["error"]["data"]["decision_id"] == rig.records()[-1].id
        await rig.unstate(connects, view)
        nowhere = await of_task(rig, method, handle, era=era, client=ONE)
        assert (nowhere.status, nowhere.code) == (404, 40401)
        assert rig.mark == seen
        await rig.state(grant)
        assert (await of_task(rig, method, handle, era=era, client=ONE)).code is None
        assert rig.mark == seen + 1

    rig.run(story())


@each_method
def test_what_held_of_a_calls_arguments_goes_on_holding_for_its_task(
    rig: Rig, era: str, method: str
) -> None:
    async def story() -> None:
        refused = await started(rig, era, tool_="fetch", url="https://evil.example/")
        assert refused.code == 40301
        handle = await task_of(rig, era, tool_="fetch", url="https://ok.example/x")
        assert (await of_task(rig, method, handle, era=era)).code is None
        record = rig.records()[-1].payload
        assert record["resource"]["id"] == "up__fetch"
        assert any(one[0] == "argument_host" for one in record["facts"])
        seen = rig.mark
        await rig.unstate(HOST)
        assert (await of_task(rig, method, handle, era=era)).code == 40301
        assert rig.mark == seen
        await rig.state(HOST)
        assert (await of_task(rig, method, handle, era=era)).code is None

    rig.run(story())


@each_era
def test_a_task_of_which_too_much_held_is_one_of_which_nothing_holds(rig: Rig, era: str) -> None:
    tag = Fact("has_tag", (Entity("Tool", "up__wipe"), "guarded"))
    path = "/" + "/".join("d" * 5 for _ in range(60))
    above = [path[: 6 * depth] for depth in range(1, 61)]
    allowed = [Fact("allowed_directory", (Entity("Tool", "up__wipe"), one)) for one in above]

    async def story() -> None:
        await rig.state(tag, *allowed)
        handle = await task_of(rig, era, tool_="wipe", path=path)
        assert len(handle) <= MAX_HEADER
        assert (await of_task(rig, "tasks/get", handle, era=era)).code == 40301
        await rig.unstate(tag, *allowed)
        assert (await of_task(rig, "tasks/get", handle, era=era)).code is None

    rig.run(story())


HAND = "hand"
"""Who may call what the rules of a test alone allow."""

FIRST = 'argument(tool, "mode", "fast")'
LATER = {
    "slow": 'argument(tool, "mode", "slow")',
    "level": 'argument(tool, "level", 1)',
    "forced": 'argument_present(tool, "force")',
    "calm": 'not argument_present(tool, "absent")',
    "unforced": 'not argument_present(tool, "force")',
    "either": f'{FIRST} and not argument_present(tool, "force")',
}
"""By tool: what comes to be asked of the arguments of a call."""


def ruled(conditions: Mapping[str, str]) -> str:
    """Return a policy that lets `HAND` call tools on *conditions*, and see them all."""
    rules = (
        f'has_permission(client: Client, "call", tool: Tool) if client = Client{{"{HAND}"}}'
        f' and tool = Tool{{"up__{name}"}} and ({condition});\n'
        for name, condition in conditions.items()
    )
    return "".join(rules)


async def adopted(rig: Rig, conditions: Mapping[str, str]) -> None:
    before = rig.log.getvalue().count('"policy_changed"')
    path = rig.directory / "policies" / "test.polar"
    path.write_text(ruled(conditions), encoding="utf-8")
    await until(lambda: rig.log.getvalue().count('"policy_changed"') > before)


async def heard_of(rig: Rig, handles: list[str]) -> list[str]:
    """Return those of the tasks *handles* that their owner may listen to, by their own ids."""
    wanted = {"notifications": {"taskIds": handles}}
    with rig.saying({"subscriptions/listen": gives({"resultType": "complete"})}):
        await rig.ask("subscriptions/listen", able() | wanted, client=HAND)
    found: list[str] = told(rig)["params"]["notifications"].get("taskIds", [])
    return found


def test_a_policy_that_asks_something_else_of_calls_by_now_lets_no_earlier_one_go_on(
    tmp_path: Path,
) -> None:
    """It cannot be known any more, so not even the lack of an argument is taken for granted."""

    async def story() -> None:
        first, works = dict.fromkeys(LATER, FIRST), Works()
        speeches = {"up": works.speeches | {"tools/list": gives({"tools": tools_of([*LATER])})}}
        facts = [may(HAND, "viewer", "Server", "up")]
        async with gateway(tmp_path, speeches, policy=ruled(first), facts=facts) as rig:
            handles = {
                (era, name): await task_of(rig, era, HAND, tool_=name, mode="fast", force=True)
                for era in ERAS
                for name in LATER
            }
            of_modern = [one for (era, _), one in handles.items() if era == MODERN]
            of_legacy = [one for (era, _), one in handles.items() if era == LEGACY]
            assert await own_list(rig, HAND) == of_legacy
            assert len(await heard_of(rig, of_modern)) == len(LATER)

            await adopted(rig, LATER)
            seen = rig.mark
            for (era, name), handle in handles.items():
                said = await of_task(rig, "tasks/get", handle, era=era, client=HAND)
                assert said.code == 40301 or unknown(said), name
            assert rig.mark == seen
            assert await own_list(rig, HAND) == []
            assert await heard_of(rig, of_modern) == []

            await adopted(rig, first)
            for (era, _), handle in handles.items():
                said = await of_task(rig, "tasks/get", handle, era=era, client=HAND)
                assert said.code is None
            assert await own_list(rig, HAND) == of_legacy

    asyncio.run(story())


def test_a_rule_on_what_a_call_lacks_holds_for_its_task_as_it_held_for_the_call(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        condition = 'not argument_present(tool, "force") or argument(tool, "force", false)'
        policy, facts = ruled({"echo": condition}), [may(HAND, "viewer", "Server", "up")]
        async with gateway(tmp_path, {"up": Works().speeches}, policy=policy, facts=facts) as rig:
            for era in ERAS:
                for handle in (
                    await task_of(rig, era, HAND),
                    await task_of(rig, era, HAND, force=False),
                ):
                    said = await of_task(rig, "tasks/get", handle, era=era, client=HAND)
                    assert said.code is None
                assert (await started(rig, era, HAND, force=True)).code == 40301
            assert len(await own_list(rig, HAND)) == 2

    asyncio.run(story())


# Lists of tasks.


@each_carrier
def test_a_list_of_tasks_shows_those_of_its_reader_and_in_the_order_of_the_upstream(
    rig: Rig, works: Works, carrier: str
) -> None:
    async def story() -> None:
        first, of_bob = await task_of(rig, LEGACY, ANN), await task_of(rig, LEGACY, BOB)
        second, of_other = (
            await task_of(rig, LEGACY, ANN),
            await task_of(rig, LEGACY, ANN, where=OTHER),
        )
        ids = works.ids[-3:]
        for order in (ids, ids[::-1]):
            tasks = [works.state(one) | {"statusMessage": "kept"} for one in order]
            odd: list[Message] = [
                {"taskId": one} for one in (None, 5, "", "x" * 2000, "\0", "none")
            ]
            with rig.saying({"tasks/list": in_form(carrier, {"tasks": [{}, *odd, *tasks]})}):
                said = await listed(rig, ANN)
                theirs = await listed(rig, BOB)
            assert said.is_stream is (carrier == "stream")
            own = {ids[0]: first, ids[2]: second}
            expected = [
                one | {"taskId": own[one["taskId"]]} for one in tasks if one["taskId"] in own
            ]
            assert said.message["result"]["tasks"] == expected
            assert [one["taskId"] for one in theirs.message["result"]["tasks"]] == [of_bob]
            assert of_other.encode() not in said.body
        record = rig.records()[-1]
        assert (record.payload["action"], record.payload["verdict"]) == ("connect", "allow")

    rig.run(story())


def test_a_task_whose_tool_may_not_be_called_any_more_is_not_in_the_list(rig: Rig) -> None:
    async def story() -> None:
        plain = await task_of(rig, LEGACY, tool_="echo")
        guarded = await task_of(rig, LEGACY, tool_="fetch", url="https://ok.example/")
        assert {plain, guarded} <= set(await own_list(rig))
        await rig.unstate(HOST)
        assert {plain, guarded}.intersection(await own_list(rig)) == {plain}
        await rig.state(HOST)
        disabled = Fact("is_disabled", (ECHO,))
        await rig.state(disabled)
        assert {plain, guarded}.intersection(await own_list(rig)) == {guarded}
        await rig.unstate(disabled)

    rig.run(story())


@pytest.mark.parametrize("tasks", [None, 5, {}, "x", [5], [None], [[]]])
@each_carrier
def test_a_list_of_tasks_that_cannot_be_read_is_not_passed_on(
    rig: Rig, carrier: str, tasks: object
) -> None:
    async def story() -> None:
        with rig.saying({"tasks/list": in_form(carrier, {"tasks": tasks})}):
            assert (await listed(rig)).code == 50201

    rig.run(story())


def test_the_pages_of_a_list_of_tasks_are_their_readers_own(rig: Rig, works: Works) -> None:
    async def story() -> None:
        handle, own = await task_of(rig, LEGACY, ANN), works.ids[-1]
        page = {"tasks": [works.state(own)], "nextCursor": f"{OWN}-page"}
        tools = {"tools": [], "nextCursor": f"{OWN}-page"}
        with rig.saying({"tasks/list": gives(page), "tools/list": gives(tools)}):
            cursor = (await listed(rig, ANN)).message["result"]["nextCursor"]
            said = await listed(rig, ANN, cursor=cursor)
            assert told(rig)["params"]["cursor"] == f"{OWN}-page"
            assert said.message["result"]["tasks"][0]["taskId"] == handle
            other = await rig.ask("tools/list", version=LEGACY, client=ANN)
            of_tools = other.message["result"]["nextCursor"]
            seen = rig.mark
            for client, one in ((BOB, cursor), (ANN, of_tools), (ANN, f"{OWN}-page"[4:])):
                said = await listed(rig, client, cursor=one)
                assert (said.status, said.code) == (200, -32602)
            assert rig.mark == seen

    rig.run(story())


def test_a_list_of_tasks_carries_no_other_list(rig: Rig) -> None:
    async def story() -> None:
        smuggled = {"tasks": [], "tools": [{"name": "wipe"}], "resources": []}
        with rig.saying({"tasks/list": gives(smuggled)}):
            said = await listed(rig, ONE)
        assert said.message["result"] == {"tasks": []}

    rig.run(story())


# When whose they are cannot be known.


@asynccontextmanager
async def without_ledger(rig: Rig) -> AsyncIterator[None]:
    """Take the table of tasks away until the block ends."""
    path = rig.directory / "northgate.db"
    await asyncio.to_thread(_renamed, path, "tasks", "mislaid")
    try:
        yield
    finally:
        await asyncio.to_thread(_renamed, path, "mislaid", "tasks")


def _renamed(path: Path, old: str, new: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        # The gateway writes too: whoever only reads at first may find that it cannot write then.
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"ALTER TABLE {old} RENAME TO {new}")
        database.execute("COMMIT")


def test_nothing_is_passed_on_of_which_nobody_can_tell_whose_it_is(rig: Rig, works: Works) -> None:
    async def story() -> None:
        handle = await task_of(rig, LEGACY, ANN)
        own = works.ids[-1]
        status = {"method": "notifications/tasks/status", "params": works.state(own)}
        progress = {
            "method": "notifications/message",
            "params": {"_meta": {RELATED: {"taskId": own}}},
        }
        news = [{"jsonrpc": "2.0"} | one for one in (status, progress)]
        async with without_ledger(rig):
            with rig.saying({"ping": telling(*news)}):
                begin = await started(rig, LEGACY, ANN)
                assert (begin.status, begin.code) == (502, 50201)
                works.ids.pop()
                assert (await listed(rig, ANN)).code == 50201
                got = await of_task(rig, "tasks/get", handle, era=LEGACY, client=ANN)
                assert got.message["result"]["taskId"] == handle
                result = await of_task(rig, "tasks/result", handle, era=LEGACY, client=ANN)
                assert result.message["result"]["_meta"] == {"kept": 1}
                said = await rig.ask("ping", version=LEGACY, client=ANN)
                assert [one.get("method") for one in messages_of(said)] == [
                    "notifications/message",
                    None,
                ]
                assert messages_of(said)[0]["params"] == {"_meta": {}}
                # In the modern era nothing is asked of the ledger.
                modern = await task_of(rig, MODERN, ANN)
                assert (
                    await of_task(rig, "tasks/get", modern, era=MODERN, client=ANN)
                ).code is None
        assert handle in await own_list(rig, ANN)

    rig.run(story())


def test_the_ledger_holds_nothing_of_what_a_call_said(tmp_path: Path) -> None:
    amount = 48_151_623

    async def story() -> None:
        fetch = Entity("Tool", "up__fetch")
        facts = [*FACTS, Fact("amount_limit", (fetch, 10**9))]
        async with gateway(tmp_path, {"up": Works().speeches}, facts=facts) as rig:
            handle = await task_of(rig, LEGACY, tool_="fetch", amount=amount)
            assert (await of_task(rig, "tasks/get", handle, era=LEGACY)).code is None
            assert await own_list(rig) == [handle]
        with closing(sqlite3.connect(rig.directory / "northgate.db")) as database:
            kept = str(database.execute("SELECT * FROM tasks").fetchall())
        assert OWN in kept
        assert str(amount) not in kept

    asyncio.run(story())
