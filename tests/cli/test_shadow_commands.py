"""northgate policy shadow and northgate policy promote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answering import answering

PATH = "/api/v0/shadow"
OLD, NEW = f"sha256:{'0' * 64}", f"sha256:{'1' * 64}"
STARTED = {"version": NEW, "since": 1.0, "by": "User:ann", "in_force": OLD}
GROUP = {
    "difference": "newly-denied",
    "principal": {"type": "Client", "id": "ci"},
    "action": "call",
    "resource": {"type": "Tool", "id": "up__echo"},
    "rules": ["a.polar:3", "a.polar:9"],
    "lacking": None,
    "count": 1200,
    "examples": ["0b1c"],
}
COUNTS = {
    "compared": 5000,
    "skipped": 2,
    "newly_allowed": 0,
    "newly_denied": 1200,
    "cannot_tell": 0,
    "unchanged": 3800,
    "not_judged": 0,
    "others": 0,
}
STATUS: dict[str, Any] = {**STARTED, **COUNTS, "groups": [GROUP]}
POLICY = 'actor Client {}\nresource Tool {}\nallow(_: Client, "call", _: Tool) if true;\n'
NONE = {"error": "No candidate is tried now; start one.", "code": "no-shadow"}


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    directory = tmp_path / "candidate"
    (directory / "team").mkdir(parents=True)
    (directory / "a.polar").write_text(POLICY)
    (directory / "team" / "b.polar").write_text("# of the team\n")
    return directory


def test_start_sends_every_file_by_its_name(tmp_path: Path, candidate: Path) -> None:
    with answering(tmp_path, {f"POST {PATH}": (201, STARTED)}) as desk:
        sent = desk.sent(["policy", "shadow", "start", str(candidate), "--why", "to see"])

    assert sent["files"].keys() == {"a.polar", "team/b.polar"}
    assert sent["files"]["team/b.polar"] == "# of the team\n"
    assert sent["why"] == "to see"


def test_a_candidate_with_errors_is_shown_with_file_and_line_and_not_sent(
    tmp_path: Path, candidate: Path
) -> None:
    (candidate / "a.polar").write_text("\nallow(a, b) if c(\n")
    with answering(tmp_path, {}) as desk:
        done = desk.run(["policy", "shadow", "start", str(candidate)])
        asked = list(desk.asked)

    assert (done.code, asked) == (1, [])
    assert "a.polar:2:" in done.err
    assert "error[candidate-refused]" in done.err


def test_what_the_gateway_alone_refuses_is_told_with_its_place(
    tmp_path: Path, candidate: Path
) -> None:
    place = {"file": "a.polar", "line": 3, "code": "not-portable", "message": "Oso has no such."}
    answer = {"error": "It is none.", "code": "candidate-refused", "problems": [place]}
    with answering(tmp_path, {f"POST {PATH}": (422, answer)}) as desk:
        done = desk.run(["policy", "shadow", "start", str(candidate)])

    assert done.code == 1
    assert "a.polar:3: not-portable: Oso has no such." in done.err


@pytest.mark.parametrize(
    ("more", "code"),
    [("", 0), ("newly-allowed", 0), ("newly-allowed,newly-denied", 1), ("sideways", 2)],
)
def test_status_tells_whose_calls_by_which_rules_and_fails_as_it_is_told(
    tmp_path: Path, more: str, code: int
) -> None:
    with answering(tmp_path, {f"GET {PATH}": (200, STATUS)}) as desk:
        done = desk.run(["policy", "shadow", "status", *(["--fail-on", more] if more else [])])

    assert done.code == code, done.err
    if code < 2:
        assert "Newly denied" in done.out
        assert "1,200  Client:ci  call Tool:up__echo  a.polar:3, a.polar:9  as 0b1c" in done.out
        assert "5,000 decisions compared: 0 newly allowed, 1,200 newly denied" in done.out


def test_status_and_stop_without_a_candidate_say_so(tmp_path: Path) -> None:
    with answering(tmp_path, {f"GET {PATH}": (404, NONE), f"DELETE {PATH}": (404, NONE)}) as desk:
        done = [desk.run(f"policy shadow {one}") for one in ("status", "stop")]

    assert [one.code for one in done] == [1, 1]
    assert all("no-shadow" in one.err for one in done)


def test_json_is_what_the_gateway_said(tmp_path: Path) -> None:
    answers = {f"GET {PATH}": (200, STATUS), f"DELETE {PATH}": (200, STATUS)}
    with answering(tmp_path, answers) as desk:
        for one in ("status", "stop"):
            assert json.loads(desk.run(f"policy shadow {one} --json").out) == STATUS


@pytest.mark.parametrize(
    ("words", "stdin", "sent"),
    [
        ([NEW, "--at-least", "10"], "", {"version": NEW, "least": 10}),
        (["--yes"], "", {"version": NEW, "least": 0}),
        ([], "y\n", {"version": NEW, "least": 0}),
        ([], "n\n", None),
    ],
)
def test_promote_names_the_version_that_was_seen(
    tmp_path: Path, words: list[str], stdin: str, sent: object
) -> None:
    answer = {"version": NEW, "before": OLD}
    answers = {f"GET {PATH}": (200, STATUS), f"POST {PATH}/promote": (200, answer)}
    with answering(tmp_path, answers) as desk:
        done = desk.run(["policy", "promote", *words], stdin)
        last = desk.asked[-1]

    assert done.code == (1 if sent is None else 0)
    assert (last.document if last.what.startswith("POST") else None) == sent
