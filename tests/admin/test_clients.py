"""Clients: made, found, given what they may use, suspended and deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from proxy.admin.routes import Nothing, Route, Table, Visit
from proxy.identity.keyring import Plane
from proxy.identity.refusal import RefusedError
from proxy.listener.answers import Answer
from storage.facts import Change
from tests.admin.controlled import (
    AUDITOR,
    CI,
    DAY,
    PUBLIC,
    TERRAFORM,
    USER,
    Controlled,
    Said,
    told,
)
from tests.admin.kept import (
    GRANTER,
    KEEPER,
    STAFF,
    changes,
    fields,
    made,
    say,
    stored,
    with_rules,
)
from tests.admin.offered import offering, tool
from tests.listener.served import eventually

BOT = Entity("Client", "bot")


def allowed(*targets: Entity) -> set[Fact]:
    return {Fact("has_role", (BOT, "caller", target)) for target in targets}


def items(id_: str) -> set[Fact]:
    return allowed(Entity("Tool", id_), Entity("Prompt", id_))


def matching(glob: str) -> Fact:
    return Fact("has_role_matching", (BOT, "caller", glob))


def test_a_client_is_made_found_changed_and_deleted(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        await made(controlled, "/teams", "ops")
        new = {"name": "bot", "description": "Builds.", "allow_list": ["github"], "teams": ["ops"]}
        return [
            await say(controlled, "POST", "/clients", new),
            await say(controlled, "GET", "/clients/bot"),
            await say(controlled, "PATCH", "/clients/bot", {"description": "Tests."}),
            await say(controlled, "PATCH", "/clients/bot", {"allow_list": []}),
            await say(controlled, "PUT", "/clients/bot", {"allow_list": ["pay"]}),
            await say(controlled, "DELETE", "/clients/bot"),
            await say(controlled, "GET", "/clients/bot"),
        ]

    created, found, described, emptied, replaced, deleted, gone = told(tmp_path, story)

    assert [one.status for one in (created, found, deleted, gone)] == [201, 200, 204, 404]
    assert found.document | {"warnings": []} == created.document
    assert {**found.document, "created_at": 0} == {
        "name": "bot",
        "description": "Builds.",
        "is_suspended": False,
        "allow_list": ["github"],
        "teams": ["ops"],
        "has_access_token": False,
        "access_token_id": None,
        "access_token_expires_at": None,
        "created_at": 0,
        "created_by": "User:admin",
    }
    assert described.document == created.document | {"description": "Tests."}
    assert emptied.document == described.document | {"allow_list": []}
    # A whole new client takes the place of the old one: what it does not name, it has not.
    assert replaced.document == emptied.document | {
        "description": "",
        "allow_list": ["pay"],
        "teams": [],
    }
    assert deleted.body == b""
    assert gone.document["code"] == "unknown-client"


@pytest.mark.parametrize(
    ("entry", "facts"),
    [
        ("github", allowed(Entity("Server", "github"))),
        ("*", {matching("*")}),
        ("github__get_*", {matching("github__get_*")}),
        ("toolset:triage", allowed(Entity("Toolset", "triage"))),
        ("pay__dun", items("pay__dun")),
        ("aws__ec2__run", items("aws__ec2__run")),
    ],
)  # fmt: skip
def test_an_entry_of_an_allow_list_is_kept_as_facts_and_read_back_as_it_was(
    tmp_path: Path, entry: str, facts: set[Fact]
) -> None:
    async def story(controlled: Controlled) -> tuple[set[Fact], list[str], set[Fact]]:
        await made(controlled, "/clients", "bot", allow_list=[entry])
        found = stored(controlled, "has_role") | stored(controlled, "has_role_matching")
        read = (await say(controlled, "GET", "/clients/bot")).document["allow_list"]
        await say(controlled, "PATCH", "/clients/bot", {"allow_list": []})
        left = stored(controlled, "has_role") | stored(controlled, "has_role_matching")
        return found, read, left

    assert told(tmp_path, story) == (facts, [entry], set())


def test_an_allow_list_is_replaced_in_one_version_and_leaves_other_grants_alone(
    tmp_path: Path,
) -> None:
    grant = {"actor": "client:bot", "role": "caller", "resource": "server:pay"}

    async def story(controlled: Controlled) -> tuple[int, list[str], set[Fact]]:
        await made(controlled, "/clients", "bot", allow_list=["a", "b", "pay"])
        await say(controlled, "POST", "/grants", grant)
        before = controlled.standing.grounds.facts.version
        wanted = {"allow_list": ["b", "c", "c"]}
        said = await say(controlled, "PATCH", "/clients/bot", wanted)
        after = controlled.standing.grounds.facts.version
        return after - before, said.document["allow_list"], stored(controlled, "has_role")

    versions, allow_list, facts = told(tmp_path, story)

    assert versions == 1
    assert allow_list == ["b", "c"]
    assert facts == allowed(*(Entity("Server", name) for name in ("b", "c", "pay")))


def test_what_is_not_offered_is_allowed_with_a_warning(tmp_path: Path) -> None:
    allow_list = ["github", "githup", "github__echo", "github__ech0", "*", "toolset:x", "git*"]

    async def story(controlled: Controlled) -> Said:
        await offering(controlled.catalogues, controlled.desk, "github", tool("echo"))
        new = {"name": "bot", "allow_list": allow_list}
        return await say(controlled, "POST", "/clients", new)

    said = told(tmp_path, story)

    assert said.document["allow_list"] == sorted(allow_list)
    assert [one.split()[0] for one in said.document["warnings"]] == ["githup", "github__ech0", "*"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"name": "a b", "allow_list": ["bad_"]}, ["allow_list.0", "name"]),
        ({"name": "..", "description": 1}, ["description", "name"]),
        ({"name": "bot", "why": "a\nb", "unknown": 1}, ["why", "unknown"]),
        ({"name": "bot", "allow_list": "github", "teams": [""]}, ["allow_list", "teams.0"]),
        ({"allow_list": ["a***", "", "x__"]}, [*(f"allow_list.{n}" for n in range(3)), "name"]),
        ({"name": "bot", "description": "x" * 513, "teams": None}, ["description", "teams"]),
        ({"name": "bot", "teams": ["ops", "dev"]}, ["teams.0", "teams.1"]),
        ({}, ["name"]),
    ],
)  # fmt: skip
def test_every_mistake_about_a_client_is_named(
    tmp_path: Path, body: dict[str, Any], wrong: list[str]
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said, list[str]]:
        said = await say(controlled, "POST", "/clients", body)
        return said, await say(controlled, "GET", "/clients"), changes(controlled)

    said, listed, recorded = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (422, "invalid")
    assert fields(said) == wrong
    assert all(one["problem"].endswith(".") for one in said.document["problems"])
    assert (listed.document["clients"], recorded) == ([], [])


def test_a_name_is_given_once(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], Said, list[str]]:
        new = {"name": "bot", "allow_list": ["github"]}
        at_once = await asyncio.gather(
            *(say(controlled, "POST", "/clients", new) for _ in range(4))
        )
        later = await say(controlled, "POST", "/clients", new | {"allow_list": ["pay"]})
        user = await say(controlled, "POST", "/users", {"name": "bot"})
        assert user.status == 201
        return [*at_once, later], await say(controlled, "GET", "/clients/bot"), changes(controlled)

    said, found, recorded = told(tmp_path, story)

    assert sorted(one.status for one in said) == [201, 409, 409, 409, 409]
    assert {one.document["code"] for one in said if one.status == 409} == {"name-taken"}
    assert found.document["allow_list"] == ["github"]
    assert recorded == ["client.created", "user.created"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST/suspend", "POST/resume"])
def test_who_is_not_there_is_not_made_by_changing_him(tmp_path: Path, method: str) -> None:
    verb, _, what = method.partition("/")

    async def story(controlled: Controlled) -> tuple[Said, set[Fact], list[str]]:
        path = f"/clients/bot/{what}".rstrip("/")
        said = await say(controlled, verb, path, None if verb == "GET" else {})
        return said, stored(controlled, "is_suspended"), changes(controlled)

    said, facts, recorded = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (404, "unknown-client")
    assert (facts, recorded) == (set(), [])


def test_pages_of_clients_follow_each_other_and_are_what_was_asked_for(tmp_path: Path) -> None:
    names = ["Alpha", "alpha-2", "b_1", "bx1", "beta"]

    async def story(controlled: Controlled) -> dict[str, list[str]]:
        await made(controlled, "/clients", *names)
        await say(controlled, "POST", "/clients/beta/suspend")

        async def pages(query: str) -> list[str]:
            found: list[str] = []
            after = ""
            while True:
                said = await say(controlled, "GET", f"/clients?{query}&limit=2{after}")
                found += [one["name"] for one in said.document["clients"]]
                if said.document["next"] is None:
                    return found
                after = f"&after={said.document['next']}"

        queries = ("contains=", "contains=ALPHA", "contains=_", "suspended=true", "suspended=false")
        return {query: await pages(query) for query in queries}

    assert told(tmp_path, story) == {
        "contains=": sorted(names),
        "contains=ALPHA": ["Alpha", "alpha-2"],
        "contains=_": ["b_1"],
        "suspended=true": ["beta"],
        "suspended=false": sorted(set(names) - {"beta"}),
    }


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "suspended=maybe", "after=", "x=1", "contains=%00"]
)
def test_a_list_of_clients_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    said = told(tmp_path, lambda controlled: say(controlled, "GET", f"/clients?{query}"))

    assert (said.status, fields(said)) == (422, [query.partition("=")[0]])


def test_whoever_is_suspended_is_told_of_and_keeps_what_he_has_for_later(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], list[str], list[Any]]:
        await made(controlled, "/clients", "bot", allow_list=["github"])
        said = [
            await say(controlled, "POST", f"/clients/bot/{what}", {"why": "odd calls"})
            for what in ("suspend", "suspend", "resume", "resume")
        ]
        return said, changes(controlled), controlled.records("change")

    said, recorded, records = told(tmp_path, story)

    assert [(one.status, one.document["is_suspended"]) for one in said] == [
        (200, True),
        (200, True),
        (200, False),
        (200, False),
    ]
    assert all(one.document["allow_list"] == ["github"] for one in said)
    assert recorded == ["client.created", "client.suspended", "client.resumed"]
    suspended = records[1].payload
    assert (suspended["why"], suspended["who"]["id"]) == ("odd calls", "admin")
    assert [suspended[which]["is_suspended"] for which in ("before", "after")] == [False, True]


def test_a_suspension_that_the_policy_states_is_not_lifted_here(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said]:
        await made(controlled, "/clients", "bot")
        found = await say(controlled, "GET", "/clients/bot")
        return found, await say(controlled, "POST", "/clients/bot/resume")

    bundle = with_rules(b'is_suspended(Client{"bot"});\n')
    found, said = told(tmp_path, story, bundle=bundle)

    assert found.document["is_suspended"] is True
    assert (said.status, said.document["code"]) == (409, "written-in-policy")
    assert said.document["place"].startswith("more.polar:1")


def test_in_the_worst_night_every_client_is_suspended_but_whoever_does_it(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, set[Any], list[int], list[str]]:
        await made(controlled, "/clients", "a", "b")
        token = controlled.token(TERRAFORM)
        said = await say(controlled, "POST", "/clients/suspend-all", {"why": "T"}, token=token)
        again = await say(controlled, "POST", "/clients/suspend-all", token=token)
        still = await say(controlled, "GET", "/clients", token=token)
        facts = {fact.args[0] for fact in stored(controlled, "is_suspended")}
        return said, facts, [again.status, still.status], changes(controlled)

    said, suspended, statuses, recorded = told(tmp_path, story)

    # ci has a grant and nobody made it: it is known all the same.
    assert said.document == {"suspended": ["a", "b", "ci"]}
    assert suspended == {Entity("Client", name) for name in ("a", "b", "ci")}
    assert statuses == [200, 200]
    assert recorded[-1] == "clients.suspended"
    assert recorded.count("clients.suspended") == 1


def test_hundreds_of_clients_are_suspended_at_once(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[int, int]:
        tags = tuple(Fact("has_tag", (Entity("Client", f"c{n}"), "x")) for n in range(620))
        await controlled.standing.change(Change(tags, (), "test", "System:test", ""))
        said = await say(controlled, "POST", "/clients/suspend-all")
        return len(said.document["suspended"]), len(stored(controlled, "is_suspended"))

    assert told(tmp_path, story) == (622, 622)


def test_with_a_client_end_its_tokens_grants_leases_and_teams(tmp_path: Path) -> None:
    lease = {"actor": "client:bot", "role": "viewer", "resource": "server:pay", "until": "2h"}
    other = {"actor": "client:other", "role": "caller", "resource": "server:pay"}

    async def story(controlled: Controlled) -> tuple[list[Any], list[Said], list[str], set[Fact]]:
        await made(controlled, "/teams", "ops")
        await made(controlled, "/clients", "bot", "other", allow_list=["github"], teams=["ops"])
        for grant in (lease, other):
            await say(controlled, "POST", "/grants", grant)
        tokens = {}
        for name in ("bot", "other"):
            issued = await say(controlled, "POST", f"/clients/{name}/tokens", {})
            tokens[name] = issued.document["token"]
        said = [await say(controlled, "DELETE", "/clients/bot", {"why": "left"})]
        verifier = controlled.planes[Plane.DATA].verifier
        good = []
        for token in tokens.values():
            try:
                good.append(verifier.verify(token, frozenset({PUBLIC})).id)
            except RefusedError as refused:
                good.append(refused.reason.value)
        said.append(await say(controlled, "GET", "/tokens?subject=client:bot"))
        said.append(await say(controlled, "DELETE", "/clients/bot"))
        facts = controlled.standing.grounds.facts.facts()
        about = {fact for fact, _ in facts if Entity("Client", "bot") in fact.args}
        return good, said, changes(controlled), about

    good, [deleted, listed, again], recorded, about = told(tmp_path, story)

    assert good == ["token_revoked", "other"]
    assert (deleted.status, again.status) == (204, 204)
    assert listed.document["tokens"][0]["revoked_by"] == "User:admin"
    assert about == set()
    # To delete again changes nothing, and so leaves no record.
    assert recorded[-2:] == ["client.deleted", "tokens.revoked"]


def test_a_name_that_is_used_again_has_nothing_of_what_it_had(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Any:  # noqa: ANN401
        await made(controlled, "/clients", "bot", allow_list=["*"])
        await say(controlled, "POST", "/clients/bot/suspend")
        await say(controlled, "DELETE", "/clients/bot")
        await made(controlled, "/clients", "bot")
        return (await say(controlled, "GET", "/clients/bot")).document

    found = told(tmp_path, story)

    assert (found["allow_list"], found["is_suspended"]) == ([], False)


def test_what_was_done_lasts_over_a_restart(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Any:  # noqa: ANN401
        await made(controlled, "/clients", "bot", "gone", allow_list=["github", "pay__*"])
        await say(controlled, "POST", "/clients/bot/suspend")
        await say(controlled, "DELETE", "/clients/gone")
        return (await say(controlled, "GET", "/clients")).document

    async def then(controlled: Controlled) -> Any:  # noqa: ANN401
        return (await say(controlled, "GET", "/clients")).document

    before = told(tmp_path, story)

    assert told(tmp_path, then) == before
    assert [one["name"] for one in before["clients"]] == ["bot"]


def test_r05_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    asked: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/clients", {"name": "new"}),
        ("PATCH", "/clients/bot", {"allow_list": ["*"]}),
        ("POST", "/clients/bot/suspend", {}),
        ("POST", "/clients/suspend-all", {}),
        ("DELETE", "/clients/bot", None),
    )

    async def story(controlled: Controlled) -> tuple[list[int], Any, Any]:
        await made(controlled, "/clients", "bot", allow_list=["github"])
        before = (await say(controlled, "GET", "/clients")).document
        controlled.disk.is_full = True
        statuses = [(await say(controlled, *one)).status for one in asked]
        controlled.disk.is_full = False
        await controlled.listed()
        return statuses, before, (await say(controlled, "GET", "/clients")).document

    statuses, before, after = told(tmp_path, story)

    assert statuses == [503] * len(asked)
    assert after == before


def test_a_change_is_brought_to_its_end_when_its_sender_leaves(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Any:  # noqa: ANN401
        await made(controlled, "/clients", "bot")
        async with controlled.database.changing():
            # The change waits for the database, which somebody else has.
            wanted = {"allow_list": ["github"]}
            asking = asyncio.create_task(say(controlled, "PATCH", "/clients/bot", wanted))
            await eventually(lambda: "client.updated" in changes(controlled))
            asking.cancel()
            await asyncio.wait([asking])
        await eventually(lambda: bool(stored(controlled, "has_role")))
        return (await say(controlled, "GET", "/clients/bot")).document["allow_list"]

    assert told(tmp_path, story) == ["github"]


def test_t08_whoever_only_keeps_clients_gives_and_takes_no_rights(tmp_path: Path) -> None:
    asked: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/clients", {"name": "new"}),
        ("POST", "/clients", {"name": "newer", "allow_list": ["github"]}),
        ("PATCH", "/clients/bot", {"description": "x", "allow_list": ["github"]}),
        ("PATCH", "/clients/bot", {"allow_list": ["github", "pay"]}),
        ("PUT", "/clients/bot", {}),
        ("PATCH", "/clients/bot", {"allow_list": ["github"], "teams": ["admins"]}),
        ("POST", "/clients/bot/suspend", {}),
        ("POST", "/clients/bot/resume", {}),
        ("DELETE", "/clients/bot", None),
    )

    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        await made(controlled, "/teams", "admins")
        await made(controlled, "/clients", "bot", allow_list=["github"])
        token = controlled.token(KEEPER)
        said = [await say(controlled, *one, token=token) for one in asked]
        return [(one.status, (one.document or {}).get("action", "")) for one in said]

    assert told(tmp_path, story, bundle=with_rules()) == [
        (201, ""),
        (403, "manage_grants"),
        (200, ""),
        (403, "manage_grants"),
        (403, "manage_grants"),
        (403, "manage_grants"),
        (200, ""),
        (200, ""),
        (204, ""),
    ]


GUARDED = {
    "manage_clients": (
        ("GET", "/clients"),
        ("POST", "/clients"),
        ("POST", "/clients/suspend-all"),
        ("POST", "/clients/resume-all"),
        ("GET", "/clients/x"),
        ("PUT", "/clients/x"),
        ("PATCH", "/clients/x"),
        ("POST", "/clients/x/suspend"),
        ("POST", "/clients/x/resume"),
        ("DELETE", "/clients/x"),
    ),
    "manage_users": (
        *(
            (method, f"/{kind}{rest}")
            for kind in ("users", "teams")
            for method, rest in (
                ("GET", ""),
                ("POST", ""),
                ("GET", "/x"),
                ("PUT", "/x"),
                ("PATCH", "/x"),
                ("POST", "/x/suspend"),
                ("POST", "/x/resume"),
                ("DELETE", "/x"),
            )
        ),
        ("PUT", "/users/x/roles"),
    ),
    "manage_grants": (
        ("GET", "/grants"),
        ("POST", "/grants"),
        ("DELETE", "/grants"),
        ("DELETE", "/grants/1"),
        ("GET", "/facts"),
        ("POST", "/facts"),
        ("DELETE", "/facts"),
        ("GET", "/access/who-can"),
    ),
}
CALLERS: dict[str, tuple[Any, set[str]]] = {
    "client with admin": (TERRAFORM, set(GUARDED)),
    "keeper": (KEEPER, {"manage_clients"}),
    "staff": (STAFF, {"manage_users"}),
    "granter": (GRANTER, {"manage_grants"}),
    "auditor": (AUDITOR, set()),
    "user": (USER, set()),
    "client": (CI, set()),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_t08_each_caller_gets_exactly_what_he_may_at_each_endpoint(
    tmp_path: Path, caller: str
) -> None:
    who, may = CALLERS[caller]

    async def story(controlled: Controlled) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for action, routes in GUARDED.items():
            for method, path in routes:
                body = None if method == "GET" else {"no": "such"}
                said = await say(controlled, method, path, body, token=controlled.token(who))
                is_denied = said.status == 403 and said.document["action"] == action
                assert is_denied or said.status in {200, 404, 422}
                found.setdefault(action, set()).add("denied" if is_denied else "done")
        assert changes(controlled) == []
        return found

    assert told(tmp_path, story, bundle=with_rules()) == {
        action: {"done" if action in may else "denied"} for action in GUARDED
    }


@pytest.mark.parametrize("caller", ["nobody", "data plane", "expired"])
def test_t06_without_a_good_token_there_is_nothing_to_see(tmp_path: Path, caller: str) -> None:
    async def story(controlled: Controlled) -> tuple[set[int], list[Any]]:
        text = None
        if caller == "data plane":
            text = controlled.token(plane=Plane.DATA)
        elif caller == "expired":
            controlled.clock.offset = -DAY
            text = controlled.token(life=60)
            controlled.clock.offset = 0
        # All at once: each waits a while for a key that another process may have made.
        asked = (
            controlled.ask(method, f"/api/v0{path}", text)
            for routes in GUARDED.values()
            for method, path in routes
        )
        statuses = {said.status for said in await asyncio.gather(*asked)}
        return statuses, controlled.records()

    assert told(tmp_path, story) == ({401}, [])


def test_the_guarded_routes_are_all_there_are(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> set[tuple[str, str, Any]]:
        return {
            (route.access, route.method, route.path.removeprefix("/api/v0"))
            for route in controlled.table.routes
            if route.access in GUARDED
        }

    listed = {
        (action, method, path.replace("/x", "/{name}").replace("/1", "/{grant_id}"))
        for action, routes in GUARDED.items()
        for method, path in routes
    }
    assert told(tmp_path, story) == listed


def test_a_word_in_a_path_is_found_before_an_open_segment_takes_it() -> None:
    async def handler(_visit: Visit, _nothing: Nothing) -> Answer:
        return Answer(204)

    routes = [
        Route("GET", "/a/{name}", "x", Nothing, handler),
        Route("POST", "/a/all", "x", Nothing, handler),
    ]
    table = Table(routes)

    assert table.find("POST", "/a/all")[0] is routes[1]
    assert table.find("GET", "/a/all") == (routes[0], {"name": "all"})
