"""Teams: made and deleted, and what is granted to one while somebody is in it."""

from __future__ import annotations

from pathlib import Path

from policies.model import Entity
from tests.admin.controlled import Controlled, Said, told
from tests.admin.kept import changes, fields, made, say


def test_a_team_tells_who_is_in_it(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        created = await say(controlled, "POST", "/teams", {"name": "ops", "description": "O."})
        await made(controlled, "/users", "bob", "ann", teams=["ops"])
        await made(controlled, "/clients", "bot", teams=["ops"])
        return [
            created,
            await say(controlled, "GET", "/teams/ops"),
            await say(controlled, "PUT", "/teams/ops", {"description": "Night."}),
            await say(controlled, "PATCH", "/teams/ops", {"why": "nothing"}),
            await say(controlled, "GET", "/teams"),
        ]

    created, found, replaced, unchanged, listed = told(tmp_path, story)

    assert created.status == 201
    assert found.document["members"] == ["client:bot", "user:ann", "user:bob"]
    assert replaced.document == created.document | {"description": "Night."}
    assert unchanged.document == replaced.document
    assert listed.document == {"teams": [replaced.document], "next": None}


def test_with_a_team_end_its_grants_and_its_memberships(tmp_path: Path) -> None:
    grant = {"actor": "team:ops", "role": "caller", "resource": "server:github"}

    async def story(controlled: Controlled) -> tuple[list[int], object, set[Entity], list[str]]:
        await made(controlled, "/teams", "ops", "dev")
        await made(controlled, "/users", "bob", teams=["ops", "dev"])
        await say(controlled, "POST", "/grants", grant)
        statuses = [(await say(controlled, "DELETE", "/teams/ops")).status for _ in range(2)]
        bob = (await say(controlled, "GET", "/users/bob")).document
        facts = controlled.standing.grounds.facts.facts()
        named = {one for fact, _ in facts for one in fact.args if isinstance(one, Entity)}
        return statuses, bob["teams"], named, changes(controlled)

    statuses, teams, named, recorded = told(tmp_path, story)

    assert (statuses, teams) == ([204, 404], ["dev"])
    assert Entity("Team", "ops") not in named
    assert recorded.count("team.deleted") == 1


def test_nobody_is_put_into_a_team_that_there_is_not(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], list[str]]:
        await made(controlled, "/teams", "dev")
        await made(controlled, "/users", "bob")
        said = [
            await say(controlled, method, path, {"teams": ["dev", "ops"]} | more)
            for method, path, more in (
                ("PATCH", "/users/bob", {}),
                ("PUT", "/users/bob", {}),
                ("POST", "/users", {"name": "eli"}),
                ("POST", "/clients", {"name": "bot"}),
            )
        ]
        return said, changes(controlled)

    said, recorded = told(tmp_path, story)

    assert [(one.status, fields(one)) for one in said] == [(422, ["teams.1"])] * 4
    assert recorded == ["team.created", "user.created"]
