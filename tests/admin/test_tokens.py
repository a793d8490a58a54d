"""Tokens: for whom, where they are good, how they end, and what is left of them."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from policies import bundle as bundles
from policies.bundle import Bundle, read_sources
from proxy.identity.keyring import Plane
from proxy.identity.refusal import Reason, RefusedError
from proxy.identity.verify import Verifier
from tests.admin.controlled import (
    ADMIN,
    CI,
    DAY,
    EXTRA_RULE,
    ISSUER,
    PUBLIC,
    ROOT,
    RULES,
    TERRAFORM,
    Controlled,
    Said,
    told,
)

CLIENT_TOKENS = "/api/v0/clients/ci/tokens"


async def issued(controlled: Controlled, path: str = CLIENT_TOKENS, **wish: Any) -> Said:  # noqa: ANN401
    return await controlled.ask("POST", path, controlled.token(), json=wish)


def refusal(verifier: Verifier, token: str, audience: str) -> Reason | None:
    try:
        verifier.verify(token, {audience})
    except RefusedError as refused:
        return refused.reason
    return None


def test_a_token_of_one_plane_is_good_there_and_unknown_to_the_other(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Reason | None]:
        data, control = controlled.planes[Plane.DATA], controlled.planes[Plane.CONTROL]
        agent = (await issued(controlled)).document["token"]
        admin = (await issued(controlled, "/api/v0/users/admin/tokens", audience=ADMIN)).document
        return [
            refusal(data.verifier, agent, PUBLIC),
            refusal(control.verifier, agent, PUBLIC),
            refusal(control.verifier, admin["token"], ADMIN),
            refusal(data.verifier, admin["token"], ADMIN),
        ]

    assert told(tmp_path, story) == [None, Reason.KEY_UNKNOWN, None, Reason.KEY_UNKNOWN]


def test_a_token_says_for_whom_it_is_where_it_is_good_and_until_when(tmp_path: Path) -> None:
    audience = f"{PUBLIC}/servers/github/mcp"

    async def story(controlled: Controlled) -> tuple[Said, Any]:
        said = await issued(controlled, ttl_seconds=90, audience=audience, scope=["read", "write"])
        verifier = controlled.planes[Plane.DATA].verifier
        return said, verifier.verify(said.document["token"], {audience})

    said, principal = told(tmp_path, story)

    assert said.status == 201
    assert said.headers["Cache-Control"] == "no-store"
    assert principal.actor == ("Client", "ci")
    assert principal.scope == {"read", "write"}
    assert principal.token_id == said.document["token_id"]
    assert principal.expires_at == said.document["expires_at"]
    assert said.document["expires_at"] - said.document["issued_at"] == 90
    assert (said.document["subject"], said.document["audience"]) == ("client:ci", audience)


def test_without_a_wish_a_token_is_for_every_server_and_twelve_hours(tmp_path: Path) -> None:
    said = told(
        tmp_path,
        lambda controlled: controlled.ask("POST", "/api/v0/users/ann/tokens", controlled.token()),
    )

    assert said.document["audience"] == PUBLIC
    assert said.document["expires_at"] - said.document["issued_at"] == 12 * 3600
    assert said.document["subject"] == "user:ann"


@pytest.mark.parametrize(
    ("wish", "fields"),
    [
        ({"ttl_seconds": 9, "audience": "http://evil.example"}, ["ttl_seconds", "audience"]),
        ({"ttl_seconds": DAY + 1, "scope": ["a b"]}, ["ttl_seconds", "scope"]),
        ({"ttl_seconds": "60", "scope": "read"}, ["ttl_seconds", "scope"]),
        ({"ttl_seconds": True, "unknown": 1}, ["ttl_seconds", "unknown"]),
        ({"ttl_seconds": 60.0, "audience": 1}, ["ttl_seconds", "audience"]),
        ({"audience": f"{PUBLIC}/", "ttl": 1}, ["audience", "ttl"]),
        ({"audience": f"{PUBLIC}/servers/a__b/mcp"}, ["audience"]),
        ({"audience": f"{PUBLIC}/servers/a/b/mcp"}, ["audience"]),
        ({"audience": f"{PUBLIC}/servers//mcp"}, ["audience"]),
        ({"audience": f"{ADMIN}/"}, ["audience"]),
        ({"scope": ["a"] * 33}, ["scope"]),
        ({"scope": ['"']}, ["scope"]),
    ],
)
def test_every_mistake_of_a_wish_is_named(
    tmp_path: Path, wish: dict[str, Any], fields: list[str]
) -> None:
    said = told(tmp_path, lambda controlled: issued(controlled, **wish))

    assert (said.status, said.document["code"]) == (422, "invalid")
    assert [one["field"] for one in said.document["problems"]] == fields
    assert all(one["problem"].endswith(".") for one in said.document["problems"])


@pytest.mark.parametrize(
    ("data", "headers", "status", "code"),
    [
        (b"{", {}, 400, "malformed"),
        (b"[]", {}, 400, "malformed"),
        (b'{"scope":[],"scope":["x"]}', {}, 400, "malformed"),
        (b'{"ttl_seconds":NaN}', {}, 400, "malformed"),
        (b"\xff", {}, 400, "malformed"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "wrong-media-type"),
        (b"{}", {"Content-Encoding": "gzip"}, 415, "wrong-media-type"),
        (b" " * 70_000, {}, 413, "too-large"),
    ],
)
def test_a_body_that_is_not_one_json_object_is_refused(
    tmp_path: Path, data: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    given = {"Content-Type": "application/json"} | headers

    async def story(controlled: Controlled) -> Said:
        token = controlled.token()
        return await controlled.ask("POST", CLIENT_TOKENS, token, data=data, headers=given)

    said = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "data", "code"),
    [
        ("POST", f"{CLIENT_TOKENS}?ttl_seconds=60", None, "unexpected-query"),
        ("GET", "/api/v0/tokens", b"{}", "unexpected-body"),
        ("GET", "/api/v0/tokens?limit=1&limit=2", None, "malformed"),
        ("GET", "/api/v0/tokens?limit", None, "malformed"),
        ("GET", "/api/v0/tokens?subject=%ff", None, "malformed"),
    ],
)
def test_input_in_the_wrong_place_is_refused(
    tmp_path: Path, method: str, path: str, data: bytes | None, code: str
) -> None:
    said = told(
        tmp_path,
        lambda controlled: controlled.ask(method, path, controlled.token(), data=data),
    )

    assert (said.status, said.document["code"]) == (400, code)


def test_a_token_for_all_servers_is_not_issued_where_none_would_be_accepted(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        named = f"{PUBLIC}/servers/github/mcp"
        wishes: tuple[dict[str, str], ...] = ({}, {"audience": PUBLIC}, {"audience": named})
        return [(await issued(controlled, **wish)).status for wish in wishes]

    assert told(tmp_path, story, gateway_wide=False) == [422, 422, 201]


def _with_issuer() -> Bundle:
    sources = read_sources([RULES])
    return bundles.load({**sources, "issuer.polar": EXTRA_RULE}, portable=True)


def test_t08_whoever_only_issues_tokens_gets_no_control_token_but_his_own(tmp_path: Path) -> None:
    own, others = "/api/v0/clients/issuer/tokens", ("clients/terraform", "users/admin")
    wish = {"audience": ADMIN}

    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        token = controlled.token(ISSUER)
        said = [
            await controlled.ask("POST", own, token, json=wish),
            await controlled.ask("POST", own, token, json=wish | {"scope": ["more"]}),
            *[
                await controlled.ask("POST", f"/api/v0/{one}/tokens", token, json=wish)
                for one in others
            ],
            await controlled.ask("POST", CLIENT_TOKENS, token),
        ]
        return [(one.status, one.document.get("action", "")) for one in said]

    assert told(tmp_path, story, bundle=_with_issuer()) == [
        (201, ""),
        (403, "manage_clients"),
        (403, "manage_clients"),
        (403, "manage_users"),
        (201, ""),
    ]


def test_t08_whoever_only_issues_tokens_does_not_revoke_those_of_an_admin(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said]:
        wish = {"audience": ADMIN}
        admin = (await issued(controlled, "/api/v0/users/admin/tokens", **wish)).document
        path = f"/api/v0/tokens/{admin['token_id']}"
        refused = await controlled.ask("DELETE", path, controlled.token(ISSUER))
        return refused, await controlled.ask("GET", "/api/v0/whoami", admin["token"])

    refused, whoami = told(tmp_path, story, bundle=_with_issuer())

    assert (refused.status, refused.document["action"]) == (403, "manage_users")
    assert whoami.status == 200


def test_an_admin_gives_control_tokens_to_others(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[int, Said]:
        said = await issued(controlled, "/api/v0/users/eve/tokens", audience=ADMIN)
        whoami = await controlled.ask("GET", "/api/v0/whoami", said.document["token"])
        return said.status, whoami

    status, whoami = told(tmp_path, story)

    assert status == 201
    assert (whoami.document["type"], whoami.document["id"]) == ("User", "eve")


def test_a_revoked_token_is_refused_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async def first(controlled: Controlled) -> tuple[str, list[Reason | None], Said]:
        said = (await issued(controlled)).document
        verifier = controlled.planes[Plane.DATA].verifier
        before = refusal(verifier, said["token"], PUBLIC)
        path = f"/api/v0/tokens/{said['token_id']}"
        revoked = await controlled.ask("DELETE", path, controlled.token())
        return said["token_id"], [before, refusal(verifier, said["token"], PUBLIC)], revoked

    async def then(controlled: Controlled) -> list[str]:
        listed = await controlled.ask("GET", "/api/v0/tokens", controlled.token())
        return [one["token_id"] for one in listed.document["tokens"] if one["revoked_at"]]

    token_id, reasons, revoked = told(tmp_path, first)

    assert reasons == [None, Reason.TOKEN_REVOKED]
    assert revoked.status == 200
    assert revoked.document["token_id"] == token_id
    assert revoked.document["revoked_by"] == "User:admin"
    assert told(tmp_path, then) == [token_id]


def test_revoking_again_changes_nothing_and_is_recorded_once(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], list[Any]]:
        path = f"/api/v0/tokens/{(await issued(controlled)).document['token_id']}"
        first = await controlled.ask("DELETE", path, controlled.token())
        controlled.clock.offset = 5
        second = await controlled.ask("DELETE", path, controlled.token(TERRAFORM))
        return [first, second], controlled.records("change")

    [first, second], changes = told(tmp_path, story)

    assert (second.status, second.document) == (200, first.document)
    assert [one.payload["what"] for one in changes] == ["token.issued", "token.revoked"]


def test_a_token_that_was_never_issued_cannot_be_revoked(tmp_path: Path) -> None:
    said = told(
        tmp_path,
        lambda controlled: controlled.ask("DELETE", "/api/v0/tokens/nothing", controlled.token()),
    )

    assert (said.status, said.document["code"]) == (404, "unknown-token")


def test_the_list_is_of_whom_one_asks_the_newest_first_and_in_pages(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[str], list[str]]:
        made = []
        for second in range(3):
            controlled.clock.offset = second
            made.append((await issued(controlled)).document["token_id"])
        await issued(controlled, "/api/v0/users/ci/tokens")
        seen, before = [], ""
        while True:
            path = f"/api/v0/tokens?subject=client:ci&limit=2{before}"
            page = (await controlled.ask("GET", path, controlled.token())).document
            seen += [one["token_id"] for one in page["tokens"]]
            if page["next"] is None:
                return made, seen
            before = f"&before={page['next']}"

    made, seen = told(tmp_path, story)

    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "subject=ci", "more=1"])
def test_a_page_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    said = told(
        tmp_path,
        lambda controlled: controlled.ask("GET", f"/api/v0/tokens?{query}", controlled.token()),
    )

    assert said.status == 422
    assert [one["field"] for one in said.document["problems"]] == [query.partition("=")[0]]


def test_r05_a_journal_that_cannot_be_written_issues_and_revokes_nothing(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[Said], Said, Reason | None]:
        known = (await issued(controlled)).document
        controlled.disk.is_full = True
        path = f"/api/v0/tokens/{known['token_id']}"
        refused = [
            await issued(controlled),
            await controlled.ask("DELETE", path, controlled.token()),
        ]
        controlled.disk.is_full = False
        listed = await controlled.listed()
        verifier = controlled.planes[Plane.DATA].verifier
        return refused, listed, refusal(verifier, known["token"], PUBLIC)

    refused, listed, reason = told(tmp_path, story)

    assert [(one.status, one.document["code"]) for one in refused] == [(503, "not-recorded")] * 2
    assert [one["revoked_at"] for one in listed.document["tokens"]] == [None]
    assert reason is None


def test_a_ledger_that_fails_gives_no_token(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        await controlled.database.close()
        return await issued(controlled)

    said = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (503, "database-unavailable")
    assert "token" not in said.document


def test_a_revocation_that_the_ledger_misses_holds_in_this_process(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[int, Reason | None]:
        said = (await issued(controlled)).document
        path = f"/api/v0/tokens/{said['token_id']}"
        async with controlled.database.changing():
            # Another holds the database for longer than a change waits for its turn.
            status = (await controlled.ask("DELETE", path, controlled.token())).status
        verifier = controlled.planes[Plane.DATA].verifier
        return status, refusal(verifier, said["token"], PUBLIC)

    assert told(tmp_path, story, database_wait=0.2) == (503, Reason.TOKEN_REVOKED)


def test_t09_no_token_and_no_secret_is_written_anywhere(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[str], list[str]]:
        secret = (await controlled.bootstrap.begin()).reveal().decode()
        begun = await controlled.ask("POST", "/init", json={"secret": secret})
        admin = begun.document["admin_access_token"]
        said = await controlled.ask("POST", CLIENT_TOKENS, admin, json={"scope": ["x"]})
        await controlled.ask("GET", "/api/v0/tokens", admin)
        await controlled.ask("DELETE", f"/api/v0/tokens/{said.document['token_id']}", admin)
        await controlled.ask("POST", "/init", json={"secret": "wrong-canary"})
        await controlled.ask("GET", "/api/v0/whoami", said.document["token"])
        canaries = [secret, "wrong-canary"]
        # A token is known by its signature, and useless without it.
        canaries += [text.rpartition(".")[2] for text in (admin, said.document["token"])]
        shown = [repr(one) for one in gc.get_objects() if _is_shipped(one)]
        return canaries, [*controlled.texts(), *shown]

    canaries, texts = told(tmp_path, story)

    assert [one for one in canaries if any(one in text for text in texts)] == []


def _is_shipped(found: object) -> bool:
    return str(type(found).__module__).startswith(("proxy.", "storage.", "policies.model"))


def test_who_did_it_and_what_came_of_it_is_in_the_record(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[Any]]:
        said = await controlled.ask("POST", CLIENT_TOKENS, controlled.token(ROOT))
        return said, controlled.records("change")

    said, [change] = told(tmp_path, story)

    assert change.payload["who"]["type"] == "User"
    assert change.payload["who"]["id"] == "admin"
    assert change.payload["after"] == {
        "token_id": said.document["token_id"],
        "plane": "data",
        "subject": "client:ci",
        "audience": PUBLIC,
        "issued_at": said.document["issued_at"],
        "expires_at": said.document["expires_at"],
    }


def test_a_client_is_asked_as_what_it_is(tmp_path: Path) -> None:
    said = told(
        tmp_path, lambda controlled: controlled.ask("GET", "/api/v0/whoami", controlled.token(CI))
    )

    assert (said.document["type"], said.document["id"]) == ("Client", "ci")
    assert said.document["acts_for"] is None
