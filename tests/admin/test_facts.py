"""Facts: which an admin states by hand, and which are never his."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from tests.admin.controlled import Controlled, Said, told
from tests.admin.kept import changes, fields, say, stored, with_rules

TOOL = {"type": "Tool", "id": "github__echo"}
YES = True
SERVER = {"type": "Server", "id": "github"}


def body(predicate: str, *args: object) -> dict[str, Any]:
    return {"predicate": predicate, "args": list(args)}


@pytest.mark.parametrize(
    ("named", "fact"),
    [
        (body("has_tag", TOOL, "guarded"), Fact("has_tag", (Entity(**TOOL), "guarded"))),
        (body("is_disabled", SERVER), Fact("is_disabled", (Entity(**SERVER),))),
        (
            body("has_relation", TOOL, "toolset", {"type": "Toolset", "id": "x"}),
            Fact("has_relation", (Entity(**TOOL), "toolset", Entity("Toolset", "x"))),
        ),
        (body("amount_limit", TOOL, 100), Fact("amount_limit", (Entity(**TOOL), 100))),
        (body("allowed_host", TOOL, "*.ok"), Fact("allowed_host", (Entity(**TOOL), "*.ok"))),
        (body("of_ours", TOOL, YES), Fact("of_ours", (Entity(**TOOL), YES))),
    ],
)
def test_a_fact_of_the_closed_list_is_stated_once_and_withdrawn_once(
    tmp_path: Path, named: dict[str, Any], fact: Fact
) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], list[set[Fact]], list[Any]]:
        said, found = [], []
        for method in ("POST", "POST", "DELETE", "DELETE"):
            said.append(await say(controlled, method, "/facts", named | {"why": "so"}))
            found.append(stored(controlled, fact.predicate))
        return said, found, controlled.records("change")

    bundle = with_rules(b"declare of_ours(Tool, Boolean);\n")
    said, found, records = told(tmp_path, story, bundle=bundle)

    assert [one.status for one in said] == [201, 200, 200, 404]
    assert said[3].document["code"] == "unknown-fact"
    assert found == [{fact}, {fact}, set(), set()]
    assert said[1].document == said[0].document
    assert {name: said[0].document[name] for name in ("predicate", "args")} == named
    assert said[2].document["version"] == said[0].document["version"] + 1
    assert [one.payload["what"] for one in records] == ["fact.stated", "fact.withdrawn"]
    assert records[0].payload["after"] == [named["predicate"], *named["args"]]
    assert {one.payload["why"] for one in records} == {"so"}


NEVER = (
    body("has_role", {"type": "User", "id": "bob"}, "admin"),
    body("has_role", {"type": "User", "id": "bob"}, "caller", SERVER),
    body("has_role_matching", {"type": "User", "id": "bob"}, "caller", "**"),
    body("lease", {"type": "User", "id": "bob"}, "caller", SERVER, 9_999_999_999),
    body("is_suspended", {"type": "User", "id": "bob"}),
    body("definition_state", TOOL, "approved"),
    body("id_matches", TOOL, "**"),
    body("is_read_only", TOOL),
    body("is_served", TOOL),
    body("has_permission", {"type": "User", "id": "bob"}, "manage_users", SERVER),
    body("allow", {"type": "User", "id": "bob"}, "call", TOOL),
    body("uses", {"type": "User", "id": "bob"}, TOOL),
    body("acts_alone", {"type": "Client", "id": "bot"}),
    body("argument", TOOL, "amount", 1),
    body("claim", {"type": "User", "id": "bob"}, "iss", "x"),
    body("nobody_declares", TOOL),
)


@pytest.mark.parametrize("named", NEVER, ids=lambda one: one["predicate"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_fact_that_is_not_an_admins_to_state_is_refused(
    tmp_path: Path, named: dict[str, Any], method: str
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str], set[Fact]]:
        said = await say(controlled, method, "/facts", named)
        return said, changes(controlled), stored(controlled, named["predicate"])

    said, recorded, found = told(tmp_path, story)

    assert (said.status, fields(said)) == (422, ["predicate"])
    assert said.document["problems"][0]["problem"].endswith(".")
    assert (recorded, found) == ([], set())


@pytest.mark.parametrize(
    "named",
    [
        body("is_disabled", {"type": "Gateway", "id": "northgate"}),
        body("is_disabled", {"type": "User", "id": "admin"}),
        body("has_tag", {"type": "Client", "id": "bot"}, "x"),
        body("has_tag", TOOL),
        body("has_tag", TOOL, 1),
        body("has_tag", TOOL, ""),
        body("has_tag", TOOL, "x" * 385),
        body("has_tag", {"type": "Tool", "id": ""}, "x"),
        body("has_relation", TOOL, "server", SERVER),
        body("has_relation", {"type": "User", "id": "a"}, "team", {"type": "Team", "id": "t"}),
        body("has_relation", SERVER, "toolset", {"type": "Toolset", "id": "x"}),
        body("amount_limit", TOOL, "100"),
        body("amount_limit", TOOL, YES),
        body("allowed_host", SERVER, "ok"),
        body("allowed_host", TOOL | {"id": "x" * 385}, "ok"),
    ],
    ids=str,
)
def test_a_fact_has_the_types_that_its_declaration_says(
    tmp_path: Path, named: dict[str, Any]
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str]]:
        return await say(controlled, "POST", "/facts", named), changes(controlled)

    said, recorded = told(tmp_path, story)

    assert (said.status, fields(said)) == (422, ["args"])
    assert recorded == []


@pytest.mark.parametrize(
    ("named", "names"),
    [
        ({"predicate": "a b", "args": []}, ["predicate", "args"]),
        ({"predicate": "has_tag", "args": [1.5, None], "x": 1}, ["args.0", "args.1", "x"]),
        ({"args": [{"type": "Tool"}, TOOL | {"id": 1}]}, ["predicate", "args.0", "args.1"]),
        ({"predicate": 1, "why": "\x00"}, ["why", "predicate", "args"]),
    ],
)  # fmt: skip
def test_every_mistake_about_a_fact_is_named(
    tmp_path: Path, named: dict[str, Any], names: list[str]
) -> None:
    said = told(tmp_path, lambda controlled: say(controlled, "POST", "/facts", named))

    assert (said.status, sorted(fields(said))) == (422, sorted(names))


def test_a_fact_that_the_policy_states_is_not_withdrawn_here(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        return await say(controlled, "DELETE", "/facts", body("has_tag", TOOL, "guarded"))

    bundle = with_rules(b'has_tag(Tool{"github__echo"}, "guarded");\n')
    said = told(tmp_path, story, bundle=bundle)

    assert (said.status, said.document["code"]) == (409, "written-in-policy")


def test_the_same_fact_stated_many_times_at_once_is_one_change(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], list[str]]:
        named = body("has_tag", TOOL, "guarded")
        said = await asyncio.gather(*(say(controlled, "POST", "/facts", named) for _ in range(5)))
        return [one.status for one in said], changes(controlled)

    statuses, recorded = told(tmp_path, story)

    assert (sorted(statuses), recorded) == ([200, 200, 200, 200, 201], ["fact.stated"])
