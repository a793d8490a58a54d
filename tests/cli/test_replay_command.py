"""`northgate replay`: what a change of the policy would have done to the calls of the past."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from storage.journal import read
from tests.cli.past import RULE, Past, lived

REFUSED: Final = "not-there.polar"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    with lived(tmp_path_factory.mktemp("past")) as past:
        yield past


def candidate(past: Past, directory: Path, text: str) -> Path:
    shutil.copytree(past.policies, directory / "candidate")
    (directory / "candidate" / "test.polar").write_text(text, encoding="utf-8")
    return directory / "candidate"


def test_a_policy_that_only_adds_a_rule_changes_what_the_rule_says(past: Past) -> None:
    ran = past.run("replay", "--policies", past.policies, "--json")

    # The first call of the bot was before the rule: it could not even connect.
    assert ran.code == 0
    assert [group["difference"] for group in ran.document["groups"]] == ["newly-allowed"]
    (group,) = ran.document["groups"]
    assert group["principal"] == {"type": "Client", "id": "bot"}
    assert (group["action"], group["examples"]) == ("connect", [past.ids["stranger"]])
    assert any(rule.startswith("test.polar:") for rule in group["rules"])
    counted = [ran.document[key] for key in ("newly_allowed", "unchanged", "not_judged")]
    assert (sum(counted), ran.document["decisions"]) == (9, 9)


def test_a_lost_rule_is_newly_denied_and_may_fail_a_build(past: Past, tmp_path: Path) -> None:
    less = candidate(past, tmp_path, "")

    ran = past.run("replay", "--policies", less, "--fail-on", "newly-denied")
    other = past.run("replay", "--policies", less, "--fail-on", "newly-allowed")

    assert (ran.code, other.code) == (1, 0)
    assert "Newly denied" in ran.out
    assert past.ids["by an argument"] in ran.out
    assert "9 decisions: 0 newly allowed, 1 newly denied" in ran.out


def test_what_nobody_recorded_is_never_guessed(past: Past, tmp_path: Path) -> None:
    more = candidate(past, tmp_path, RULE.replace('"mode", "read"', '"mode", "write"'))

    known = past.run("replay", "--policies", more, "--json").document

    # The policy of then named no such text, and its digest is told apart by the master key.
    assert (known["cannot_tell"], known["newly_denied"], known["newly_allowed"]) == (0, 1, 2)
    (past_key := past.data / "master.key").rename(tmp_path / "key")
    try:
        told = past.run("replay", "--policies", more, "--json").document
    finally:
        (tmp_path / "key").rename(past_key)
    assert told["cannot_tell"] == 1
    assert [g["lacking"] for g in told["groups"] if g["lacking"]] == ["the argument `mode`"]


def test_the_facts_of_now_may_be_asked_instead(past: Past) -> None:
    ran = past.run("replay", "--policies", past.policies, "--facts", "now", "--json")

    denied = [g for g in ran.document["groups"] if g["difference"] == "newly-denied"]
    assert [g["examples"] for g in denied] == [[past.ids["granted"]]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--since", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z"], "no decision"),
        (["--since", "yesterday"], "this is no time"),
        (["--fail-on", "everything"], "--fail-on takes newly-allowed"),
        (["--policies", REFUSED], "cannot be read"),
    ],
)
def test_what_cannot_be_replayed_is_said(past: Past, options: list[str], words: str) -> None:
    ran = past.run("replay", "--policies", past.policies, *options)

    assert (ran.code, words in ran.err) == (2, True), ran.err


def test_a_candidate_with_errors_is_refused_with_every_place(past: Past, tmp_path: Path) -> None:
    wrong = candidate(past, tmp_path, 'has_permission(c: Client, "call", t: Toool) if known(c);\n')

    ran = past.run("replay", "--policies", wrong)

    assert ran.code == 2
    assert "test.polar:1" in ran.err


def test_a_journal_that_is_newer_or_missing_is_refused(past: Past, tmp_path: Path) -> None:
    copy = Past(tmp_path / "copy", past.policies)
    shutil.copytree(past.data, copy.data)
    for file in (copy.data / "journal").glob("*.jsonl"):
        file.write_bytes(
            file.read_bytes().replace(b'{"v":1,"kind":"decision"', b'{"v":9,"kind":"decision"')
        )

    newer = copy.run("replay", "--policies", past.policies)
    shutil.rmtree(copy.data / "journal")
    missing = copy.run("replay", "--policies", past.policies)

    assert (newer.code, "line" in newer.err) == (2, True), newer.err
    assert (missing.code, "there is no journal here" in missing.err) == (2, True)


def test_nothing_is_changed_by_looking(past: Past) -> None:
    before = [(record.id, record.prev) for record in read(past.data / "journal")]

    past.run("replay", "--policies", past.policies)

    assert [(record.id, record.prev) for record in read(past.data / "journal")] == before
