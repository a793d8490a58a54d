"""T25: what servers offer is listed, and approved by whoever may, as it was reviewed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from proxy.admin.definitions import MOST_BYTES
from proxy.catalogues import Reviewed
from tests.admin.controlled import AUDITOR, Controlled, Said, controlling, told
from tests.admin.offered import offer, offering, tool
from tests.listener.served import eventually

PATH = "/api/v0/definitions"
APPROVE = f"{PATH}/approve"
SOME_HASH = "0" * 64

OLD, NEW = tool("echo", "To echo."), tool("echo", "To echo, and tell nobody.")


def approval(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("server", "kind", "name", "hash")}


def state_of(controlled: Controlled, name: str, server: str = "github") -> list[str]:
    """Return the states of a tool that decisions rest on."""
    entity = Entity("Tool", f"{server}__{name}")
    facts = controlled.standing.grounds.facts
    states = ("new", "approved", "changed", "gone")
    return [one for one in states if facts.origins(Fact("definition_state", (entity, one)))]


async def offers(controlled: Controlled, *offered: Any, server: str = "github") -> None:  # noqa: ANN401
    await offering(controlled.catalogues, controlled.desk, server, *offered)


async def changed(controlled: Controlled) -> dict[str, Any]:
    """Let a tool change, and return what is listed of it."""
    await offers(controlled, OLD)
    await offers(controlled, NEW)
    said = await listed(controlled, "state=changed")
    [found] = said.document["definitions"]
    return dict(found)


async def listed(controlled: Controlled, query: str = "") -> Said:
    return await controlled.ask("GET", f"{PATH}?{query}" if query else PATH, controlled.token())


async def approves(controlled: Controlled, body: object) -> Said:
    return await controlled.ask("POST", APPROVE, controlled.token(), json=body)


def test_a_definition_is_listed_with_all_that_whoever_approves_it_should_read(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled) -> Any:  # noqa: ANN401
        return await changed(controlled)

    assert told(tmp_path, story) == {
        "server": "github",
        "kind": "tool",
        "name": "echo",
        "state": "changed",
        "hash": NEW.hash,
        "description": "To echo, and tell nobody.",
        "definition": dict(NEW.body),
    }


LISTED = {
    "": ["github tool echo", "github tool new", "pay prompt dun", "pay tool echo"],
    "server=pay": ["pay prompt dun", "pay tool echo"],
    "server=github&state=new": ["github tool new"],
    "state=approved": ["github tool echo", "pay prompt dun", "pay tool echo"],
    "kind=prompt": ["pay prompt dun"],
    "name=echo&kind=tool": ["github tool echo", "pay tool echo"],
    "state=gone": [],
}


def test_what_is_listed_is_what_was_asked_for_in_one_order(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> dict[str, list[str]]:
        prompt = offer("prompt", "dun", {"name": "dun"})
        await offers(controlled, tool("echo"), prompt, server="pay")
        await offers(controlled, OLD)
        await offers(controlled, tool("new"), OLD)
        return {query: names(await listed(controlled, query)) for query in LISTED}

    assert told(tmp_path, story) == LISTED


def names(said: Said) -> list[str]:
    return [f"{one['server']} {one['kind']} {one['name']}" for one in said.document["definitions"]]


def test_pages_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    wanted = [f"github resource note://{n}|é" for n in range(5)]

    async def story(controlled: Controlled) -> list[list[str]]:
        uris = [one.split(" ", 2)[2] for one in wanted]
        await offers(controlled, *(offer("resource", uri, {"uri": uri}) for uri in uris))
        pages, token = [], controlled.token()
        after: dict[str, str] = {}
        while True:
            parameters = {"limit": "2"} | after
            async with controlled.session.get(
                controlled.url + PATH,
                params=parameters,
                headers={"Authorization": f"Bearer {token}"},
            ) as response:
                page = await response.json()
            pages.append([f"github resource {one['name']}" for one in page["definitions"]])
            if page["next"] is None:
                return pages
            after = {"after": page["next"]}

    assert told(tmp_path, story) == [wanted[:2], wanted[2:4], wanted[4:]]


def test_a_page_of_giants_is_short_and_says_that_there_is_more(tmp_path: Path) -> None:
    giants = [tool(name, "x" * (MOST_BYTES // 2)) for name in ("a", "b", "c")]

    async def story(controlled: Controlled) -> tuple[Said, Said]:
        await offers(controlled, *giants)
        return await listed(controlled), await listed(controlled, "after=github|tool|b")

    first, second = told(tmp_path, story)

    assert (names(first), first.document["next"]) == (["github tool a"], "github|tool|a")
    assert (names(second), second.document["next"]) == (["github tool c"], None)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("state=good", ["state"]),
        ("kind=Tool&limit=0", ["kind", "limit"]),
        ("server=&name=", ["server", "name"]),
        ("after=x", ["after"]),
        ("more=1", ["more"]),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(
    tmp_path: Path, query: str, fields: list[str]
) -> None:
    said = told(tmp_path, lambda controlled: listed(controlled, query))

    assert (said.status, said.document["code"]) == (422, "invalid")
    assert [one["field"] for one in said.document["problems"]] == fields


def test_a_server_that_is_not_registered_is_not_taken_for_one_that_offers_nothing(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        said = [await listed(controlled, f"server={name}") for name in ("githup", "pay")]
        return [(one.status, one.document.get("code", "")) for one in said]

    assert told(tmp_path, story) == [(404, "unknown-server"), (200, "")]


def test_what_is_approved_is_judged_by_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, dict[str, Any], list[list[str]]]:
        found = await changed(controlled)
        before = state_of(controlled, "echo")
        said = await approves(controlled, approval(found))
        return said, found, [before, state_of(controlled, "echo")]

    async def then(controlled: Controlled) -> tuple[list[str], list[str]]:
        return state_of(controlled, "echo"), names(await listed(controlled, "state=approved"))

    said, found, states = told(tmp_path, story)

    assert (said.status, said.document) == (200, found | {"state": "approved"})
    assert states == [["changed"], ["approved"]]
    assert told(tmp_path, then) == (["approved"], ["github tool echo"])


def test_who_approved_what_is_in_the_record(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[dict[str, Any], list[Any]]:
        found = await changed(controlled)
        await approves(controlled, approval(found))
        return found, controlled.records("change")

    found, [change] = told(tmp_path, story)

    assert change.payload["what"] == "definition.approved"
    assert (change.payload["who"]["type"], change.payload["who"]["id"]) == ("User", "admin")
    assert change.payload["before"] == approval(found) | {"state": "changed"}
    assert change.payload["after"] == approval(found) | {"state": "approved"}


def test_r05_a_journal_that_cannot_be_written_approves_nothing(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str], Said]:
        found = await changed(controlled)
        controlled.disk.is_full = True
        said = await approves(controlled, approval(found))
        controlled.disk.is_full = False
        await controlled.listed()
        return said, state_of(controlled, "echo"), await listed(controlled, "state=changed")

    said, states, after = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (503, "not-recorded")
    assert states == ["changed"]
    assert names(after) == ["github tool echo"]


def test_nothing_is_approved_before_that_is_recorded(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[list[str]]:
        found = await changed(controlled)
        states: list[list[str]] = []

        async def record(_: object) -> None:
            [stored] = await controlled.definitions.offered("github")
            states.append([stored.state])
            states.append(state_of(controlled, "echo"))
            raise OSError("full")

        reviewed = Reviewed("github", "tool", "echo", found["hash"])
        with pytest.raises(OSError, match="full"):
            await controlled.catalogues.approve(reviewed, record)
        return [*states, state_of(controlled, "echo")]

    assert told(tmp_path, story) == [["changed"]] * 3


def test_a_ledger_that_cannot_keep_it_approves_nothing(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str]]:
        found = await changed(controlled)
        async with controlled.database.changing():
            # Another holds the database for longer than a change waits for its turn.
            said = await approves(controlled, approval(found))
        return said, state_of(controlled, "echo")

    said, states = told(tmp_path, story, database_wait=0.2)

    assert (said.status, said.document["code"]) == (503, "database-unavailable")
    assert states == ["changed"]


def test_approving_again_changes_nothing_and_is_recorded_once(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], int]:
        found = await changed(controlled)
        said = [await approves(controlled, approval(found)) for _ in range(2)]
        return said, len(controlled.records("change"))

    [first, second], changes = told(tmp_path, story)

    assert (second.status, second.document) == (200, first.document)
    assert changes == 1


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"server": "githup"}, 404, "unknown-definition"),
        ({"server": "pay"}, 404, "unknown-definition"),
        ({"kind": "prompt"}, 404, "unknown-definition"),
        ({"name": "ech0"}, 404, "unknown-definition"),
        ({"hash": SOME_HASH}, 409, "definition-changed"),
        ({"hash": OLD.hash}, 409, "definition-changed"),
    ],
)
def test_only_what_is_offered_now_is_approved(
    tmp_path: Path, wrong: dict[str, str], status: int, code: str
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str], list[Any]]:
        found = await changed(controlled)
        said = await approves(controlled, approval(found) | wrong)
        return said, state_of(controlled, "echo"), controlled.records("change")

    said, states, changes = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (status, code)
    assert states == ["changed"]
    assert changes == []


def test_what_is_gone_is_not_approved(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str], list[Any]]:
        found = await changed(controlled)
        await offers(controlled)
        said = await approves(controlled, approval(found))
        return said, state_of(controlled, "echo"), controlled.records("change")

    said, states, changes = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (409, "definition-changed")
    assert states == ["gone"]
    assert changes == []


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"kind": "Tool", "hash": "A" * 64}, ["kind", "hash"]),
        ({"server": "", "hash": "0" * 63}, ["server", "hash"]),
        ({"name": 1, "why": "because"}, ["name", "why"]),
        ({"hash": None, "name": "x" * 2049}, ["name", "hash"]),
    ],
)
def test_every_mistake_of_an_approval_is_named(
    tmp_path: Path, wrong: dict[str, Any], fields: list[str]
) -> None:
    body = {"server": "github", "kind": "tool", "name": "echo", "hash": SOME_HASH} | wrong
    said = told(tmp_path, lambda controlled: approves(controlled, body))

    assert (said.status, said.document["code"]) == (422, "invalid")
    assert [one["field"] for one in said.document["problems"]] == fields


def test_an_auditor_neither_lists_nor_approves(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        found = await changed(controlled)
        token = controlled.token(AUDITOR)
        said = [
            await controlled.ask("GET", PATH, token),
            await controlled.ask("POST", APPROVE, token, json=approval(found)),
        ]
        assert state_of(controlled, "echo") == ["changed"]
        return [(one.status, one.document["action"]) for one in said]

    assert told(tmp_path, story) == [(403, "approve")] * 2


def test_an_approval_is_brought_to_its_end_when_its_caller_leaves(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[list[str]]:
        found = await changed(controlled)
        reached, leave = asyncio.Event(), asyncio.Event()

        async def record(_: object) -> None:
            reached.set()
            await leave.wait()

        reviewed = Reviewed("github", "tool", "echo", found["hash"])
        asked = asyncio.create_task(controlled.catalogues.approve(reviewed, record))
        await reached.wait()
        states = [state_of(controlled, "echo")]
        asked.cancel()
        leave.set()
        await eventually(lambda: state_of(controlled, "echo") != states[0])
        return [*states, state_of(controlled, "echo")]

    assert told(tmp_path, story) == [["changed"], ["approved"]]


def test_facts_and_ledger_agree_whatever_approvals_and_refreshes_do_at_once(
    tmp_path: Path,
) -> None:
    chance = random.Random("approvals and refreshes")
    tools = ("a", "b", "c")

    async def story() -> None:
        async with controlling(tmp_path) as controlled:
            await offers(controlled, *(tool(name) for name in tools))

            async def change() -> None:
                for number in range(15):
                    which = chance.sample(tools, 2)
                    offered = (tool(name, f"{name} {number}") for name in which)
                    await offers(controlled, *offered)

            async def approve() -> None:
                for number in range(40):
                    known = controlled.catalogues.definitions["github"]
                    one = known[number % len(known)]
                    body = {"server": "github", "kind": "tool", "name": one.name, "hash": one.hash}
                    assert (await approves(controlled, body)).status in {200, 409}

            await asyncio.gather(change(), approve(), approve())
            stored = await controlled.definitions.offered("github")
            assert {one.name for one in stored} == set(tools)
            for one in stored:
                assert state_of(controlled, one.name) == [one.state]
            assert "approved" in {one.state for one in stored}

    asyncio.run(story())
