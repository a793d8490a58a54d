"""`northgate access review` and `access narrow`: what the record says is needed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from policies.model import Entity, Fact
from storage.engine import open_database
from storage.facts import Change, FactLedger
from tests.cli.past import Past, lived
from tests.cli.running import Ran

SERVER: Final = Entity("Server", "up")


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    with lived(tmp_path_factory.mktemp("past")) as past:
        asyncio.run(granted_long_ago(past))
        yield past


async def granted_long_ago(past: Past) -> None:
    """Let grants stand that are older than the record: that of then, and one that nobody used."""
    database = await open_database(f"sqlite:///{past.data / 'northgate.db'}")
    try:
        ledger = FactLedger(database, lambda: 1_000_000_000.0)
        facts = (
            Fact("has_role", (Entity("Client", "ci"), "caller", SERVER)),
            Fact("has_role", (Entity("Client", "idle"), "caller", SERVER)),
        )
        await ledger.change(Change(facts, (), "grant", "User:root", "ticket 7"))
    finally:
        await database.close()


def of(ran: Ran, client: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        one
        for one in ran.document["grants"]
        if one["args"][0] == {"type": "Client", "id": client} and one["predicate"] == "has_role"
    ]
    return found[0]


def test_a_review_tells_which_grants_rules_and_tools_were_needed(past: Past) -> None:
    ran = past.run("access", "review", "--json")

    assert ran.code == 0
    idle = of(ran, "idle")
    assert (idle["state"], idle["decisions"]) == ("unused", 0)
    assert (idle["by"], idle["why"], idle["at"][:4]) == ("User:root", "ticket 7", "2001")
    assert of(ran, "ci")["state"] == "used"
    assert of(ran, "eve")["state"] == "too_new"
    rules = {(one["file"], one["rule"].partition("(")[0]): one for one in ran.document["rules"]}
    assert rules["allow.polar", "allow"]["used"]
    assert rules["test.polar", "has_permission"]["used"]
    echo = {one["item"]["id"]: one for one in ran.document["items"]}["up__echo"]
    assert (echo["state"], echo["by"]) == ("used", {"type": "Client", "id": "bot"})


def test_the_conditions_that_stood_in_the_way_are_not_idle(past: Past) -> None:
    rules = past.run("access", "review", "--json").document["rules"]

    (allow,) = [one for one in rules if one["rule"].startswith("allow(")]
    # Somebody was refused for being suspended alone, and nobody for not acting alone.
    lines = (past.policies / "allow.polar").read_text().splitlines()
    idle = {lines[one["line"] - 1].strip() for one in allow["conditions_idle"]}
    assert "and not is_suspended(client);" not in idle
    assert "acts_alone(client)" in idle


def test_a_review_for_people_names_what_was_unused_and_may_fail_a_build(past: Past) -> None:
    ran = past.run("access", "review", "--fail-on", "unused")
    wrong = past.run("access", "review", "--fail-on", "everything")

    assert ran.code == 1
    assert "Grants on which nothing rested (1)" in ran.out
    (line,) = [line for line in ran.lines if 'Client{"idle"}' in line]
    assert line.endswith("ticket 7")
    assert (wrong.code, "--fail-on takes unused" in wrong.err) == (2, True)


def test_a_narrower_set_of_grants_is_proposed_with_its_proof(past: Past, tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    before = (past.data / "northgate.db").read_bytes()

    ran = past.run("access", "narrow", "--json", "--out", file)
    people = past.run("access", "narrow")

    assert ran.code == 0
    assert ran.document["newly_denied"] == 0
    assert ran.document["decisions"] >= 2
    revoked = "northgate access revoke client:idle caller server:up"
    assert revoked in ran.document["commands"]
    assert people.lines == ran.document["commands"]
    assert "0 newly denied" in people.err
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == ran.document["facts"]
    assert {one["change"] for one in lines} <= {"add", "remove"}
    assert (past.data / "northgate.db").read_bytes() == before


@pytest.mark.parametrize("command", ["review", "narrow"])
def test_an_interval_without_decisions_or_no_time_at_all_is_said(past: Past, command: str) -> None:
    empty = past.run("access", command, "--since", "2099-01-01T00:00:00Z")
    wrong = past.run("access", command, "--since", "yesterday")

    assert (empty.code, "no decision was recorded" in empty.err) == (2, True)
    assert (wrong.code, "this is no time" in wrong.err) == (2, True)


def test_what_cannot_be_written_is_said(past: Past, tmp_path: Path) -> None:
    ran = past.run("access", "narrow", "--out", tmp_path / "none" / "file")

    assert (ran.code, "this cannot be written" in ran.err) == (2, True)
