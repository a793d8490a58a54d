"""Whoever comes from MCPJungle finds his verbs, his flags and his files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answering import Answers, answering, ran

MADE = {"name": "bot", "warnings": []}
ANSWERS: Answers = {
    "POST /api/v0/clients": (201, MADE),
    "POST /api/v0/users": (201, MADE),
    "PATCH /api/v0/clients/bot": (200, MADE),
    "PATCH /api/v0/users/bot": (200, MADE),
}


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (
            "create mcp-client bot --allow a,b --description D --access-token of-bots-own",
            {
                "name": "bot",
                "allow_list": ["a", "b"],
                "description": "D",
                "access_token": "of-bots-own",
            },
        ),
        (
            "create user bot --access-token of-bots-own",
            {"name": "bot", "roles": ["user"], "access_token": "of-bots-own"},
        ),
        (
            "update mcp-client bot --access-token of-bots-own",
            {"access_token": "of-bots-own"},
        ),
        (
            "update user bot --access-token of-bots-own --overlap 2h",
            {"access_token": "of-bots-own", "access_token_overlap_seconds": 7200},
        ),
        (
            "client update bot --no-access-token --description D",
            {"access_token": None, "description": "D"},
        ),
    ],
)
def test_access_tokens_are_given_and_replaced_and_never_repeated(
    tmp_path: Path, line: str, sent: dict[str, Any]
) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(line)

    assert done.code == 0, done.err
    assert desk.asked[-1].document == sent
    assert "of-bots-own" not in done.out + done.err


@pytest.mark.parametrize("noun", ["mcp-client", "user"])
def test_an_access_token_is_read_from_standard_input(tmp_path: Path, noun: str) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(f"update {noun} bot --access-token -", stdin="of-bots-own\n")
        nothing = desk.run(f"update {noun} bot")

    assert desk.asked[-1].document == {"access_token": "of-bots-own"}
    assert "of-bots-own" not in done.out + done.err
    assert (nothing.code, len(desk.asked)) == (2, 1)


@pytest.mark.parametrize(
    ("document", "token"),
    [
        ({"access_token": "in-the-file"}, "in-the-file"),
        ({"access_token": "in-${A}"}, "in-place"),
        ({"access_token_ref": {"env": "B"}}, "of-the-variable"),
        ({"access_token_ref": {"file": "token.txt"}}, "of-a-file"),
        ({"access_token_ref": {"file": "token.txt", "env": "B"}}, "of-the-variable"),
        ({"access_token": "in-the-file", "access_token_ref": {"env": "B"}}, "in-the-file"),
        ({"access_token": "", "access_token_ref": {"env": "B"}}, "of-the-variable"),
        ({"access_token": None}, None),
    ],
)
@pytest.mark.parametrize("noun", ["mcp-client", "user"])
def test_files_of_clients_and_users_are_taken_with_the_token_where_they_say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    noun: str,
    document: dict[str, Any],
    token: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token.txt").write_text("of-a-file\n", encoding="utf-8")
    is_client = noun == "mcp-client"
    servers = {"allowed_servers": ["a", "b"], "description": "D"} if is_client else {}
    file = tmp_path / "bot.json"
    file.write_text(json.dumps({"name": "bot", **servers, **document}), encoding="utf-8")
    with answering(tmp_path, ANSWERS) as desk:
        sent = desk.sent(f"create {noun} -c bot.json", A="place", B="of-the-variable")

    wanted: dict[str, Any] = {"name": "bot"} | ({} if token is None else {"access_token": token})
    more = {"allow_list": ["a", "b"], "description": "D"} if is_client else {"roles": ["user"]}
    assert sent == wanted | more


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"name": "bot"}, "no-token"),
        ({"name": "bot", "access_token_ref": {}}, "no-token"),
        ({"name": "bot", "access_token_ref": {"env": "ABSENT"}}, "no-token"),
        ({"name": "bot", "access_token_ref": {"env": "EMPTY", "file": "token.txt"}}, "no-token"),
        ({"name": "bot", "access_token_ref": {"file": "empty.txt"}}, "bad-file"),
        ({"name": "bot", "access_token_ref": {"file": "absent.txt"}}, "no-file"),
        ({"access_token": "in-the-file"}, "no-name"),
        ({"name": "${ABSENT}", "access_token": "in-the-file"}, "unset-variable"),
    ],
)
def test_a_file_without_a_token_or_a_name_makes_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token.txt").write_text("of-a-file", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "bot.json").write_text(json.dumps(document), encoding="utf-8")
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run("create mcp-client --conf bot.json --json", EMPTY="")

    assert (done.code, done.document["errors"][0]["code"]) == (2, code)
    assert desk.asked == []


def test_a_file_and_flags_say_two_things(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run("create mcp-client bot --conf bot.json")

    assert (done.code, desk.asked) == (2, [])


FAMILIAR = """
start --port --enterprise --prod --sqlite-db-path
init-server --registry
login --registry
version --registry
register --name --url --description --bearer-token --force -c --conf
deregister
list servers
list tools --server
list prompts --server
list resources --server
list mcp-clients
list users
usage
invoke --input
enable
enable tool
enable prompt
enable server
disable
disable tool
disable prompt
disable server
get prompt --arg
get resource --read
create mcp-client --allow --description --access-token -c --conf
create user --access-token -c --conf
update mcp-client --access-token
update user --access-token
delete mcp-client
delete user
export -d --dir
"""


@pytest.mark.parametrize("line", FAMILIAR.strip().splitlines())
def test_a_familiar_verb_is_there_with_its_flags(tmp_path: Path, line: str) -> None:
    words = line.split()
    verbs = [word for word in words if not word.startswith("-")]
    flags = set(words) - set(verbs)
    done = ran(tmp_path, [*verbs, "--help"])

    assert done.code == 0
    assert flags <= set(done.out.replace(",", " ").split())
