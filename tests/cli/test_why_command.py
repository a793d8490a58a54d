"""`northgate why` and `policy case`: a decision of the past, explained and made into a test."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from proxy.keptpolicies import DIRECTORY
from storage.journal import verify
from tests.cli.past import Past, lived
from tests.cli.running import run

JUDGED: Final = (
    "granted", "unknown tool", "stranger", "by an argument", "for its argument", "suspended",
    "no longer", "observed",
)  # fmt: skip


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    with lived(tmp_path_factory.mktemp("past")) as past:
        yield past


@pytest.mark.parametrize("name", JUDGED)
def test_a_decision_comes_out_as_recorded(past: Past, name: str) -> None:
    ran = past.run("why", past.ids[name], "--json")

    assert (ran.code, ran.document["standing"]) == (0, "as_recorded")
    assert ran.document["verdict"] == ran.document["record"]["verdict"]
    assert ran.document["rules"] == ran.document["record"]["rules"]
    assert bool(ran.document["misses"]) is (ran.document["verdict"] == "deny")


def test_an_allow_is_told_with_rules_and_who_stated_the_facts(past: Past) -> None:
    ran = past.run("why", past.ids["granted"])

    assert ran.code == 0
    for words in (
        'Client:ci: call Tool{"up__echo"} on up',
        "as recorded",
        "allow.polar:",
        'has_role(Client{"ci"}, "caller", Server{"up"})',
        "stated by System:test (test) at 20",
    ):
        assert words in ran.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stranger", 'missing: has_role(Client{"bot"}, "caller", Server{"up"})'),
        ("for its argument", 'missing: argument(Tool{"up__echo"}, "mode", "read")'),
        ("suspended", 'in the way: is_suspended(Client{"eve"})'),
        ("unknown tool", 'missing: has_relation(Tool{"up__none"}, "server"'),
        ("unknown method", "The policy was not asked."),
    ],
)
def test_a_denial_is_told_with_what_it_lacked(past: Past, name: str, words: str) -> None:
    ran = past.run("why", past.ids[name])

    assert (ran.code, words in ran.out) == (0, True), ran.out


def test_the_argument_of_a_call_is_part_of_its_proof(past: Past) -> None:
    steps = past.run("why", past.ids["by an argument"], "--json").document["steps"]

    (step,) = [step for step in steps if step["predicate"] == "argument"]
    assert (step["args"][1:], step["source"]) == (["mode", "read"], "this call")


@pytest.mark.parametrize("command", [["why"], ["policy", "case"]])
def test_what_is_not_there_is_said(past: Past, command: list[str]) -> None:
    unknown = past.run(*command, "ffffffff-ffff")
    no_id = past.run(*command, "everything")
    several = past.run(*command, past.ids["granted"][:8])

    assert (unknown.code, unknown.err) == (
        1,
        "No decision has an id that begins with ffffffff-ffff.\n",
    )
    assert (no_id.code, "this is no id" in no_id.err) == (2, True)
    assert (several.code, "give more" in several.err) == (2, True)


def test_a_policy_that_was_not_kept_is_missed_by_name(past: Past, tmp_path: Path) -> None:
    copy = Past(tmp_path / "copy", past.policies)
    shutil.copytree(past.data, copy.data)
    (kept,) = [
        one for one in (copy.data / DIRECTORY).iterdir() if not (one / "test.polar").exists()
    ]
    (kept / "allow.polar").write_text("# another\n")

    old, new = (copy.run("why", past.ids[name]) for name in ("granted", "suspended"))

    assert (old.code, f"sha256:{kept.name} was not kept here" in old.err) == (2, True)
    assert new.code == 0


def test_a_record_that_was_altered_is_contradicted(past: Past, tmp_path: Path) -> None:
    copy = Past(tmp_path / "copy", past.policies)
    shutil.copytree(past.data, copy.data)
    for file in (copy.data / "journal").glob("*.jsonl"):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(map(turned, lines)))

    ran = copy.run("why", past.ids["no longer"])

    assert not verify(copy.data / "journal").is_whole
    assert (ran.code, "THE RECORD DOES NOT AGREE" in ran.out) == (1, True)


def turned(line: bytes) -> bytes:
    return line.replace(b'"deny","reason":"not_visible"', b'"allow","reason":"granted"')


@pytest.mark.parametrize("name", ["granted", "unknown tool", "for its argument", "suspended"])
def test_a_case_passes_under_the_policy_of_then_and_needs_all_it_says(
    past: Past, tmp_path: Path, name: str
) -> None:
    ran = past.run("policy", "case", past.ids[name], "--json")
    policy = past.data / DIRECTORY / ran.document["policy"].partition(":")[2]
    (tmp_path / "case.polar").write_text(ran.document["test"])

    tested = run("test", policy, tmp_path / "case.polar")

    assert (ran.code, tested.code) == (0, 0), tested.out
    if ran.document["allowed"]:
        for fact in ran.document["setup"]:
            (tmp_path / "less.polar").write_text(ran.document["test"].replace(f"{fact};", ""))
            assert run("test", policy, tmp_path / "less.polar").code == 1, fact


def test_a_case_of_a_suspension_has_all_but_that_granted(past: Past) -> None:
    setup = past.run("policy", "case", past.ids["suspended"], "--json").document["setup"]

    assert 'is_suspended(Client{"eve"})' in setup
    assert 'has_role(Client{"eve"}, "caller", Server{"up"})' in setup


def test_of_what_no_policy_decided_there_is_no_case(past: Past) -> None:
    ran = past.run("policy", "case", past.ids["unknown method"])

    assert (ran.code, "no test can be made" in ran.err) == (2, True)


def test_no_command_tells_what_the_record_does_not(past: Past) -> None:
    said = past.run("why", past.ids["by an argument"], "--json")

    assert "hush" not in json.dumps(said.document)


def test_a_denial_that_was_not_enforced_is_told_as_such_everywhere(past: Past) -> None:
    id_ = past.ids["observed"]

    why = past.run("why", id_)
    case = past.run("policy", "case", id_)
    sheet = past.run("record", "show", id_)
    listed = past.run("record", "list", "--observed")
    lines = past.run("record", "tail", "--observed")
    exported = past.run("record", "export", "--observed", "--format", "csv")

    assert "deny, not_visible, not enforced" in why.out
    assert "The server was observed and the policy not enforced there" in why.out
    assert "as it may not see it" not in why.out
    assert (case.code, "assert_not allow" in case.out) == (0, True)
    assert "is_observed" not in case.out
    assert "deny, not_visible, not enforced: the server is observed" in sheet.out
    assert "outcome      200" in sheet.out
    [row] = csv.DictReader(io.StringIO(exported.out))
    assert row["id"] == id_
    assert (row["verdict"], row["enforced"], row["outcome.status"]) == ("deny", "false", "200")
    assert listed.out.count("deny (obs") == lines.out.count("deny (observed)") == 1
    assert id_ in listed.out
    assert past.run("record", "list", "--observed", "--kind", "change").code == 2
