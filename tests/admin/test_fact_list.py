"""The list of facts, and letting every client act again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity
from tests.admin.controlled import AUDITOR, Controlled, Said, told
from tests.admin.kept import changes, fields, made, say, stored

TOOL = {"type": "Tool", "id": "github__echo"}
SERVER = {"type": "Server", "id": "github"}


async def facts(controlled: Controlled, *wanted: tuple[Any, ...]) -> None:
    for predicate, *args in wanted:
        said = await say(controlled, "POST", "/facts", {"predicate": predicate, "args": args})
        assert said.status == 201, said.document


def test_facts_are_listed_with_who_stated_them_how_and_why(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said]:
        named = {"predicate": "has_tag", "args": [TOOL, "guarded"], "why": "an audit"}
        await say(controlled, "POST", "/facts", named)
        await say(controlled, "POST", "/facts", named)
        found = await say(controlled, "GET", "/facts?origin=fact")
        await say(controlled, "DELETE", "/facts", named)
        return found, await say(controlled, "GET", "/facts?origin=fact")

    found, gone = told(tmp_path, story)

    [one] = found.document["facts"]
    assert {name: one[name] for name in ("predicate", "args", "origin", "added_by", "why")} == {
        "predicate": "has_tag",
        "args": [TOOL, "guarded"],
        "origin": "fact",
        "added_by": "User:admin",
        "why": "an audit",
    }
    assert gone.document == {"facts": [], "next": None}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("origin=fact", [TOOL, TOOL, SERVER, SERVER]),
        ("origin=fact&predicate=has_tag", [TOOL, TOOL, SERVER]),
        ("predicate=is_disabled", [SERVER]),
        ("about=tool:github__echo", [TOOL, TOOL]),
        ("about=server:github&origin=fact", [SERVER, SERVER]),
        ("about=client:nobody", []),
        ("predicate=no_such", []),
    ],
)
def test_facts_are_found_by_predicate_by_what_they_are_about_and_by_origin(
    tmp_path: Path, query: str, found: list[Any]
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[Any]]:
        await facts(
            controlled,
            ("has_tag", TOOL, "a"),
            ("has_tag", TOOL, "b"),
            ("has_tag", SERVER, "a"),
            ("is_disabled", SERVER),
        )
        pages, after = [], ""
        while True:
            said = await say(controlled, "GET", f"/facts?{query}&limit=2{after}")
            pages += said.document["facts"]
            if said.document["next"] is None:
                return await say(controlled, "GET", f"/facts?{query}"), pages
            after = f"&after={said.document['next']}"

    whole, pages = told(tmp_path, story)

    assert [one["args"][0] for one in whole.document["facts"]] == found
    assert pages == whole.document["facts"]


def test_a_list_that_cannot_be_meant_names_every_mistake(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        return await say(controlled, "GET", "/facts?about=matching:a*&limit=0&predicate=-&x=1")

    said = told(tmp_path, story)

    assert said.status == 422
    assert sorted(fields(said)) == ["about", "limit", "predicate", "x"]


def test_every_client_acts_again_and_the_record_names_them(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], set[Any], list[str]]:
        await made(controlled, "/clients", "bot", "other")
        await say(controlled, "POST", "/clients/bot/suspend")
        await say(controlled, "POST", "/users/ann/suspend")
        said = [await say(controlled, "POST", "/clients/suspend-all")]
        said += [
            await say(controlled, "POST", "/clients/resume-all", {"why": "over"}) for _ in range(2)
        ]
        left = {fact.args[0] for fact in stored(controlled, "is_suspended")}
        return said, left, changes(controlled)

    [suspended, resumed, again], left, records = told(tmp_path, story)

    assert resumed.document == {"resumed": suspended.document["suspended"]}
    assert again.document == {"resumed": []}
    assert not any(isinstance(one, Entity) and one.type == "Client" for one in left)
    assert records.count("clients.resumed") == 1


def test_whoever_may_not_manage_them_resumes_nobody(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        token = controlled.token(AUDITOR)
        return [
            await say(controlled, "POST", "/clients/resume-all", token=token),
            await say(controlled, "GET", "/facts", token=token),
        ]

    assert [one.status for one in told(tmp_path, story)] == [403, 403]
