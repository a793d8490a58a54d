"""`northgate access grant`, `revoke` and `list`, as processes, against a control plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from storage.facts import Change
from tests.cli.running import Ran
from tests.cli.test_identity_commands import at_terminal, ran
from tests.cli.test_token_commands import Terminal


def test_a_grant_is_made_seen_ended_and_still_known_as_of_then(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        found = await ran(
            terminal,
            "access grant client:bot caller server:github --why ticket",
            "access grant client:bot viewer matching:pay__*",
            "access grant client:bot caller tool:pay__dun --until 2h --json",
            "access list --actor client:bot",
            "access list --actor client:bot --json",
        )
        version = found[-1].document["version"]
        return found + await ran(
            terminal,
            "access revoke client:bot caller server:github",
            "access revoke client:bot caller server:github",
            "access list --actor client:bot --role caller --json",
            f"access list --actor client:bot --as-of {version} --json",
            "access list --actor client:bot --as-of 2099-01-01T00:00:00+02:00 --json",
        )

    made, _, leased, listed, before, ended, again, after, then, future = at_terminal(
        tmp_path, story
    )

    assert made.out == "client:bot is caller of server:github.\n"
    assert leased.document["until"] - leased.document["added_at"] in range(7199, 7203)
    assert [line.split()[:3] for line in listed.lines] == [
        ["ACTOR", "ROLE", "RESOURCE"],
        ["client:bot", "caller", "server:github"],
        ["client:bot", "viewer", "matching:pay__*"],
        ["client:bot", "caller", "tool:pay__dun"],
    ]
    assert listed.lines[1].endswith("ticket")
    assert ended.out.startswith("client:bot is not caller of server:github any more.")
    assert (again.code, "northgate access list" in again.err) == (1, True)
    assert [one["resource"] for one in after.document["grants"]] == ["tool:pay__dun"]
    assert then.document["grants"] == before.document["grants"]
    assert len(future.document["grants"]) == 2


def test_a_lease_that_is_over_is_shown_as_such(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> Ran:
        lease = Fact("lease", (Entity("User", "ann"), "caller", Entity("Server", "github"), 1))
        change = Change((lease,), (), "test", "System:test", "")
        await terminal.controlled.standing.change(change)
        return (await ran(terminal, "access list --actor user:ann --resource server:github"))[0]

    assert "1970-01-01T00:00:01Z (over)" in at_terminal(tmp_path, story).lines[1]


def test_the_list_is_read_to_its_last_page(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> Any:  # noqa: ANN401
        for start in (0, 600):
            names = ",".join(f"s{number}" for number in range(start, start + 600))
            await terminal.run("client", "create", f"bot{start}", "--allow", names)
        return (await ran(terminal, "access list --role caller --json"))[0].document

    found = at_terminal(tmp_path, story)

    # One is of the test's own world.
    assert len(found["grants"]) == 1201


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("grant bot boss github", "invalid", 2),
        ("grant client:bot caller server:github --until yesterday", "invalid", 2),
        ("revoke client:bot caller server:github", "unknown-grant", 1),
        ("list --as-of yesterday", "invalid", 2),
        ("list --as-of 999999", "invalid", 2),
    ],
)
def test_what_makes_no_sense_is_said_in_words_and_as_json(
    tmp_path: Path, line: str, code: str, exit_code: int
) -> None:
    async def story(terminal: Terminal) -> Ran:
        return (await ran(terminal, f"access {line} --json"))[0]

    one = at_terminal(tmp_path, story)

    assert (one.code, one.document["errors"][0]["code"]) == (exit_code, code)
    assert one.document["errors"][0]["message"] in one.err


def test_who_can_do_something_is_told_with_why(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        return await ran(
            terminal,
            "access grant client:bot caller server:github --until 2099-01-01T00:00:00Z --why duty",
            "access who-can connect github",
            "access who-can connect server:github --explain",
            "access who-can connect github --json",
            "access who-can connect elsewhere",
        )

    _, table, why, document, unknown = at_terminal(tmp_path, story)

    bot, *_ = [line for line in table.lines if line.startswith("client:bot")]
    assert bot.split()[1:3] == ["2099-01-01T00:00:00Z", "allow.polar:8"]
    assert bot.endswith("always")
    assert 'may connect Server{"github"}.' in table.err
    assert "client:bot, until 2099-01-01T00:00:00Z" in why.lines
    assert "stated by User:admin (grant)" in why.out
    assert "duty" in why.out
    assert any("grants.polar:28" in line for line in why.lines)
    assert {"type": "Client", "id": "bot"} in [
        one["principal"] for one in document.document["principals"]
    ]
    assert (unknown.code, "error[unknown-server]" in unknown.err) == (1, True)
