"""Access tokens that are brought along: given, replaced, taken away, and never told again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from proxy.identity.keyring import Plane
from proxy.identity.refusal import RefusedError
from tests.admin.controlled import ADMIN, PUBLIC, Controlled, Said, told
from tests.admin.kept import (
    KEEPER,
    changes,
    fields,
    made,
    say,
    with_rules,
)

OLD, NEW, THIRD = "old-token-of-a-bot", "new-token-of-a-bot", "third-token-of-a-bot"
KINDS = ["clients", "users"]
T = TypeVar("T")


def both(directory: Path, story: Callable[[Controlled, str], Awaitable[T]]) -> list[T]:
    """Tell *story* of a client and then of a user, each called bot."""

    async def run(controlled: Controlled) -> list[T]:
        found = []
        for kind in KINDS:
            found.append(await story(controlled, kind))
            await say(controlled, "DELETE", f"/{kind}/bot")
            controlled.clock.offset = 0
        return found

    return told(directory, run)


async def status(controlled: Controlled, kind: str, text: str) -> int:
    """Return what whoever shows *text* is answered where it should be good."""
    if kind == "users":
        return (await controlled.ask("GET", "/api/v0/whoami", text)).status
    try:
        found = controlled.opaque.known(text, Plane.DATA, {PUBLIC})
    except RefusedError:
        return 401
    return 401 if found is None else 200


async def statuses(controlled: Controlled, kind: str, *texts: str) -> list[int]:
    return [await status(controlled, kind, text) for text in texts]


def shown(document: dict[str, Any]) -> tuple[bool, bool, Any]:
    has_id = document["access_token_id"] is not None
    return document["has_access_token"], has_id, document["access_token_expires_at"]


def test_an_identity_may_come_with_its_token_and_nobody_is_told_it_again(tmp_path: Path) -> None:
    async def story(controlled: Controlled, kind: str) -> None:
        new = {"name": "bot", "access_token": OLD, "access_token_ttl_seconds": 3600}
        assert await status(controlled, kind, OLD) == 401
        created = await say(controlled, "POST", f"/{kind}", new)
        found = await say(controlled, "GET", f"/{kind}/bot")
        listed = await say(controlled, "GET", f"/{kind}")
        assert (created.status, await status(controlled, kind, OLD)) == (201, 200)
        document = found.document
        assert document["has_access_token"] is True
        assert document["access_token_expires_at"] - document["created_at"] in {3599, 3600}
        assert listed.document[kind] == [document]
        assert OLD.encode() not in created.body + found.body + listed.body
        after = controlled.records("change")[-1].payload["after"]
        assert after["access_token_id"] == document["access_token_id"]

    both(tmp_path, story)


def test_22_with_the_new_token_the_old_is_good_no_more(tmp_path: Path) -> None:
    async def story(controlled: Controlled, kind: str) -> None:
        await made(controlled, "/teams", kind)
        more = {"teams": [kind], "description": "Builds."}
        await made(controlled, f"/{kind}", "bot", access_token=OLD, **more)
        for verb, before, after in (("PUT", OLD, NEW), ("PATCH", NEW, THIRD)):
            said = await say(controlled, verb, f"/{kind}/bot", {"access_token": after})
            assert said.status == 200
            assert await statuses(controlled, kind, before, after) == [401, 200]
        found = (await say(controlled, "GET", f"/{kind}/bot")).document
        # A token that is replaced by itself takes nothing else away.
        assert {name: found[name] for name in more} == more
        assert shown(found) == (True, True, None)

    both(tmp_path, story)


def test_both_are_good_while_they_overlap(tmp_path: Path) -> None:
    async def story(controlled: Controlled, kind: str) -> list[list[int]]:
        await made(controlled, f"/{kind}", "bot", access_token=OLD)
        change = {"access_token": NEW, "access_token_overlap_seconds": 60}
        assert (await say(controlled, "PATCH", f"/{kind}/bot", change)).status == 200
        seen = [await statuses(controlled, kind, OLD, NEW)]
        controlled.clock.offset = 61
        seen.append(await statuses(controlled, kind, OLD, NEW))
        return seen

    assert both(tmp_path, story) == [[[200, 200], [401, 200]]] * 2


def test_a_token_is_taken_away_by_null_and_by_nothing_else(tmp_path: Path) -> None:
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("PATCH", {"description": "Tests."}),
        ("PUT", {"description": "Builds.", "teams": []}),
        ("PATCH", {"access_token": None}),
        # Again, and nothing is left to change.
        ("PATCH", {"access_token": None}),
    )

    async def story(controlled: Controlled, kind: str) -> None:
        await made(controlled, f"/{kind}", "bot", access_token=OLD)
        before = len(changes(controlled))
        seen = []
        for verb, body in asked:
            said = await say(controlled, verb, f"/{kind}/bot", body)
            assert said.status == 200
            seen.append(await status(controlled, kind, OLD))
        assert seen == [200, 200, 401, 401]
        assert shown(said.document) == (False, False, None)
        assert changes(controlled)[before:] == [f"{kind[:-1]}.updated"] * 3

    both(tmp_path, story)


def test_the_same_again_changes_nothing_and_to_go_back_is_possible(tmp_path: Path) -> None:
    change = {"access_token": NEW, "access_token_overlap_seconds": 600}

    async def story(controlled: Controlled, kind: str) -> None:
        await made(controlled, f"/{kind}", "bot", access_token=OLD)
        before = len(changes(controlled))
        ids = [(await say(controlled, "GET", f"/{kind}/bot")).document["access_token_id"]]
        for body in (change, change, {"access_token": OLD}):
            said = await say(controlled, "PATCH", f"/{kind}/bot", body)
            ids.append(said.document["access_token_id"])
        assert ids[1] == ids[2] != ids[0]
        assert ids[3] == ids[0]
        assert await statuses(controlled, kind, OLD, NEW) == [200, 401]
        assert len(changes(controlled)) - before == 2

    both(tmp_path, story)


def test_20_a_token_that_somebody_has_is_refused_to_everybody_else(tmp_path: Path) -> None:
    asked = (
        ("POST", "/clients", {"name": "other", "access_token": OLD}),
        ("POST", "/users", {"name": "other", "access_token": OLD}),
        ("PATCH", "/clients/third", {"access_token": OLD}),
        ("PUT", "/users/ann", {"access_token": OLD}),
        ("POST", "/clients", {"name": "bot", "access_token": OLD}),
    )

    async def story(controlled: Controlled) -> tuple[list[tuple[int, str]], list[int], list[str]]:
        await made(controlled, "/clients", "third")
        await made(controlled, "/users", "ann")
        await made(controlled, "/clients", "bot", access_token=OLD)
        said = [await say(controlled, *one) for one in asked]
        others = [(await say(controlled, "GET", f"/{kind}/other")).status for kind in KINDS]
        return [(one.status, one.document["code"]) for one in said], others, changes(controlled)

    said, others, recorded = told(tmp_path, story)

    assert said == [(409, "access-token-taken")] * 4 + [(409, "name-taken")]
    assert others == [404, 404]
    assert len(recorded) == 3


def test_of_many_who_want_one_token_at_once_one_gets_it(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], int]:
        wanted = [
            say(controlled, "POST", "/clients", {"name": f"c{n}", "access_token": OLD})
            for n in range(8)
        ]
        said = [one.status for one in await asyncio.gather(*wanted)]
        return said, len((await say(controlled, "GET", "/clients")).document["clients"])

    said, count = told(tmp_path, story)

    assert sorted(said) == [201, *[409] * 7]
    assert count == 1


WRONG: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"access_token": "short"}, ["access_token"]),
    ({"access_token": "with a space"}, ["access_token"]),
    ({"access_token": "x" * 4097}, ["access_token"]),
    ({"access_token": "header.claims.signature"}, ["access_token"]),
    ({"access_token": 12345678}, ["access_token"]),
    ({"access_token": OLD, "access_token_ttl_seconds": 1}, ["access_token_ttl_seconds"]),
    (
        {"access_token": "", "access_token_overlap_seconds": -1, "x": 1},
        ["access_token", "access_token_overlap_seconds", "x"],
    ),
    ({"access_token_overlap_seconds": 60}, ["access_token_overlap_seconds"]),
    ({"access_token_ttl_seconds": 60}, ["access_token_ttl_seconds"]),
    ({"access_token": None, "access_token_ttl_seconds": 60}, ["access_token_ttl_seconds"]),
)


def test_20_every_mistake_is_named_and_no_token_is_repeated(tmp_path: Path) -> None:
    async def story(controlled: Controlled, kind: str) -> None:
        await made(controlled, f"/{kind}", "bot")
        before = changes(controlled)
        for body, wrong in WRONG:
            said = await say(controlled, "PATCH", f"/{kind}/bot", body)
            assert (said.status, sorted(fields(said))) == (422, wrong)
            assert str(body.get("access_token") or "nothing") not in said.body.decode()
        assert changes(controlled) == before

    both(tmp_path, story)


def test_a_token_that_nothing_would_accept_is_not_given(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        return [
            await say(controlled, "POST", f"/{kind}", {"name": "bot", "access_token": OLD})
            for kind in KINDS
        ]

    client, user = told(tmp_path, story, gateway_wide=False)

    assert (client.status, fields(client)) == (422, ["access_token"])
    assert user.status == 201


def test_t08_whoever_manages_clients_gives_no_tokens_unless_he_may_issue_them(
    tmp_path: Path,
) -> None:
    asked: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "/clients", {"name": "new", "access_token": OLD}),
        ("PATCH", "/clients/bot", {"access_token": OLD}),
        ("PATCH", "/clients/bot", {"access_token": None}),
        ("PATCH", "/clients/bot", {"description": "Tests."}),
    )

    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        await made(controlled, "/clients", "bot", access_token=NEW)
        said = [await say(controlled, *one, token=controlled.token(KEEPER)) for one in asked]
        return [(one.status, one.document.get("action", "")) for one in said]

    assert told(tmp_path, story, bundle=with_rules()) == [
        (403, "issue_tokens"), (403, "issue_tokens"), (403, "issue_tokens"), (200, ""),
    ]  # fmt: skip


def test_18_with_an_identity_ends_its_token_and_a_new_one_of_that_name_has_none(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled, kind: str) -> None:
        await made(controlled, f"/{kind}", "bot", access_token=OLD)
        seen = [await status(controlled, kind, OLD)]
        assert (await say(controlled, "DELETE", f"/{kind}/bot")).status == 204
        seen.append(await status(controlled, kind, OLD))
        await made(controlled, f"/{kind}", "bot")
        seen.append(await status(controlled, kind, OLD))
        assert seen == [200, 401, 401]
        found = await say(controlled, "GET", f"/{kind}/bot")
        assert shown(found.document) == (False, False, None)

    both(tmp_path, story)


def test_a_suspended_user_may_nothing_with_his_token_until_he_is_resumed(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        await made(controlled, "/users", "bot", access_token=OLD, roles=["admin"])
        seen = []
        for verb in ("", "suspend", "resume"):
            if verb:
                await say(controlled, "POST", f"/users/bot/{verb}")
            seen.append((await controlled.ask("GET", "/api/v0/users", OLD)).status)
        return seen

    assert told(tmp_path, story) == [200, 403, 200]


def test_a_token_is_as_good_after_a_restart(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> None:
        await made(controlled, "/users", "bot", access_token=OLD)

    told(tmp_path, story)

    assert told(tmp_path, lambda controlled: status(controlled, "users", OLD)) == 200


def test_17_a_wrong_token_is_refused_as_every_other_and_a_clients_too(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> set[tuple[int, str, bytes]]:
        await made(controlled, "/clients", "bot", access_token=OLD)
        await made(controlled, "/users", "bot", access_token=NEW, access_token_ttl_seconds=60)
        controlled.clock.offset = 61
        signed = controlled.token(plane=Plane.DATA)
        tokens = (OLD, NEW, "a-token-of-nobody", "a.b.c", signed, "x" * 5_000)
        said = [await controlled.ask("GET", "/api/v0/whoami", one) for one in tokens]
        return {(one.status, one.headers["WWW-Authenticate"], one.body) for one in said}

    [(status_, challenge, body)] = told(tmp_path, story)

    assert (status_, challenge) == (401, 'Bearer realm="northgate", error="invalid_token"')
    assert OLD.encode() not in body


def test_who_comes_with_such_a_token_is_in_the_record_by_its_id(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Any]:
        await made(controlled, "/users", "bot", access_token=OLD, roles=["admin"])
        found = await say(controlled, "GET", "/users/bot", token=OLD)
        return found, controlled.records("decision")[-1].payload["principal"]

    found, principal = told(tmp_path, story)

    assert principal["token_id"] == found.document["access_token_id"]
    assert (principal["type"], principal["id"], principal["issuer"]) == ("User", "bot", ADMIN)


def test_r05_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], list[int]]:
        await made(controlled, "/users", "bot", access_token=OLD)
        controlled.disk.is_full = True
        said = [
            await say(controlled, "PATCH", "/users/bot", {"access_token": NEW}),
            await say(controlled, "POST", "/tokens/revoke", {"subject": "user:bot"}),
        ]
        controlled.disk.is_full = False
        await controlled.listed()
        return [one.status for one in said], await statuses(controlled, "users", OLD, NEW)

    assert told(tmp_path, story) == ([503, 503], [200, 401])


def test_t09_no_access_token_is_written_anywhere(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[str], list[str]]:
        for kind, name, text in (("clients", "bot", OLD), ("users", "ann", NEW)):
            await made(controlled, f"/{kind}", name, access_token=text)
            await say(controlled, "POST", f"/{kind}", {"name": name, "access_token": text})
            await say(controlled, "PATCH", f"/{kind}/{name}", {"access_token": f"{text}-2"})
            await say(controlled, "PATCH", f"/{kind}/{name}", {"access_token": f"{text} 3"})
            await controlled.ask("GET", "/api/v0/whoami", f"{text}-2")
        shown = [repr(one) for one in gc.get_objects() if _is_shipped(one)]
        return [OLD, NEW], [*controlled.texts(), *shown]

    canaries, texts = told(tmp_path, story)

    assert [one for one in canaries if any(one in text for text in texts)] == []


def _is_shipped(found: object) -> bool:
    return str(type(found).__module__).startswith(("proxy.", "storage.", "policies.model"))
