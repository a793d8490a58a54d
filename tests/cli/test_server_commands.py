"""`northgate register`, `deregister`, `update server` and `list servers`: what is sent and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.enforcement import Observed
from proxy.admin.server_outputs import Affected, EnforcementDocument, OneServer, ServersPage
from proxy.admin.server_terms import NewServer, ServerChanges, ServerTerms
from tests.cli.answering import TOKEN, Answers, answering

CATALOGUE: dict[str, Any] = {
    "known": True,
    "tools": 2,
    "prompts": 1,
    "resources": 0,
    "last_failure": None,
    "taken_at": 1_800_000_000,
}
GITHUB: dict[str, Any] = {
    "name": "github",
    "transport": "http",
    "url": "https://github.example/mcp",
    "description": "Issues and code",
    "network": "public",
    "session_mode": "stateful",
    "headers": ["X-Key"],
    "has_bearer": True,
    "enabled": True,
    "enforcement": "enforce",
    "observed_until": None,
    "source": "registered",
    "registered_at": 1_800_000_000,
    "registered_by": "User:admin",
    "catalogue": CATALOGUE,
}
LOST = {
    "name": "lost",
    "transport": "http",
    "description": "",
    "session_mode": "stateful",
    "enabled": False,
    "enforcement": "observe",
    "observed_until": 1_800_000_000,
    "source": "settings",
    "registered_at": None,
    "catalogue": CATALOGUE | {"known": False, "last_failure": "It cannot be reached."},
}
OBSERVED = {"name": "lost", "enforcement": "observe", "observed_until": 1_800_000_000}
PATH = "/api/v0/servers"
ANSWERS: Answers = {
    f"POST {PATH}": (201, {"server": GITHUB}),
    f"PUT {PATH}/github": (200, {"server": GITHUB}),
    f"PATCH {PATH}/github": (200, {"server": GITHUB}),
    f"DELETE {PATH}/github": (204, None),
    f"GET {PATH}/github": (200, GITHUB),
    f"GET {PATH}": (
        200,
        lambda given: (
            {"servers": [LOST], "next": None}
            if "after" in given
            else {"servers": [GITHUB], "next": "github"}
        ),
    ),
    f"POST {PATH}/github/disable": (
        200,
        {"name": "github", "tools_affected": ["github__a", "github__b"], "prompts_affected": []},
    ),
    f"POST {PATH}/lost/observe": (200, OBSERVED),
    f"POST {PATH}/lost/enforce": (
        200,
        {"name": "lost", "enforcement": "enforce", "observed_until": None},
    ),
}


def test_what_this_plane_answers_is_what_the_routes_promise() -> None:
    OneServer.model_validate({"server": GITHUB}, strict=True)
    ServersPage.model_validate({"servers": [GITHUB, LOST], "next": None}, strict=True)
    Affected.model_validate(ANSWERS[f"POST {PATH}/github/disable"][1], strict=True)


def test_a_server_is_registered_by_the_familiar_flags(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("of-a-file\n", encoding="utf-8")
    line = "register --name github --url https://github.example/mcp"
    with answering(tmp_path, ANSWERS) as desk:
        plain = desk.sent(f"{line} --description Issues --bearer-token of-mine --force")
        assert desk.asked[-1].bearer == f"Bearer {TOKEN}"
        filed = desk.sent([*line.split(), "--bearer-token-file", str(token)])
        piped = desk.run(f"{line} --bearer-token -", stdin="of-a-pipe\n")
        held = desk.asked[-1].document
        headed = desk.sent([*line.split(), "--header", "X-Key=a=b", "--header", "X-Other=c d"])
        done = desk.run(f"{line} --network private --session-mode stateless --why new")

    assert plain == {
        "name": "github",
        "url": "https://github.example/mcp",
        "description": "Issues",
        "bearer_token": "of-mine",
        "force": True,
    }
    assert (filed["bearer_token"], held["bearer_token"]) == ("of-a-file", "of-a-pipe")
    assert "of-a-pipe" not in piped.out + piped.err
    assert headed["headers"] == {"X-Key": "a=b", "X-Other": "c d"}
    assert done.out == (
        "The server github is registered: 2 tools, 1 prompt, 0 resources.\n"
        "Next: northgate access grant client:NAME caller server:github\n"
    )
    for document in (plain, filed, headed, desk.asked[-1].document):
        NewServer.model_validate(document)


def test_files_of_mcpjungle_are_taken_as_they_are_with_variables_of_this_terminal(
    tmp_path: Path,
) -> None:
    file = tmp_path / "github.json"
    document = {
        "name": "github",
        "transport": "streamable_http",
        "description": "At ${HOST_OF_IT} $HOST_OF_IT",
        "url": "https://${HOST_OF_IT}/mcp",
        "bearer_token": "pre-${A_TOKEN}-post",
        "headers": {"X-Key": "${A_TOKEN}"},
        "oauth_scopes": [],
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    given = {"HOST_OF_IT": "github.example", "A_TOKEN": "s3cret"}
    with answering(tmp_path, ANSWERS) as desk:
        sent = desk.sent(["register", "-c", str(file), "--force"], **given)
        unset = desk.run(["register", "--conf", str(file), "--json"], HOST_OF_IT="github.example")
        count = len(desk.asked)

    assert sent == {
        **document,
        "description": "At github.example $HOST_OF_IT",
        "url": "https://github.example/mcp",
        "bearer_token": "pre-s3cret-post",
        "headers": {"X-Key": "s3cret"},
        "force": True,
    }
    NewServer.model_validate(sent)
    assert (unset.code, count) == (2, 1)
    assert unset.document["errors"][0]["code"] == "unset-variable"
    assert "A_TOKEN" in unset.document["errors"][0]["message"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "bad-file"),
        ("[]", "bad-file"),
        ("{", "bad-file"),
        ('{"name": "a", "name": "b"}', "bad-file"),
        ("[" * 100_000, "bad-file"),
        ("{}", "no-name"),
        (None, "no-file"),
    ],
)
def test_a_file_that_says_no_server_sends_nothing(
    tmp_path: Path, content: str | None, code: str
) -> None:
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(["register", "-c", str(file), "--json"])

    assert (done.code, done.document["errors"][0]["code"]) == (2, code)
    assert desk.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["register", "--conf", "x.json", "--url", "http://x"],
        ["register", "--name", "x", "--header", "s3cret"],
        ["register", "--name", "x", "--header", "A=s3cret", "--header", "A=2"],
        ["update", "server", "x", "--conf", "x.json", "--no-headers"],
    ],
)
def test_flags_that_cannot_be_meant_are_wrong_usage_and_never_repeated(
    tmp_path: Path, words: list[str]
) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        done = desk.run(words)

    assert (done.code, desk.asked) == (2, [])
    assert "Usage: " in done.err
    assert "s3cret" not in done.out + done.err


def test_of_a_server_that_is_changed_only_what_is_named_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "github.json"
    file.write_text('{"name": "github", "url": "https://github.example/mcp"}', encoding="utf-8")
    with answering(tmp_path, ANSWERS) as desk:
        moved = desk.sent("update server github --url https://b.example --why moved")
        bare = desk.sent("update server github --no-bearer-token --no-headers")
        anew = desk.sent(["update", "server", "github", "-c", str(file)])
        whats = [one.what for one in desk.asked]
        other = desk.run(["update", "server", "other", "-c", str(file)])
        nothing = desk.run("update server github --why bored")

    assert moved == {"url": "https://b.example", "why": "moved"}
    assert bare == {"bearer_token": None, "headers": {}}
    assert anew == {"url": "https://github.example/mcp"}
    assert whats == [f"{verb} {PATH}/github" for verb in ("PATCH", "PATCH", "PUT")]
    for document in (moved, bare):
        ServerChanges.model_validate(document)
    ServerTerms.model_validate(anew)
    assert (other.code, nothing.code, len(desk.asked)) == (2, 2, 3)
    assert "error[nothing-to-do]" in nothing.err


def test_a_server_goes_once_somebody_says_yes(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        refused = desk.run("deregister github", stdin="n\n")
        assert desk.asked == []
        done = desk.run("deregister github --yes --why old")

    assert (refused.code, refused.out) == (1, "")
    assert "Nothing was deregistered." in refused.err
    assert done.out.startswith("There is no server github any more.\n")
    assert desk.asked[-1].parameters == {"why": "old"}


def test_servers_are_listed_of_all_pages_and_shown_whole(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        listed = desk.run("list servers")
        asked = [one.parameters for one in desk.asked]
        plain = desk.run("list servers --json").document
        shown = desk.run("server show github")
        disabled = desk.run("disable server github")

    assert asked == [{"limit": "500"}, {"limit": "500", "after": "github"}]
    assert [line.split()[:7] for line in listed.lines] == [
        ["NAME", "STATE", "POLICY", "TOOLS", "PROMPTS", "RESOURCES", "FROM"],
        ["github", "enabled", "enforced", "2", "1", "0", "registered"],
        ["lost", "disabled", "observed", "?", "?", "?", "settings"],
    ]
    assert "It cannot be reached." in listed.lines[2]
    assert "Issues and code" in listed.lines[1]
    assert plain == {"servers": [GITHUB, LOST]}
    assert ["catalogue", "taken", "at", "2027-01-15T08:00:00Z"] in map(str.split, shown.lines)
    assert disabled.out == "The server github is disabled, with 2 tools and 0 prompts.\n"


def test_what_became_of_a_server_that_does_not_answer_is_said_with_where_to_look(
    tmp_path: Path,
) -> None:
    failed = {
        "error": "The server could not be reached, so nothing was changed.",
        "code": "upstream-unreachable",
        "reason": "connect",
        "hint": "See whether it runs.",
    }
    with answering(tmp_path, {f"POST {PATH}": (502, failed)}) as desk:
        done = desk.run("register --name github --url http://localhost:9")

    assert done.code == 2
    assert done.err == f"error[{failed['code']}]: {failed['error']}\n  {failed['hint']}\n"


def test_a_server_is_observed_for_a_reason_and_enforced_again(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        unsaid = desk.run("server observe lost")
        assert desk.asked == []
        sent = desk.sent("server observe lost --for 7d --why rollout")
        told = desk.run("server observe lost --why rollout")
        plain = desk.run("server observe lost --why rollout --json").document
        enforced = desk.run("server enforce lost --why done")
        listed = desk.run("server list")

    assert unsaid.code == 2
    assert "--why" in unsaid.err
    Observed.model_validate(sent)
    assert sent == {"until": "7d", "why": "rollout"}
    EnforcementDocument.model_validate(plain)
    assert told.lines == [
        "On the server lost the policy is observed until 2027-01-15T08:00:00Z.",
        "Next: northgate record list --server lost --observed",
    ]
    assert enforced.lines == ["On the server lost the policy is enforced."]
    assert len(listed.lines) == 3
