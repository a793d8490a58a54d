"""A candidate policy beside the one in force: what it would change, and that it changes nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.bundle import read_sources, version_of
from policies.model import Entity, Fact
from proxy.identity.principal import ActorType
from proxy.shadow import COUNT_SECONDS
from storage.engine import open_database
from storage.shadows import ShadowLedger
from tests.gateway.harness import Rig, gateway, shared, until
from tests.gateway.test_replicas import replicas
from tests.oauth.served import Told, control_token, manage
from tests.storage.postgres import TEMPLATE, Server, postgres

__all__ = ["postgres"]

FILE = "test.polar"
LIVE = """# A guest may say anything.
has_permission(c: Client, "connect", s: Server) if c = Client{"guest"} and s = Server{"up"};
has_permission(c: Client, "call", t: Tool) if c = Client{"guest"} and t = Tool{"up__echo"};
"""
CANDIDATE = """# A guest may say hello, and wipe.

has_permission(c: Client, "connect", s: Server) if c = Client{"guest"} and s = Server{"up"};
has_permission(c: Client, "call", t: Tool) if
  c = Client{"guest"} and t = Tool{"up__echo"} and argument(t, "text", "hello");
has_permission(c: Client, "call", t: Tool) if c = Client{"guest"} and t = Tool{"up__wipe"};
"""
DECISION = re.compile(rb"[0-9a-f-]{36}")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("shadow"), policy=LIVE) as rig:
        rig.run(rig.state(Fact("has_role", (Entity("User", "eve"), "auditor"))))
        yield rig


def files_of(rig: Rig, text: str = CANDIDATE) -> dict[str, str]:
    """Return the policy in force with *text* in place of what tests have put beside the rules."""
    return {**rig.gateway.standing.grounds.bundle.sources, FILE: text}


async def started(rig: Rig, text: str = CANDIDATE) -> str:
    told = await manage(rig, "POST", "shadow", {"files": files_of(rig, text), "why": "to see"})
    assert told.status == 201, told.body
    return str(told.document["version"])


async def stopped(rig: Rig) -> dict[str, Any]:
    told = await manage(rig, "DELETE", "shadow")
    assert told.status == 200, told.body
    return dict(told.document)


async def settled(rig: Rig, **wanted: int) -> dict[str, Any]:
    """Return the status once it tells as many as are *wanted*."""
    async with asyncio.timeout(COUNT_SECONDS + 3):
        while True:
            told = await manage(rig, "GET", "shadow")
            assert told.status == 200, told.body
            found = dict(told.document)
            if all(found[name] >= count for name, count in wanted.items()):
                return found
            await asyncio.sleep(0.01)


async def call(rig: Rig, text: str = "hello", tool: str = "echo") -> tuple[int, bytes]:
    """Return what a guest is answered, but for the ids of decisions."""
    said = await rig.ask("tools/call", {"name": tool, "arguments": {"text": text}}, client="guest")
    return said.status, DECISION.sub(b"ID", said.body)


def code(told: Told) -> tuple[int, str]:
    return told.status, told.document["code"]


def in_force(rig: Rig) -> str:
    return rig.gateway.standing.grounds.bundle.version


def changes(rig: Rig) -> list[tuple[str, str]]:
    """Return who changed what of the policy or the shadow."""
    found = [one.payload for one in rig.records("change")]
    return [
        (one["who"]["id"], one["what"])
        for one in found
        if one["what"].startswith(("shadow", "policy"))
    ]


def test_divergences_are_told_by_rule_and_answers_stay_as_they_were_byte_for_byte(
    rig: Rig,
) -> None:
    calls = [("hello", "echo"), ("other", "echo"), ("other", "echo"), ("", "wipe"), ("", "none")]

    async def story() -> None:
        before = [await call(rig, *each) for each in calls]
        version = await started(rig)
        during = [await call(rig, *each) for each in calls]
        await settled(rig, compared=len(calls))
        metrics = await rig.metrics()
        found = await stopped(rig)
        assert during == before
        assert (found["version"], found["in_force"]) == (version, in_force(rig))
        names = ("newly_allowed", "newly_denied", "cannot_tell", "skipped", "others")
        assert [found[name] for name in names] == [1, 2, 0, 0, 0]
        allowed, denied = found["groups"]
        assert allowed["resource"] == {"type": "Tool", "id": "up__wipe"}
        assert f"{FILE}:6" in allowed["rules"]
        assert denied["principal"] == {"type": "Client", "id": "guest"}
        assert (denied["action"], denied["count"], len(denied["examples"])) == ("call", 2, 2)
        assert f"{FILE}:3" in denied["rules"]
        assert set(denied["examples"]) <= {one.id for one in rig.records()}
        sample = 'northgate_shadow_divergences_total{difference="newly-denied"'
        assert f'{sample},rule="{FILE}:3"}} 2.0' in metrics
        assert changes(rig)[-2:] == [("admin", "shadow.started"), ("admin", "shadow.stopped")]

    rig.run(story())


def test_each_step_is_a_permission_of_its_own(rig: Rig) -> None:
    async def story() -> list[str]:
        token = control_token(rig, "eve", ActorType.USER)
        version = {"version": in_force(rig)}
        told = [
            await manage(rig, "POST", "shadow", {"files": files_of(rig)}, token=token),
            await manage(rig, "DELETE", "shadow", token=token),
            await manage(rig, "POST", "shadow/promote", version, token=token),
        ]
        assert code(await manage(rig, "GET", "shadow", token=token)) == (404, "no-shadow")
        assert [one.status for one in told] == [403] * 3
        return [one.document["action"] for one in told]

    assert rig.run(story()) == ["shadow_policy", "shadow_policy", "change_policy"]


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        (FILE, "allow(a, b, c) if d(", (FILE, 1)),
        (
            FILE,
            '\nhas_permission(_: Client, "call", t: Tool) if not argument(t, "a", 1);',
            (FILE, 2),
        ),
        (FILE, LIVE + 'test "no" { assert allow(Client{"x"}, "call", Tool{"up__y"}); }', ("", 0)),
    ],
)
def test_a_candidate_with_errors_is_told_each_with_its_place(
    rig: Rig, file: str, text: str, wanted: tuple[str, int]
) -> None:
    async def story() -> None:
        told = await manage(rig, "POST", "shadow", {"files": files_of(rig) | {file: text}})
        assert code(told) == (422, "candidate-refused")
        first = told.document["problems"][0]
        assert (first["file"], first["line"]) == wanted
        assert first["severity"] == "error"
        assert first["message"]
        assert code(await manage(rig, "GET", "shadow")) == (404, "no-shadow")

    rig.run(story())


@pytest.mark.parametrize("name", ["../x.polar", "/x.polar", "a//x.polar", ".x.polar", "x.txt"])
def test_a_file_that_would_lie_elsewhere_is_refused(rig: Rig, name: str) -> None:
    told = rig.run(manage(rig, "POST", "shadow", {"files": {name: LIVE}}))

    assert code(told) == (422, "invalid")


def test_a_second_candidate_waits_until_the_first_is_stopped(rig: Rig) -> None:
    async def story() -> None:
        await started(rig)
        told = await manage(rig, "POST", "shadow", {"files": files_of(rig, LIVE + "#\n")})
        assert code(told) == (409, "shadow-running")
        await stopped(rig)
        assert code(await manage(rig, "DELETE", "shadow")) == (404, "no-shadow")

    rig.run(story())


def test_what_cannot_be_promoted_leaves_everything_as_it_was(rig: Rig) -> None:
    async def story() -> None:
        directory = rig.directory / "policies"
        before, files = in_force(rig), read_sources([directory])
        in_the_way = {"files": files_of(rig) | {f"{FILE}/{FILE}": "# not below a file\n"}}
        del in_the_way["files"][FILE]
        told = await manage(rig, "POST", "shadow", in_the_way)
        wish = {"version": told.document["version"]}

        async def promoted(**more: object) -> tuple[int, str]:
            return code(await manage(rig, "POST", "shadow/promote", wish | more))

        assert await promoted(version=before) == (409, "other-candidate")
        assert await promoted(least=10**9) == (409, "too-few-compared")
        assert await promoted() == (409, "policy-not-writable")
        (directory / FILE).write_text(LIVE + "has_permission(")
        assert await promoted() == (409, "policy-edited")
        (directory / FILE).write_text(LIVE)
        assert read_sources([directory]) == files
        assert in_force(rig) == before
        assert not [one for one in directory.iterdir() if one.name.startswith(".")]
        await stopped(rig)

    rig.run(story())


def test_a_promoted_candidate_decides_and_the_shadow_is_over(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, policy=LIVE) as rig:
            directory = rig.directory / "policies"
            before, wanted = in_force(rig), files_of(rig)
            wanted["team/guest.polar"] = wanted.pop(FILE)
            told = await manage(rig, "POST", "shadow", {"files": wanted})
            version = told.document["version"]
            assert (await call(rig, "other"))[0] == 200
            await settled(rig, newly_denied=1)
            wish = {"version": version, "least": 1, "why": "it is right"}
            told = await manage(rig, "POST", "shadow/promote", wish)
            assert (told.status, told.document) == (200, {"version": version, "before": before})
            assert b"40301" in (await call(rig, "other"))[1]
            assert b"error" not in (await call(rig, "", "wipe"))[1]
            assert version_of(read_sources([directory])) == version == version_of(wanted)
            assert code(await manage(rig, "GET", "shadow")) == (404, "no-shadow")
            kept = rig.directory / "policies-kept" / before.removeprefix("sha256:")
            assert version_of(read_sources([kept])) == before
            by_admin = ("admin", "policy.promoted")
            assert changes(rig)[-2:] == [by_admin, ("watcher", "policy")]

    asyncio.run(story())


def test_a_restart_keeps_the_candidate_and_what_was_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, policy=LIVE) as rig:
            version = await started(rig)
            await call(rig, "other")
            await settled(rig, newly_denied=1)
        async with gateway(tmp_path, policy=LIVE) as rig:
            await until(lambda: '"shadow_started"' in rig.log.getvalue())
            await call(rig, "other")
            found = await settled(rig, newly_denied=2)
            assert (found["version"], found["groups"][0]["count"]) == (version, 2)

    asyncio.run(story())


def test_a_candidate_that_this_release_cannot_use_ends_with_an_event(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, policy=LIVE) as rig:
            database = await open_database(f"sqlite:///{rig.directory / 'northgate.db'}")
            try:
                sources = {FILE: "allow(a, b, c) if of_another_release("}
                await ShadowLedger(database, time.time).begin("sha256:0", sources, "User:ann")
            finally:
                await database.close()
            await until(lambda: '"shadow_refused"' in rig.log.getvalue())
            async with asyncio.timeout(2):
                while (await manage(rig, "GET", "shadow")).status != 404:  # noqa: ASYNC110  no event
                    await asyncio.sleep(0.01)
            assert (await call(rig, "other"))[0] == 200

    asyncio.run(story())


def test_a_candidate_started_on_one_replica_is_tried_and_stopped_on_every_one(
    tmp_path: Path, postgres: Server
) -> None:
    url = postgres.url(postgres.new_database(TEMPLATE))

    async def story() -> None:
        async with replicas(tmp_path, url) as (one, two):
            await started(one)
            await until(lambda: '"shadow_started"' in two.log.getvalue())
            for rig in (one, two):
                await call(rig, "hello")
            await settled(two, newly_allowed=1)
            found = await settled(one, newly_allowed=2)
            assert found["groups"][0]["count"] == 2
            await stopped(two)
            await until(lambda: '"shadow_stopped"' in one.log.getvalue())
            assert code(await manage(one, "GET", "shadow")) == (404, "no-shadow")

    asyncio.run(story())
