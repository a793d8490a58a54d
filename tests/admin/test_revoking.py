"""Tokens that are revoked together: of one identity, or all from before a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proxy.identity.keyring import Plane
from proxy.identity.refusal import RefusedError
from storage.tables import TokenRow
from tests.admin.controlled import ADMIN, EXTRA_RULE, ISSUER, PUBLIC, Controlled, Said, told
from tests.admin.kept import fields, made, say, with_rules

REVOKE = "/tokens/revoke"
OWNERS = ("clients/ci", "clients/bot", "users/ann", "users/admin")
OPAQUE = {"clients/bot": "token-of-the-bot", "users/ann": "token-of-ann"}


def at(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


class Issued:
    """Tokens of both planes and of several owners, a signed one of each in each of two times."""

    def __init__(self, controlled: Controlled) -> None:
        self.controlled = controlled
        self.texts: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    async def make(self) -> None:
        controlled = self.controlled
        await made(controlled, "/clients", "bot", access_token=OPAQUE["clients/bot"])
        await made(controlled, "/users", "ann", access_token=OPAQUE["users/ann"])
        self.texts |= {f"{owner} opaque": text for owner, text in OPAQUE.items()}
        for time, offset in (("old", 0), ("new", 100)):
            controlled.clock.offset = offset
            for owner in OWNERS:
                wish = {"audience": ADMIN if owner.startswith("users") else PUBLIC}
                said = await say(controlled, "POST", f"/{owner}/tokens", wish)
                self.texts[f"{owner} {time}"] = said.document["token"]
                self.ids[f"{owner} {time}"] = said.document["token_id"]

    def dead(self) -> set[str]:
        return {name for name, text in self.texts.items() if not self._is_good(text)}

    def _is_good(self, text: str) -> bool:
        controlled = self.controlled
        for plane, audience in ((Plane.DATA, PUBLIC), (Plane.CONTROL, ADMIN)):
            try:
                if controlled.opaque.known(text, plane, {audience}):
                    return True
                controlled.planes[plane].verifier.verify(text, {audience})
            except RefusedError:
                continue
            return True
        return False


def token(number: int, now: int) -> TokenRow:
    return TokenRow(
        jti=f"t{number}",
        plane="data",
        subject="client:ci",
        client_id="ci",
        audience=PUBLIC,
        issued_at=now,
        expires_at=now + 600,
        issued_by="User:admin",
        key_id="k",
    )


async def issued(controlled: Controlled) -> Issued:
    found = Issued(controlled)
    await found.make()
    return found


BETWEEN = "between"

WISHES: tuple[tuple[dict[str, str], set[str]], ...] = (
    ({"subject": "user:nobody"}, set()),
    ({"subject": "user:ann", "plane": "data"}, set()),
    (
        {"subject": "client:bot", "issued_before": BETWEEN},
        {"clients/bot old", "clients/bot opaque"},
    ),
    (
        {"issued_before": BETWEEN, "plane": "control"},
        {"users/ann old", "users/ann opaque", "users/admin old"},
    ),
    ({"issued_before": BETWEEN}, {"clients/ci old"}),
    ({"subject": "client:ci"}, {"clients/ci new"}),
)
"""What is asked for, one after the other, and what is dead since then."""


def test_what_is_meant_is_refused_at_once_and_after_a_restart_and_nothing_else(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled) -> tuple[Issued, list[Any]]:
        found = await issued(controlled)
        moment = at(controlled.clock() - 50)
        for wish, fresh in WISHES:
            before = found.dead()
            asked = {name: moment if one == BETWEEN else one for name, one in wish.items()}
            said = await say(controlled, "POST", REVOKE, asked | {"why": "stolen"})
            assert (said.status, said.document) == (200, {"revoked": len(fresh)})
            assert found.dead() - before == fresh
        return found, [one.payload for one in controlled.records("change")]

    async def then(controlled: Controlled) -> set[str]:
        listed = await say(controlled, "GET", "/tokens?limit=500")
        return {one["token_id"] for one in listed.document["tokens"] if one["revoked_at"]}

    found, records = told(tmp_path, story)

    dead = set().union(*(fresh for _, fresh in WISHES))
    many = [one for one in records if one["what"] == "tokens.revoked"]
    assert [len(one["before"]["token_ids"]) for one in many] == [
        len(one) for _, one in WISHES if one
    ]
    assert {one["why"] for one in many} == {"stolen"}
    assert told(tmp_path, then) == {found.ids[one] for one in dead if one in found.ids}


def test_the_token_that_it_is_asked_with_stays_and_to_ask_again_revokes_nothing(
    tmp_path: Path,
) -> None:
    async def story(controlled: Controlled) -> tuple[list[Any], set[str]]:
        found = await issued(controlled)
        mine, wish = found.texts["users/admin new"], {"issued_before": at(controlled.clock() + 50)}
        said = [await say(controlled, "POST", REVOKE, wish, token=mine) for _ in range(2)]
        return [one.document["revoked"] for one in said], set(found.texts) - found.dead()

    assert told(tmp_path, story) == ([9, 0], {"users/admin new"})


def test_more_tokens_than_one_record_names_are_revoked_together(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[int], int]:
        async with controlled.database.changing() as session:
            session.add_all(token(number, int(controlled.clock())) for number in range(1_100))
        said = await say(controlled, "POST", REVOKE, {"subject": "client:ci"})
        many = [
            len(one.payload["before"]["token_ids"])
            for one in controlled.records("change")
            if one.payload["what"] == "tokens.revoked"
        ]
        listed = await say(controlled, "GET", "/tokens?subject=client:ci&limit=500")
        return said, many, sum(one["revoked_at"] is None for one in listed.document["tokens"])

    said, many, left = told(tmp_path, story)

    assert said.document == {"revoked": 1_100}
    assert many == [500, 500, 100]
    assert left == 0


WRONG: tuple[tuple[dict[str, str], list[str]], ...] = (
    ({}, ["subject"]),
    ({"plane": "data", "why": "x"}, ["subject"]),
    (
        {"subject": "ci", "issued_before": "yesterday", "plane": "both"},
        ["subject", "issued_before", "plane"],
    ),
    ({"subject": "team:ops", "token_id": "x"}, ["subject", "token_id"]),
    ({"issued_before": "2026-01-01T00:00:00"}, ["issued_before"]),
)


def test_every_mistake_is_named_and_nothing_is_revoked_by_mistake(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> None:
        for wish, wrong in WRONG:
            said = await say(controlled, "POST", REVOKE, wish)
            assert (said.status, fields(said)) == (422, wrong)
        assert controlled.records("change") == []

    told(tmp_path, story)


def test_t08_whoever_only_issues_tokens_revokes_none_of_the_control_plane(tmp_path: Path) -> None:
    moment = {"issued_before": "2100-01-01T00:00:00Z"}
    wishes: tuple[dict[str, str], ...] = (
        {"subject": "user:admin"},
        {"subject": "client:ci"},
        moment,
        {"subject": "client:ci", "plane": "data"},
        moment | {"plane": "data"},
    )

    async def story(controlled: Controlled) -> list[tuple[int, str]]:
        token = controlled.token(ISSUER)
        said = [await say(controlled, "POST", REVOKE, wish, token=token) for wish in wishes]
        return [(one.status, one.document.get("action", "")) for one in said]

    assert told(tmp_path, story, bundle=with_rules(EXTRA_RULE)) == [
        (403, "manage_users"),
        (403, "manage_clients"),
        (403, "manage_clients"),
        (200, ""),
        (200, ""),
    ]
