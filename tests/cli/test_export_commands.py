"""`northgate export` and `import`: all of a gateway but its secrets, and back again."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.outputs import GrantsPage
from proxy.admin.server_terms import NewServer
from tests.cli.answering import Answers, answering
from tests.cli.test_server_commands import GITHUB, LOST

BOT: dict[str, Any] = {
    "name": "bot",
    "description": "Builds",
    "is_suspended": False,
    "created_at": 1_800_000_000,
    "created_by": "User:admin",
    "allow_list": ["github"],
    "teams": ["ops"],
    "has_access_token": True,
    "access_token_id": "t-1",
    "access_token_expires_at": None,
}
NEW = BOT | {"name": "9-lives", "has_access_token": False, "is_suspended": True}
GRANT: dict[str, Any] = {
    "id": "7",
    "actor": "client:bot",
    "role": "caller",
    "resource": "tool:github__echo",
    "until": 1_900_000_000,
    "origin": "grant",
    "version": 3,
    "added_at": 1_800_000_000,
    "added_by": "User:admin",
    "why": "a trial",
}
OTHERS = [
    GRANT | {"id": "8", "origin": "allow-list"},
    GRANT | {"id": "9", "until": 1_700_000_000},
]
ANSWERS: Answers = {
    "GET /api/v0/servers": (200, {"servers": [GITHUB, LOST], "next": None}),
    "GET /api/v0/clients": (200, {"clients": [BOT, NEW], "next": None}),
    "GET /api/v0/grants": (200, {"grants": [GRANT, *OTHERS], "version": 3, "next": None}),
    "POST /api/v0/servers": (201, {"server": GITHUB}),
    "POST /api/v0/clients": (201, BOT | {"warnings": []}),
    "POST /api/v0/grants": (201, GRANT),
}
SET = {
    "GITHUB_BEARER_TOKEN": "s3cret-1",
    "GITHUB_X_KEY": "s3cret-2",
    "BOT_ACCESS_TOKEN": "s3cret-3",
}


def read(path: Path) -> Any:  # noqa: ANN401  whatever the JSON holds
    return json.loads(path.read_text(encoding="utf-8"))


def test_what_this_plane_answers_is_what_the_routes_promise() -> None:
    GrantsPage.model_validate(ANSWERS["GET /api/v0/grants"][1], strict=True)


def test_everything_is_written_but_secrets_and_what_they_are_called_is_said(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(["export", "--dir", str(directory)])

    github, bot = read(directory / "servers/github.json"), read(directory / "clients/bot.json")
    assert github["bearer_token"] == "${GITHUB_BEARER_TOKEN}"  # noqa: S105  no secret
    assert github["headers"] == {"X-Key": "${GITHUB_X_KEY}"}
    assert {name: github[name] for name in ("name", "url", "network")} == {
        "name": "github",
        "url": GITHUB["url"],
        "network": "public",
    }
    NewServer.model_validate(github | {"headers": {"X-Key": "x"}})
    assert bot == {
        "name": "bot",
        "description": "Builds",
        "allow_list": ["github"],
        "teams": ["ops"],
        "access_token": "${BOT_ACCESS_TOKEN}",
    }
    assert read(directory / "clients/9-lives.json")["access_token"] is None
    assert read(directory / "grants.json") == {
        "grants": [
            {
                "actor": "client:bot",
                "role": "caller",
                "resource": "tool:github__echo",
                "why": "a trial",
                "until": "2030-03-17T17:46:40Z",
            }
        ]
    }
    modes = {stat.S_IMODE(one.stat().st_mode) for one in directory.rglob("*.json")}
    assert modes == {0o600}
    assert done.out.startswith(f"Written to {directory}: 2 servers, 2 clients, 1 grant.\n")
    assert done.lines[1].endswith(" ".join(sorted(SET)))
    assert "The server lost is disabled" in done.err
    assert "The client 9-lives is suspended" in done.err


@pytest.mark.parametrize("holds", ["file", "itself"])
def test_nothing_is_written_where_something_is(tmp_path: Path, holds: str) -> None:
    directory = tmp_path / "out"
    if holds == "file":
        directory.mkdir()
        (directory / ".hidden").touch()
    else:
        directory.touch()
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(["export", "-d", str(directory), "--json"])

    assert (done.code, desk.asked) == (2, [])
    assert done.document["errors"][0]["code"] in {"not-empty", "no-directory"}


def test_what_was_written_is_taken_by_register_by_create_and_by_import(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    with answering(tmp_path, ANSWERS) as desk:
        desk.run(["export", "-d", str(directory)])
        server = desk.sent(["register", "-c", str(directory / "servers/github.json")], **SET)
        client = desk.sent(
            ["create", "mcp-client", "-c", str(directory / "clients/bot.json")], **SET
        )
        desk.asked.clear()
        unset = desk.run(["import", str(directory)])
        assert desk.asked == []
        done = desk.run(["import", str(directory)], **SET)
        sent = {one.what: one.document for one in desk.asked}

    assert (server["bearer_token"], server["headers"]) == ("s3cret-1", {"X-Key": "s3cret-2"})
    assert client["access_token"] == SET["BOT_ACCESS_TOKEN"]
    assert (unset.code, "error[unset-variable]" in unset.err) == (2, True)
    assert (done.code, done.out) == (0, "Done: 5 of 5.\n")
    assert sent["POST /api/v0/grants"]["until"] == "2030-03-17T17:46:40Z"
    assert not any(secret in done.out + done.err for secret in SET.values())


def test_what_is_refused_keeps_nothing_else_from_being_imported(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    taken = {"error": "This name is taken.", "code": "name-taken"}
    with answering(tmp_path, ANSWERS) as desk:
        desk.run(["export", "-d", str(directory)])
        desk.answers = {**ANSWERS, "POST /api/v0/clients": (409, taken)}
        done = desk.run(["import", str(directory), "--json"], **SET)

    assert done.code == 1
    assert len(done.document["done"]) == 3
    assert [one["code"] for one in done.document["refused"]] == ["name-taken"] * 2
    assert "clients/bot.json: error[name-taken]: This name is taken." in done.err
