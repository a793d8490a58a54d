"""Users: their roles, who may give them, and that one admin is always left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from storage.facts import Change, FactLedger
from tests.admin.controlled import ADMIN, ROOT, Controlled, Said, told
from tests.admin.kept import STAFF, changes, fields, made, say, stored, with_rules

ANN = Entity("User", "ann")
BOB = Entity("User", "bob")


async def roles_of(controlled: Controlled, name: str) -> list[str]:
    roles: list[str] = (await say(controlled, "GET", f"/users/{name}")).document["roles"]
    return roles


async def give(controlled: Controlled, name: str, *roles: str, token: str | None = None) -> Said:
    body = {"roles": list(roles)}
    return await say(controlled, "PUT", f"/users/{name}/roles", body, token=token)


def test_a_user_is_made_found_changed_and_deleted(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        await made(controlled, "/teams", "ops")
        new = {"name": "bob", "roles": ["user", "auditor"]}
        return [
            await say(controlled, "POST", "/users", new),
            await say(controlled, "PATCH", "/users/bob", {"teams": ["ops"], "description": "B."}),
            await give(controlled, "bob", "auditor", "auditor"),
            await say(controlled, "PUT", "/users/bob", {}),
            await say(controlled, "DELETE", "/users/bob"),
            await say(controlled, "DELETE", "/users/bob"),
        ]

    created, changed, given, replaced, deleted, again = told(tmp_path, story)

    assert created.status == 201
    assert {**created.document, "created_at": 0} == {
        "name": "bob",
        "description": "",
        "is_suspended": False,
        "teams": [],
        "roles": ["auditor", "user"],
        "has_access_token": False,
        "access_token_id": None,
        "access_token_expires_at": None,
        "created_at": 0,
        "created_by": "User:admin",
    }
    assert changed.document == created.document | {"teams": ["ops"], "description": "B."}
    assert given.document == changed.document | {"roles": ["auditor"]}
    # Roles have a route of their own, and stay.
    assert replaced.document == created.document | {"roles": ["auditor"]}
    assert deleted.status == 204
    assert (again.status, again.document["code"]) == (404, "unknown-user")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"name": "b:c", "roles": ["amdin"]}, ["name", "roles"]),
        ({"name": "bob", "roles": "admin", "teams": ["a b"]}, ["roles", "teams.0"]),
        ({"name": "bob", "roles": ["caller"], "role": "user"}, ["roles", "role"]),
        ({"name": "x" * 129, "why": 1}, ["why", "name"]),
    ],
)
def test_every_mistake_about_a_user_is_named(
    tmp_path: Path, body: dict[str, Any], wrong: list[str]
) -> None:
    said = told(tmp_path, lambda controlled: say(controlled, "POST", "/users", body))

    assert (said.status, sorted(fields(said))) == (422, sorted(wrong))


def test_the_roles_that_there_are_are_told_to_whoever_writes_another(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        await made(controlled, "/users", "bob")
        return await give(controlled, "bob", "amdin")

    [problem] = told(tmp_path, story).document["problems"]

    assert problem["problem"] == "The policy knows these roles: admin, auditor, user."


def test_there_are_as_many_admins_as_are_made(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        await made(controlled, "/users", "bob", roles=["admin"])
        bob, eli = (controlled.token((ROOT[0], name)) for name in ("bob", "eli"))
        return [
            (await say(controlled, "POST", "/users", {"name": "eli"}, token=bob)).status,
            (await give(controlled, "eli", "admin", token=bob)).status,
            (await say(controlled, "GET", "/users", token=eli)).status,
        ]

    assert told(tmp_path, story) == [201, 200, 200]


async def _nothing(controlled: Controlled) -> None:
    del controlled


async def _another_suspended(controlled: Controlled) -> None:
    await made(controlled, "/users", "bob", roles=["admin"])
    await say(controlled, "POST", "/users/bob/suspend")


async def _a_suspended_team(controlled: Controlled) -> None:
    await controlled.state("has_role", "Team", "ops", "admin")
    await made(controlled, "/teams", "ops")
    await made(controlled, "/users", "bob", teams=["ops"])
    await say(controlled, "POST", "/teams/ops/suspend")


@pytest.mark.parametrize("before", [_nothing, _another_suspended, _a_suspended_team])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/users/admin", None),
        ("POST", "/users/admin/suspend", {}),
        ("PUT", "/users/admin/roles", {"roles": ["auditor"]}),
    ],
)
def test_the_last_admin_stays(
    tmp_path: Path,
    before: Callable[[Controlled], Awaitable[None]],
    method: str,
    path: str,
    body: object,
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str], list[str], int]:
        await say(controlled, "POST", "/users/admin/tokens", {})
        await before(controlled)
        recorded = changes(controlled)
        said = await say(controlled, method, path, body)
        new = changes(controlled)[len(recorded) :]
        listed = await say(controlled, "GET", "/users/admin")
        return said, new, listed.document["roles"], listed.status

    said, recorded, roles, status = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (409, "last-admin")
    assert (recorded, roles, status) == ([], ["admin"], 200)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/users/admin", None),
        ("POST", "/users/admin/suspend", {}),
        ("PUT", "/users/admin/roles", {"roles": ["auditor"]}),
    ],
)
def test_an_admin_stays_if_another_process_has_just_taken_away_the_other(
    tmp_path: Path, method: str, path: str, body: object
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, str, list[str], int]:
        await say(controlled, "POST", "/users/admin/tokens", {})
        await made(controlled, "/users", "bob", roles=["admin"])
        # Unseen so far by the process that is asked.
        elsewhere = FactLedger(controlled.database, controlled.clock)
        suspended = (Fact("is_suspended", (BOB,)),)
        await elsewhere.change(Change(suspended, (), "identity", "User:eve", "gone"))
        said = await say(controlled, method, path, body)
        last = changes(controlled)[-1]
        listed = await say(controlled, "GET", "/users/admin")
        return said, last, listed.document["roles"], listed.status

    said, last, roles, status = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (409, "last-admin")
    assert (last, roles, status) == ("unchanged", ["admin"], 200)


def test_an_admin_may_go_though_another_process_changes_the_facts_meanwhile(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled) -> tuple[int, list[str]]:
        await made(controlled, "/users", "bob", roles=["admin"])
        elsewhere = FactLedger(controlled.database, controlled.clock)
        tagged = (Fact("has_tag", (Entity("Server", "github"), "x")),)
        await elsewhere.change(Change(tagged, (), "grant", "User:eve", ""))
        said = await say(controlled, "POST", "/users/bob/suspend", {})
        return said.status, changes(controlled)[-1:]

    assert told(tmp_path, story) == (200, ["user.suspended"])


def test_the_team_that_makes_the_last_admin_stays(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        await controlled.state("has_role", "Team", "ops", "admin")
        await made(controlled, "/teams", "ops")
        await made(controlled, "/users", "bob", teams=["ops"])
        await say(controlled, "POST", "/users/admin/tokens", {})
        bob = controlled.token((ROOT[0], "bob"))
        asked: tuple[tuple[str, str, Any], ...] = (
            ("DELETE", "/users/admin", None),
            ("DELETE", "/teams/ops", None),
            ("POST", "/teams/ops/suspend", {}),
            ("PATCH", "/users/bob", {"teams": []}),
        )
        return [(await say(controlled, *one, token=bob)).status for one in asked]

    assert told(tmp_path, story) == [204, 409, 409, 409]


def test_an_admin_whom_the_policy_states_is_one_that_is_left(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        await say(controlled, "POST", "/users/admin/tokens", {})
        return await say(controlled, "DELETE", "/users/admin")

    bundle = with_rules(b'has_role(User{"boss"}, "admin");\n')

    assert told(tmp_path, story, bundle=bundle).status == 204


def test_of_two_admins_who_suspend_each_other_at_once_one_is_left(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        await say(controlled, "POST", "/users/admin/tokens", {})
        await made(controlled, "/users", "bob", roles=["admin"])
        bob = controlled.token((ROOT[0], "bob"))
        asked = (
            say(controlled, "POST", "/users/bob/suspend"),
            say(controlled, "POST", "/users/admin/suspend", token=bob),
        )
        return [one.status for one in await asyncio.gather(*asked)]

    statuses = told(tmp_path, story)

    assert 200 in statuses
    assert statuses != [200, 200]


def test_t08_whoever_only_manages_users_makes_nobody_more_than_he_is(tmp_path: Path) -> None:
    asked: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/users", {"name": "new"}),
        ("POST", "/users", {"name": "newer", "roles": ["admin"]}),
        ("PUT", "/users/new/roles", {"roles": ["admin"]}),
        ("PUT", "/users/staff/roles", {"roles": ["user"]}),
        ("PATCH", "/users/staff", {"teams": ["admins"]}),
        ("POST", "/teams", {"name": "more"}),
    )

    async def story(controlled: Controlled) -> tuple[list[tuple[int, str]], set[Fact], set[Fact]]:
        await made(controlled, "/teams", "admins")
        await made(controlled, "/users", "staff")
        token = controlled.token(STAFF)
        said = [await say(controlled, *one, token=token) for one in asked]
        found = [(one.status, one.document.get("action", "")) for one in said]
        return found, stored(controlled, "has_role"), stored(controlled, "has_relation")

    found, roles, teams = told(tmp_path, story, bundle=with_rules())

    assert found == [
        (201, ""),
        *[(403, "manage_grants")] * 4,
        (201, ""),
    ]
    assert (roles, teams) == (set(), set())


def test_a_new_role_for_auditors_is_an_edit_of_the_policy_alone(tmp_path: Path) -> None:
    rule = b"""
