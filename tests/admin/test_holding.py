"""Who may do something: everybody the engine allows it, on what terms and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policies.model import Entity, Fact
from storage.facts import Change
from tests.admin.controlled import AUDITOR, Controlled, Said, told
from tests.admin.kept import made, say
from tests.admin.offered import tool

DELETE = Entity("Tool", "github__delete_repo")
SOON = 2_000_000_000


async def offering(controlled: Controlled, *facts: Fact) -> None:
    server = controlled.desk.servers["github"]
    controlled.desk.offers["github"] = (tool("delete_repo"), tool("fetch"))
    await controlled.catalogues.known(server)
    change = Change(facts, (), "grant", "User:admin", "ticket 7")
    await controlled.standing.change(change)


async def asked(controlled: Controlled, query: str) -> Said:
    return await say(controlled, "GET", f"/access/who-can?{query}")


def holders(said: Said) -> dict[tuple[str, str | None, bool], dict[str, Any]]:
    return {
        (one["principal"]["type"], one["principal"]["id"], one["acts_for"] is not None): one
        for one in said.document["principals"]
    }


def test_everybody_who_may_is_named_with_who_granted_it_and_until_when(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said]:
        await made(controlled, "/clients", "idle")
        await offering(
            controlled,
            Fact("lease", (Entity("Client", "bot"), "caller", DELETE, SOON)),
            Fact("has_role", (Entity("Team", "ops"), "caller", DELETE)),
            Fact("has_relation", (Entity("User", "bob"), "team", Entity("Team", "ops"))),
        )
        query = "action=call&resource=github__delete_repo"
        return await asked(controlled, query), await asked(controlled, query + "&explain=true")

    plain, explained = told(tmp_path, story)

    found = holders(plain)
    assert set(found) == {
        ("Client", "ci", False),
        ("Client", "bot", False),
        ("User", "bob", False),
        ("Client", "ci", True),
        ("Client", "bot", True),
    }
    assert found["Client", "bot", False]["until"] == SOON
    assert found["Client", "ci", True]["acts_for"] == [{"type": "User", "id": "bob"}]
    assert {one["access"] for one in found.values()} == {"always"}
    assert plain.document["asked"] >= len(found)
    assert all(one["proofs"] is None for one in found.values())
    bob = holders(explained)["User", "bob", False]
    assert bob["rules"][0].startswith("allow.polar:")
    assert {(one["predicate"], one["added_by"], one["why"]) for one in bob["facts"]} >= {
        ("has_role", "User:admin", "ticket 7"),
        ("has_relation", "User:admin", "ticket 7"),
    }
    assert all(proof[-1]["predicate"] == "allow" for proof in bob["proofs"])


def test_what_depends_on_the_arguments_is_told_as_terms(tmp_path: Path) -> None:
    fetch = Entity("Tool", "github__fetch")

    async def story(controlled: Controlled) -> Said:
        await offering(
            controlled,
            Fact("has_tag", (fetch, "guarded")),
            Fact("allowed_host", (fetch, "*.example.com")),
            Fact("amount_limit", (fetch, 5)),
        )
        return await asked(controlled, "action=call&resource=fetch&server=github")

    ci = holders(told(tmp_path, story))["Client", "ci", False]

    assert (ci["access"], ci["until"]) == ("sometimes", None)
    assert sorted(map(sorted, ci["ways"])) == [
        [
            "amount <= 5",
            "amount >= 0",
            'argument(Tool{"github__fetch"}, "amount", amount)',
        ],
        ['argument_host(Tool{"github__fetch"}, "url", "*.example.com")'],
    ]


ROWS = (
    ("action=call&resource=nowhere__tool", 404, "unknown-server"),
    ("action=call&resource=github__none", 404, "unknown-item"),
    ("action=list&resource=github__none", 422, "invalid"),
    ("action=call&resource=matching:github__*", 422, "invalid"),
    ("action=call&resource=a%20b", 422, "invalid"),
    ("action=manage_grants&resource=gateway", 200, None),
    ("action=fly&resource=server:github", 200, None),
)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        await offering(controlled)
        return [await asked(controlled, query) for query, _, _ in ROWS]

    for row, said in zip(ROWS, told(tmp_path, story), strict=True):
        assert (row[0], said.status, said.document.get("code")) == row


def test_only_who_manages_grants_is_told(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        token = controlled.token(AUDITOR)
        query = "/access/who-can?action=connect&resource=github"
        return await say(controlled, "GET", query, token=token)

    assert told(tmp_path, story).status == 403
