"""`northgate client`, `user` and `team`, as processes, against a control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.admin.controlled import AUDITOR, controlling
from tests.cli.running import Ran
from tests.cli.test_token_commands import Terminal

T = TypeVar("T")


def at_terminal(tmp_path: Path, story: Callable[[Terminal], Awaitable[T]]) -> T:
    """Run *story* where an administrator has logged in."""

    async def run() -> T:
        async with controlling(tmp_path / "data") as controlled:
            terminal = Terminal(tmp_path / "home", controlled)
            await terminal.log_in()
            return await story(terminal)

    return asyncio.run(run())


async def ran(terminal: Terminal, *lines: str) -> list[Ran]:
    return [await terminal.run(*line.split()) for line in lines]


def test_a_client_from_its_making_to_its_end(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        return await ran(
            terminal,
            "team create ops",
            "client create bot --allow github,github__*,githup --teams ops",
            "client update bot --allow github --description Builds",
            "client suspend bot --why odd",
            "client list",
            "client resume bot",
            "client show bot --json",
            "team show ops",
            "client delete bot --yes",
            "client show bot",
        )

    _, made, changed, suspended, listed, resumed, shown, team, deleted, gone = at_terminal(
        tmp_path, story
    )

    assert made.out.startswith("The client bot is there now.\nNext: northgate token issue bot\n")
    assert "warning: githup is not offered now" in made.err
    assert [line.split()[-1] for line in changed.lines if line.startswith("allow list")] == [
        "github"
    ]
    assert suspended.out == "The client bot is suspended: it may do nothing.\n"
    assert [line.split()[:4] for line in listed.lines] == [
        ["NAME", "ALLOWED", "TEAMS", "STATE"],
        ["bot", "github", "ops", "suspended"],
    ]
    assert resumed.out == "The client bot may act again.\n"
    assert shown.document["is_suspended"] is False
    assert (shown.document["description"], shown.document["teams"]) == ("Builds", ["ops"])
    assert "client:bot" in team.out
    assert (deleted.code, deleted.out) == (0, "There is no client bot any more.\n")
    assert gone.code == 1
    assert "northgate client list shows what there is." in gone.err


def test_users_have_the_roles_they_are_given_and_one_admin_stays(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        return await ran(
            terminal,
            "token issue admin --user",
            "user create bob --roles auditor,user",
            "user update bob --roles user --description B --json",
            "user update bob --roles ,",
            "user list --json",
            "user suspend admin",
            "user update bob",
        )

    _, made, changed, emptied, listed, refused, nothing = at_terminal(tmp_path, story)

    assert "northgate token issue bob --user" in made.out
    assert (changed.document["roles"], changed.document["description"]) == (["user"], "B")
    assert emptied.code == 0
    assert {one["name"]: one["roles"] for one in listed.document["users"]} == {
        "admin": ["admin"],
        "bob": [],
    }
    assert (refused.code, "error[last-admin]" in refused.err) == (1, True)
    assert "northgate user update NAME --roles admin" in refused.err
    assert (nothing.code, "error[nothing-to-do]" in nothing.err) == (2, True)


def test_nothing_is_destroyed_before_somebody_says_yes(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[list[Ran], list[Ran]]:
        await ran(terminal, "client create bot", "user create bob")
        asked = (
            ("client", "delete", "bot"),
            ("user", "delete", "bob"),
            ("client", "suspend", "--all"),
        )
        noes = [await terminal.run(*one, stdin=no) for one in asked for no in ("n\n", "")]
        still = await ran(terminal, "client show bot --json", "user show bob --json")
        assert [one.document["is_suspended"] for one in still] == [False, False]
        return noes, [await terminal.run(*one, stdin="yes\n") for one in reversed(asked)]

    noes, yeses = at_terminal(tmp_path, story)

    assert [one.code for one in noes] == [1] * 6
    assert all(one.out == "" for one in noes)
    assert all("Nothing was deleted." in one.err for one in noes[:4])
    assert all("Nobody was suspended." in one.err for one in noes[4:])
    assert [one.code for one in yeses] == [0] * 3
    # ci and terraform have grants, and the administrator is a user.
    assert yeses[0].lines[0] == "Suspended: 3 clients."


def test_the_familiar_verbs_do_the_same(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        return await ran(
            terminal,
            "create mcp-client bot --allow github,pay --description Builds",
            "create user bob",
            "list mcp-clients --json",
            "list users --json",
            "delete mcp-client bot --yes",
            "delete mcp-client bot --yes",
            "delete user bob --yes",
            "delete user bob --yes",
        )

    *_, clients, users, once, again, gone, unknown = at_terminal(tmp_path, story)

    [client] = clients.document["clients"]
    assert (client["allow_list"], client["description"]) == (["github", "pay"], "Builds")
    assert [(one["name"], one["roles"]) for one in users.document["users"]] == [("bob", ["user"])]
    assert [one.code for one in (once, again, gone, unknown)] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("line", "code", "exit_code"),
    [
        ("client create bot --allow bad_", "invalid", 2),
        ("client create a/b", "invalid", 2),
        ("client show a/b", "bad-name", 2),
        ("client suspend nobody", "unknown-client", 1),
        ("user create bob --roles boss", "invalid", 2),
        ("user create bob --teams none", "invalid", 2),
        ("team delete nobody --yes", "unknown-team", 1),
    ],
)
def test_what_cannot_be_done_is_said_in_words_and_as_json(
    tmp_path: Path, line: str, code: str, exit_code: int
) -> None:
    async def story(terminal: Terminal) -> Ran:
        return (await ran(terminal, f"{line} --json"))[0]

    one = at_terminal(tmp_path, story)

    assert (one.code, one.document["errors"][0]["code"]) == (exit_code, code)
    assert one.document["errors"][0]["message"] in one.err


def test_whom_to_suspend_has_to_be_said(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        return await ran(terminal, "client suspend", "client suspend bot --all")

    assert [one.code for one in at_terminal(tmp_path, story)] == [2, 2]


def test_an_auditor_learns_which_action_he_lacks(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[Ran]:
        await terminal.log_in(terminal.controlled.token(AUDITOR))
        return await ran(terminal, "client list --json", "user list --json", "access list --json")

    found = at_terminal(tmp_path, story)

    assert [(one.code, one.document["errors"][0]["action"]) for one in found] == [
        (1, "manage_clients"),
        (1, "manage_users"),
        (1, "manage_grants"),
    ]
