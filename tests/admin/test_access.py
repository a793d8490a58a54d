"""Who may use which route: every caller at every endpoint, and what he is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from policies.embedded import EmbeddedPoint
from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Reason, Verdict
from proxy.identity.keyring import Plane
from tests.admin.controlled import (
    AUDITOR,
    CI,
    DAY,
    ROOT,
    TERRAFORM,
    USER,
    Controlled,
    Said,
    told,
)

OPEN = (("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"))
IDENTIFIED = (("GET", "/api/v0/whoami"),)
GUARDED = (
    ("POST", "/api/v0/clients/ci/tokens"),
    ("POST", "/api/v0/users/ann/tokens"),
    ("GET", "/api/v0/tokens"),
    ("DELETE", "/api/v0/tokens/none"),
)
DONE = {"POST": 201, "GET": 200, "DELETE": 404}


@dataclass(frozen=True)
class Row:
    """A caller, and his statuses at the routes for anybody, for the identified, for the allowed.

    None stands for the status of a request that is carried out.
    """

    caller: str
    identified: int
    guarded: int | None


ROWS = (
    Row("admin", 200, None),
    Row("client with admin", 200, None),
    Row("auditor", 200, 403),
    Row("user", 200, 403),
    Row("client", 200, 403),
    Row("admin suspended", 200, 403),
    Row("client with admin for a user", 200, 403),
    Row("nobody", 401, 401),
    Row("token of the data plane", 401, 401),
    Row("revoked token", 401, 401),
    Row("expired token", 401, 401),
    Row("garbage", 401, 401),
)


def _token(controlled: Controlled, caller: str) -> str | None:
    match caller:
        case "nobody":
            return None
        case "client with admin for a user":
            return controlled.token(TERRAFORM, acts_for="ann")
        case "token of the data plane":
            return controlled.token(ROOT, plane=Plane.DATA)
        case "expired token":
            controlled.clock.offset = -DAY
            token = controlled.token(life=60)
            controlled.clock.offset = 0
            return token
        case "garbage":
            return "a.b.c"
        case "admin suspended":
            return controlled.token(SUSPENDED)
    who = {"auditor": AUDITOR, "user": USER, "client": CI, "client with admin": TERRAFORM}
    return controlled.token(who.get(caller, ROOT))


SUSPENDED = (ROOT[0], "gone")


async def _prepared(controlled: Controlled, caller: str) -> str | None:
    if caller == "admin suspended":
        await controlled.state("is_suspended", "User", "gone")
        await controlled.state("has_role", "User", "gone", "admin")
    token = _token(controlled, caller)
    if caller == "revoked token" and token is not None:
        said = await controlled.ask("GET", "/api/v0/whoami", token)
        controlled.planes[Plane.CONTROL].refuse([(said.document["token_id"], 2**40)])
    return token


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.caller)
def test_t08_each_caller_gets_exactly_what_he_may_at_each_endpoint(
    tmp_path: Path, row: Row
) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], list[int], list[int]]:
        token = await _prepared(controlled, row.caller)

        async def statuses(routes: tuple[tuple[str, str], ...]) -> list[int]:
            # At once: each may wait a while for a key that another process may have made.
            said = await asyncio.gather(*(controlled.ask(*route, token) for route in routes))
            return [one.status for one in said]

        return await statuses(OPEN), await statuses(IDENTIFIED), await statuses(GUARDED)

    anybody, identified, guarded = told(tmp_path, story)

    assert anybody == [200, 200, 200]
    assert identified == [row.identified]
    assert guarded == [
        DONE[method] if row.guarded is None else row.guarded for method, _ in GUARDED
    ]


def test_t06_every_reason_for_no_good_token_gives_the_same_body(tmp_path: Path) -> None:
    callers = [row.caller for row in ROWS if row.identified == 401]

    async def story(controlled: Controlled) -> list[Said]:
        tokens = [await _prepared(controlled, caller) for caller in callers]
        return [await controlled.ask("GET", "/api/v0/tokens", token) for token in tokens]

    said = told(tmp_path, story)

    assert len({one.body for one in said}) == 1
    assert all(one.headers["WWW-Authenticate"].startswith("Bearer ") for one in said)
    assert said[0].document["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v0/whoami?access_token=TOKEN", {}),
        ("/api/v0/whoami", {"Cookie": "access_token=TOKEN"}),
        ("/api/v0/whoami?access_token=x", {"Authorization": "Bearer TOKEN"}),
    ],
)
def test_t07_a_token_elsewhere_than_in_one_header_is_refused(
    tmp_path: Path, path: str, headers: dict[str, str]
) -> None:
    async def story(controlled: Controlled) -> Said:
        token = controlled.token()
        given = {name: value.replace("TOKEN", token) for name, value in headers.items()}
        return await controlled.ask("GET", path.replace("TOKEN", token), headers=given)

    said = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (400, "invalid-request")


def test_a_refused_stranger_leaves_nothing_in_the_record(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Any]:
        for _ in range(3):
            await controlled.ask("POST", "/api/v0/clients/ci/tokens")
            await controlled.ask("GET", "/api/v0/whoami", "a.b.c")
        return controlled.records()

    assert told(tmp_path, story) == []


def test_a_denial_names_the_action_and_the_record_of_it(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[Any]]:
        said = await controlled.ask(
            "POST", "/api/v0/clients/ci/tokens", controlled.token(AUDITOR), json={"no": "such"}
        )
        return said, controlled.records("decision")

    said, [record] = told(tmp_path, story)

    assert said.document["code"] == "not-allowed"
    assert said.document["action"] == "issue_tokens"
    assert said.document["decision_id"] == record.id
    assert record.payload["method"] == "POST /api/v0/clients/{name}/tokens"
    assert record.payload["resource"] == {"type": "Gateway", "id": "northgate"}
    assert record.payload["server"] == ""
    assert (record.payload["verdict"], record.payload["reason"]) == ("deny", "no_rule")
    assert record.payload["principal"]["id"] == "eve"


def test_what_was_allowed_has_an_outcome_after_its_decision(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Any]:
        await controlled.ask("POST", "/api/v0/clients/ci/tokens", controlled.token())
        await controlled.recorded("outcome")
        return controlled.records()

    records = told(tmp_path, story)

    assert [one.kind for one in records] == ["decision", "change", "outcome"]
    assert records[2].payload["decision"] == records[0].id
    assert records[2].payload["status"] == 201


class Speechless(EmbeddedPoint):
    """A decision point that has no answer to anything."""

    async def decide(self, request: AccessRequest, grounds: Grounds) -> Decision:
        del request
        return Decision(Verdict.UNDECIDED, Reason.UNDECIDED, grounds.bundle.version, 0)


def test_a_question_without_an_answer_is_no_yes(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[Any], list[Any]]:
        said = await controlled.ask("POST", "/api/v0/clients/ci/tokens", controlled.token())
        return said, controlled.records("decision"), controlled.records("change")

    said, [decision], changes = told(tmp_path, story, point=Speechless(print))

    assert (said.status, said.document["code"]) == (503, "undecided")
    assert decision.payload["verdict"] == "undecided"
    assert changes == []


def test_a_request_whose_sender_leaves_is_recorded_as_cancelled(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Any]:
        asked = controlled.ask("POST", "/api/v0/clients/ci/tokens", controlled.token())
        async with controlled.database.changing():
            # The token waits for the ledger, which somebody else has.
            asking = asyncio.create_task(asked)
            await controlled.recorded("change")
            asking.cancel()
            await asyncio.wait([asking])
            return await controlled.recorded("outcome")

    [outcome] = told(tmp_path, story)

    assert outcome.payload["status"] == "cancelled"
    assert outcome.payload["is_error"] is True


def test_whoever_asks_too_often_is_refused_and_recorded_once_a_second(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], list[Any]]:
        token = controlled.token(AUDITOR)
        said = [await controlled.ask("GET", "/api/v0/tokens", token) for _ in range(12)]
        return [one.status for one in said], controlled.records("decision")

    statuses, records = told(tmp_path, story, calls_per_second=1)

    assert statuses[0] == 403
    limited = [one for one in records if one.payload["reason"] == "rate_limited"]
    assert 1 <= len(limited) <= 1 + statuses.count(403)
    assert statuses.count(429) > len(limited)


def test_t18_a_request_with_another_host_or_origin_is_not_served(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        strange = ({"Host": "evil.example"}, {"Origin": "http://evil.example"})
        return [
            (await controlled.ask("GET", path, headers=headers)).status
            for path in ("/metrics", "/health", "/api/v0/whoami")
            for headers in strange
        ]

    assert told(tmp_path, story) == [421, 403] * 3
