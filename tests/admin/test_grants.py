"""Grants: made, leased, ended, and known as they were at any moment that ever was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from tests.admin.controlled import Controlled, Said, told
from tests.admin.kept import changes, fields, made, say, stored, with_rules

BOT = Entity("Client", "bot")
GITHUB = {"actor": "client:bot", "role": "caller", "resource": "server:github"}
PATTERN = {"actor": "client:bot", "role": "viewer", "resource": "matching:github__get_*"}


def words(said: Said) -> list[tuple[str, str, str]]:
    return [(one["actor"], one["role"], one["resource"]) for one in said.document["grants"]]


async def listed(controlled: Controlled, query: str = "") -> Said:
    return await say(controlled, "GET", f"/grants?actor=client:bot{query}")


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        (GITHUB, Fact("has_role", (BOT, "caller", Entity("Server", "github")))),
        (
            GITHUB | {"actor": "team:ops", "resource": "tool:aws__ec2__run"},
            Fact("has_role", (Entity("Team", "ops"), "caller", Entity("Tool", "aws__ec2__run"))),
        ),
        (
            GITHUB | {"actor": "user:https://issuer.example:ann", "resource": "prompt:pay__dun"},
            Fact(
                "has_role",
                (
                    Entity("User", "https://issuer.example:ann"),
                    "caller",
                    Entity("Prompt", "pay__dun"),
                ),
            ),
        ),
        (
            GITHUB | {"role": "viewer", "resource": "document:github|file:///a%20b"},
            Fact("has_role", (BOT, "viewer", Entity("Document", "github|file:///a%20b"))),
        ),
        (
            GITHUB | {"resource": "toolset:triage"},
            Fact("has_role", (BOT, "caller", Entity("Toolset", "triage"))),
        ),
        (PATTERN, Fact("has_role_matching", (BOT, "viewer", "github__get_*"))),
        (
            GITHUB | {"until": "2099-01-01T00:00:00+01:00"},
            Fact("lease", (BOT, "caller", Entity("Server", "github"), 4070905200)),
        ),
    ],
)
def test_a_grant_is_made_once_told_with_who_and_why_and_ended(
    tmp_path: Path, body: dict[str, Any], fact: Fact
) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], list[bool], list[Any]]:
        def holds() -> bool:
            return bool(controlled.standing.grounds.facts.origins(fact))

        said = [await say(controlled, "POST", "/grants", body | {"why": "ticket 7"})]
        held = [holds()]
        said.append(await say(controlled, "POST", "/grants", body))
        said.append(await say(controlled, "GET", f"/grants?actor={body['actor']}"))
        end = {name: body[name] for name in ("actor", "role", "resource")}
        said += [await say(controlled, "DELETE", "/grants", end) for _ in range(2)]
        return said, [*held, holds()], controlled.records("change")

    [first, second, found, ended, again], held, records = told(tmp_path, story)

    assert held == [True, False]
    assert [one.status for one in (first, second, found, ended, again)] == [201, 200, 200, 200, 404]
    assert second.document == first.document
    assert found.document["grants"] == [first.document]
    grant = {name: first.document[name] for name in ("actor", "role", "resource", "until")}
    assert grant == {name: body[name] for name in ("actor", "role", "resource")} | {
        "until": fact.args[3] if fact.predicate == "lease" else None
    }
    assert (first.document["added_by"], first.document["why"]) == ("User:admin", "ticket 7")
    assert again.document["code"] == "unknown-grant"
    assert [one.payload["what"] for one in records] == ["grant.made", "grant.ended"]
    assert (records[0].payload["why"], records[0].payload["after"]) == ("ticket 7", grant)
    assert records[1].payload["before"] == [grant | {"origin": "grant"}]


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"actor": "bot", "resource": "github"}, ["actor", "resource"]),
        ({"actor": "client:", "role": "boss"}, ["actor", "role"]),
        ({"role": "admin", "resource": "gateway:northgate"}, ["role", "resource"]),
        ({"resource": "tool:github", "until": "soon"}, ["resource", "until"]),
        ({"resource": "server:a__b", "until": "2001-01-01T00:00:00Z"}, ["resource", "until"]),
        ({"resource": "document:github|FILE:///a", "until": "2099-01-01"}, ["resource", "until"]),
        ({"resource": "matching:a***", "until": "0"}, ["resource", "until"]),
        ({"resource": "matching:" + "x" * 385, "why": 3}, ["why", "resource"]),
        ({"resource": "toolset:a b", "until": 60}, ["resource", "until"]),
        ({"actor": "client:a\u00a0b", "resource": "document:github"}, ["actor", "resource"]),
        ({"actor": None, "grant": "all"}, ["actor", "grant"]),
        ({"resource": "matching:github__*", "until": "2h"}, ["until"]),
        ({"until": "9999999999d"}, ["until"]),
        ({"until": "999999999d"}, ["until"]),
    ],
)
def test_every_mistake_about_a_grant_is_named(
    tmp_path: Path, wrong: dict[str, Any], names: list[str]
) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[str]]:
        return await say(controlled, "POST", "/grants", GITHUB | wrong), changes(controlled)

    said, recorded = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (422, "invalid")
    assert fields(said) == names
    assert all(one["problem"].endswith(".") for one in said.document["problems"])
    assert recorded == []


def test_a_lease_gives_until_it_ends_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], set[Fact], Said, set[Fact]]:
        said = [
            await say(controlled, "POST", "/grants", GITHUB | {"until": until})
            for until in ("60", "30m", "2h", "1d")
        ]
        await say(controlled, "POST", "/grants", GITHUB)
        leases = stored(controlled, "lease")
        ended = await say(controlled, "DELETE", "/grants", GITHUB)
        return said, leases, ended, stored(controlled, "lease") | stored(controlled, "has_role")

    before = datetime.now(UTC).timestamp()
    said, leases, ended, left = told(tmp_path, story)

    for one, seconds in zip(said, (60, 1800, 7200, 86_400), strict=True):
        assert one.status == 201
        assert before + seconds - 1 <= one.document["until"] <= before + seconds + 60
    assert [fact.args[3] for fact in leases] == [said[-1].document["until"]]
    # Whoever ends a grant means all that gives the same.
    assert len(ended.document["ended"]) == 2
    assert left == set()


def test_a_grant_is_ended_by_its_id_and_only_once(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], list[tuple[str, str, str]]]:
        made_ = (await say(controlled, "POST", "/grants", GITHUB)).document["id"]
        await say(controlled, "POST", "/grants", PATTERN)
        [admin] = (await say(controlled, "GET", "/grants?actor=user:admin")).document["grants"]
        ids = (made_, made_, "0", "x", "9" * 30, admin["id"])
        statuses = [(await say(controlled, "DELETE", f"/grants/{one}")).status for one in ids]
        return statuses, words(await listed(controlled))

    statuses, left = told(tmp_path, story)

    # A role everywhere is no grant on something: it is ended where it is given.
    assert statuses == [200, 404, 404, 404, 404, 404]
    assert left == [("client:bot", "viewer", "matching:github__get_*")]


def test_what_an_allow_list_gives_is_ended_by_ending_the_grant(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Any]:
        await made(controlled, "/clients", "bot", allow_list=["github", "pay"])
        await say(controlled, "POST", "/grants", GITHUB)
        ended = await say(controlled, "DELETE", "/grants", GITHUB)
        return ended, (await say(controlled, "GET", "/clients/bot")).document["allow_list"]

    ended, allow_list = told(tmp_path, story)

    assert sorted(one["origin"] for one in ended.document["ended"]) == ["allow_list", "grant"]
    assert allow_list == ["pay"]


def test_a_grant_that_the_policy_states_is_not_ended_here(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[tuple[str, str, str]]]:
        await say(controlled, "POST", "/grants", GITHUB)
        said = await say(controlled, "DELETE", "/grants", GITHUB)
        return said, words(await listed(controlled))

    bundle = with_rules(b'has_role(Client{"bot"}, "caller", Server{"github"});\n')
    said, left = told(tmp_path, story, bundle=bundle)

    assert (said.status, said.document["code"]) == (409, "written-in-policy")
    assert said.document["place"].startswith("more.polar:1")
    assert left == [("client:bot", "caller", "server:github")]


def test_a_list_is_of_what_was_asked_for_and_nothing_like_it(tmp_path: Path) -> None:
    grants = (
        ("client:bot", "caller", "server:github"),
        ("client:bot", "viewer", "server:pay"),
        ("client:Bot", "caller", "server:github"),
        ("client:bot%", "caller", "server:github"),
        ("team:bot", "caller", "server:github"),
        ("client:bot", "caller", "tool:github__echo"),
        ("client:bot", "caller", "matching:caller"),
    )

    async def story(controlled: Controlled) -> dict[str, list[tuple[str, str, str]]]:
        for actor, role, resource in grants:
            body = {"actor": actor, "role": role, "resource": resource}
            assert (await say(controlled, "POST", "/grants", body)).status == 201
        queries = (
            "actor=client:bot",
            "actor=client:bot&role=viewer",
            "actor=client:bot%25",
            "role=caller&resource=server:github",
            "resource=matching:caller",
            "resource=everywhere",
        )
        return {one: words(await say(controlled, "GET", f"/grants?{one}")) for one in queries}

    assert told(tmp_path, story) == {
        "actor=client:bot": [one for one in grants if one[0] == "client:bot"],
        "actor=client:bot&role=viewer": [grants[1]],
        "actor=client:bot%25": [grants[3]],
        # The first is of the test's own world.
        "role=caller&resource=server:github": [
            ("client:ci", "caller", "server:github"),
            *(one for one in grants if one[2] == "server:github"),
        ],
        "resource=matching:caller": [grants[6]],
        "resource=everywhere": [
            ("user:admin", "admin", "everywhere"),
            ("user:eve", "auditor", "everywhere"),
            ("user:ann", "user", "everywhere"),
            ("client:terraform", "admin", "everywhere"),
        ],
    }


def test_pages_of_grants_follow_each_other(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[list[str]], list[str]]:
        names = [f"s{number}" for number in range(5)]
        await made(controlled, "/clients", "bot", allow_list=names)
        pages: list[list[str]] = []
        after = ""
        while True:
            page = await listed(controlled, f"&limit=2{after}")
            pages.append([one["resource"] for one in page.document["grants"]])
            if page.document["next"] is None:
                return pages, [f"server:{name}" for name in names]
            after = f"&after={page.document['next']}"

    pages, wanted = told(tmp_path, story)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(one for page in pages for one in page) == wanted


def test_who_had_what_is_known_as_of_any_version_and_any_moment(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Any], list[Any], Any]:
        moments: list[float] = []
        versions: list[int] = []
        steps: tuple[tuple[str, Any], ...] = (
            ("POST", GITHUB),
            ("POST", PATTERN),
            ("DELETE", GITHUB),
            ("DELETE", PATTERN),
        )
        for number, (method, body) in enumerate(steps):
            controlled.clock.offset = number * 100.0
            moments.append(controlled.clock() - 50)
            await say(controlled, method, "/grants", body)
            versions.append(controlled.standing.grounds.facts.version)
        by_version = [words(await listed(controlled, f"&as_of={one}")) for one in versions]
        second = [words(await listed(controlled, f"&as_of={int(one)}")) for one in moments]
        times = [f"{datetime.fromtimestamp(one, UTC):%Y-%m-%dT%H:%M:%SZ}" for one in moments]
        iso = [words(await listed(controlled, f"&as_of={one}")) for one in times]
        assert iso == second
        future = await listed(controlled, "&as_of=2099-01-01T00:00:00Z")
        return by_version, second, future.document

    by_version, by_second, future = told(tmp_path, story)

    both = [tuple(one.values()) for one in (GITHUB, PATTERN)]
    assert by_version == [both[:1], both, both[1:], []]
    assert by_second == [[], both[:1], both, both[1:]]
    assert future["grants"] == []


@pytest.mark.parametrize(
    "query",
    [
        "as_of=999999",
        "as_of=-1",
        "as_of=yesterday",
        "as_of=2026-01-01T00:00:00",
        "as_of=" + "9" * 40,
        "limit=0",
        "after=x",
        "actor=bot",
        "resource=github",
        "role=",
    ],
)
def test_a_list_of_grants_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    said = told(tmp_path, lambda controlled: say(controlled, "GET", f"/grants?{query}"))

    assert (said.status, fields(said)) == (422, [query.partition("=")[0]])


def test_the_words_of_a_grant_may_be_parameters_where_a_body_is_none(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        await say(controlled, "POST", "/grants", GITHUB)
        query = "&".join(f"{name}={value}" for name, value in GITHUB.items())
        return [
            (await say(controlled, "DELETE", f"/grants?{query}", GITHUB)).status,
            (await say(controlled, "DELETE", f"/grants?{query}")).status,
        ]

    assert told(tmp_path, story) == [400, 200]


def test_r05_a_grant_that_cannot_be_recorded_is_neither_made_nor_ended(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], list[tuple[str, str, str]]]:
        await say(controlled, "POST", "/grants", PATTERN)
        controlled.disk.is_full = True
        statuses = [
            (await say(controlled, "POST", "/grants", GITHUB)).status,
            (await say(controlled, "DELETE", "/grants", PATTERN)).status,
        ]
        controlled.disk.is_full = False
        await controlled.listed()
        return statuses, words(await listed(controlled))

    statuses, left = told(tmp_path, story)

    assert statuses == [503, 503]
    assert left == [tuple(PATTERN.values())]
