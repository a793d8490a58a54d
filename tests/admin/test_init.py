"""The first administrator: one secret, good once, and no way to guess it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from policies.model import Entity, Fact
from storage.facts import Change
from storage.secrets import SecretLedger
from tests.admin.controlled import ADMIN, DAY, Controlled, Said, told


async def _secret(controlled: Controlled) -> str:
    return (await controlled.bootstrap.begin()).reveal().decode()


async def _init(controlled: Controlled, secret: str) -> Said:
    return await controlled.ask("POST", "/init", json={"secret": secret})


def test_the_secret_brings_a_token_with_which_the_admin_issues_others(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said, Said]:
        said = await _init(controlled, await _secret(controlled))
        token = said.document["admin_access_token"]
        whoami = await controlled.ask("GET", "/api/v0/whoami", token)
        return said, whoami, await controlled.ask("POST", "/api/v0/clients/ci/tokens", token)

    said, whoami, issued = told(tmp_path, story)

    assert said.status == 201
    assert said.document["expires_at"] - said.document["issued_at"] == DAY
    assert whoami.document["type"] == "User"
    assert whoami.document["id"] == "admin"
    assert whoami.document["audience"] == ADMIN
    assert issued.status == 201


def test_the_beginning_is_recorded_before_it_is_answered(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, list[Any]]:
        return await _init(controlled, await _secret(controlled)), controlled.records("change")

    said, [change] = told(tmp_path, story)

    assert change.payload["who"] == {"type": "System", "id": "bootstrap"}
    assert change.payload["what"] == "token.issued"
    assert change.payload["after"]["token_id"] == said.document["token_id"]
    assert change.payload["after"]["subject"] == "user:admin"


def test_a_secret_is_good_once_also_after_a_restart(tmp_path: Path) -> None:
    async def first(controlled: Controlled) -> tuple[str, int]:
        secret = await _secret(controlled)
        return secret, (await _init(controlled, secret)).status

    secret, status = told(tmp_path, first)
    again = told(tmp_path, lambda controlled: _init(controlled, secret))

    assert status == 201
    assert (again.status, again.document["code"]) == (409, "already-initialised")


def test_a_secret_that_waits_is_good_after_a_restart(tmp_path: Path) -> None:
    async def first(controlled: Controlled) -> str:
        return await _secret(controlled)

    secret = told(tmp_path, first)

    assert told(tmp_path, lambda controlled: _init(controlled, secret)).status == 201


def test_of_many_who_come_at_once_with_the_secret_one_is_let_in(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[int]:
        secret = await _secret(controlled)
        said = await asyncio.gather(*(_init(controlled, secret) for _ in range(4)))
        return sorted(one.status for one in said)

    assert told(tmp_path, story) == [201, 409, 409, 409]


def test_a_wrong_secret_is_refused_and_spends_nothing(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        secret = await _secret(controlled)
        wrong = ("x", secret[:-1], f"{secret} ", "é")
        return [
            *[await _init(controlled, one) for one in wrong],
            await _init(controlled, secret),
        ]

    *wrong, right = told(tmp_path, story)

    assert {(one.status, one.document["code"]) for one in wrong} == {(403, "wrong-secret")}
    assert right.status == 201


def test_after_five_wrong_secrets_in_a_minute_none_is_looked_at(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[list[int], Said]:
        secret = await _secret(controlled)
        said = await asyncio.gather(*(_init(controlled, f"wrong{n}") for n in range(20)))
        return sorted(one.status for one in said), await _init(controlled, secret)

    statuses, right = told(tmp_path, story)

    assert statuses == [403] * 5 + [429] * 15
    assert (right.status, right.document["code"]) == (429, "too-many-attempts")


def test_without_a_secret_that_waits_there_is_no_beginning(tmp_path: Path) -> None:
    said = told(tmp_path, lambda controlled: _init(controlled, "anything"))

    assert (said.status, said.document["code"]) == (409, "already-initialised")


def test_a_secret_that_cannot_be_opened_lets_nobody_in(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> Said:
        secret = await _secret(controlled)
        secrets = SecretLedger(controlled.database, controlled.clock)
        await secrets.replace("bootstrap", await secrets.read("bootstrap"), "x")
        return await _init(controlled, secret)

    said = told(tmp_path, story)

    assert (said.status, said.document["code"]) == (503, "keys-unusable")


def test_a_body_without_the_secret_says_what_is_missing(tmp_path: Path) -> None:
    said = told(tmp_path, lambda controlled: controlled.ask("POST", "/init"))

    assert said.status == 422
    assert said.document["problems"] == [{"field": "secret", "problem": "This is required."}]


def test_a_beginning_that_cannot_be_recorded_gives_no_token(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said]:
        secret = await _secret(controlled)
        controlled.disk.is_full = True
        refused = await _init(controlled, secret)
        controlled.disk.is_full = False
        return refused, await controlled.listed()

    refused, listed = told(tmp_path, story)

    assert (refused.status, refused.document["code"]) == (503, "not-recorded")
    assert "admin_access_token" not in refused.document
    assert listed.document["tokens"] == []


def test_the_secret_makes_an_admin_of_whoever_is_none_any_more(tmp_path: Path) -> None:
    role = Fact("has_role", (Entity("User", "admin"), "admin"))

    async def story(controlled: Controlled) -> tuple[list[Any], Said]:
        lost = Change((), (role,), "test", "User:other", "he left")
        await controlled.standing.change(lost)
        said = await _init(controlled, await _secret(controlled))
        token = said.document["admin_access_token"]
        return controlled.records("change"), await controlled.ask("GET", "/api/v0/clients", token)

    changes, listed = told(tmp_path, story)

    assert [one.payload["what"] for one in changes] == ["admin.restored", "token.issued"]
    assert listed.status == 200