has_permission(user: User, action: String, _: Gateway) if
  has_role(user, "night_watch")
  and action in ["manage_clients", "read_decisions"];
"""
    roles = 'roles = ["admin", "auditor", "user"]'
    bundle = with_rules(rule, types=(roles, roles.replace("]", ', "night_watch"]')))

    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        await made(controlled, "/users", "bob", roles=["night_watch"])
        await made(controlled, "/clients", "bot", allow_list=["*"])
        bob = controlled.token((ROOT[0], "bob"))
        said = [
            await say(controlled, "GET", "/clients", token=bob),
            await say(controlled, "POST", "/clients/suspend-all", token=bob),
            await say(controlled, "GET", "/grants", token=bob),
            await say(controlled, "PUT", "/users/bob/roles", {"roles": ["admin"]}, token=bob),
        ]
        return [(one.status, one.document.get("action", "")) for one in said]

    assert told(tmp_path, story, bundle=bundle) == [
        (200, ""),
        (200, ""),
        (403, "manage_grants"),
        (403, "manage_users"),
    ]


def test_a_user_who_is_deleted_or_suspended_may_do_nothing_from_the_next_call_on(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled) -> list[int]:
        await made(controlled, "/users", "bob", "eli", roles=["admin"])
        tokens = {}
        for name in ("bob", "eli"):
            path = f"/users/{name}/tokens"
            tokens[name] = (await say(controlled, "POST", path, {"audience": ADMIN})).document
        statuses = []
        for how in (("DELETE", "/users/bob"), ("POST", "/users/eli/suspend")):
            assert (await say(controlled, *how)).status in {200, 204}
        for one in tokens.values():
            said = await say(controlled, "GET", "/users", token=one["token"])
            statuses.append(said.status)
        await say(controlled, "POST", "/users/eli/resume")
        said = await say(controlled, "GET", "/users", token=tokens["eli"]["token"])
        return [*statuses, said.status]

    # A token that is revoked, a user who may not, and one who may again.
    assert told(tmp_path, story) == [401, 403, 200]


def test_no_secret_is_in_what_is_told_of_identities(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[str], list[bytes]]:
        await made(controlled, "/users", "bob")
        await made(controlled, "/clients", "bot")
        secrets = [
            (await say(controlled, "POST", f"/{path}/tokens", {})).document["token"]
            for path in ("users/bob", "clients/bot")
        ]
        asked = ("/users", "/users/bob", "/clients", "/clients/bot", "/teams", "/grants")
        return secrets, [(await say(controlled, "GET", path)).body for path in asked]

    secrets, bodies = told(tmp_path, story)

    assert [body for body in bodies for secret in secrets if secret.encode() in body] == []
