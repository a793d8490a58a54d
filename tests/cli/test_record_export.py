"""`northgate record export` and `tail`: all that was recorded, in order, and what is new."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest

from proxy.cli.record.exporting import joined
from proxy.cli.record.reading import records
from storage.journal import Kind, Record
from tests.cli.running import command
from tests.cli.test_record_commands import (
    CHANGE,
    decision,
    denial,
    outcome,
    principal,
    recorded,
    run,
    segment,
)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_lines_are_those_of_a_listing_and_all_of_them(tmp_path: Path) -> None:
    ids = recorded(tmp_path, *(decision(fact_version=one) for one in range(70)), outcome(0))

    ran = run("export", "--data-dir", tmp_path)
    lines = [json.loads(line) for line in ran.lines]

    assert (ran.code, ran.err) == (0, "")
    assert [line["record"]["id"] for line in lines] == ids[:70]
    assert lines[0]["outcome"]["ms"] == 3.25
    assert {line["outcome"] is None for line in lines[1:]} == {True}
    listing = run("list", "--data-dir", tmp_path, "--json", "--limit", "70")
    assert listing.out == ran.out


def test_a_csv_has_names_and_a_line_for_each_decision_with_its_outcome(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), denial(), outcome(0, status=502))

    ran = run("export", "--data-dir", tmp_path, "--format", "csv")
    first, second = table(ran.out)

    assert (ran.code, ran.err) == (0, "")
    assert [first["id"], second["id"]] == ids[:2]
    assert (first["principal.id"], first["resource.id"]) == ("ci", "github__create_issue")
    assert json.loads(first["rules"]) == ["allow.polar:8", "mine.polar:3"]
    assert (first["outcome.status"], first["outcome.is_error"]) == ("502", "false")
    assert (second["verdict"], second["outcome.status"]) == ("deny", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_no_text_of_a_caller_is_a_formula_in_a_csv(tmp_path: Path, name: str) -> None:
    recorded(tmp_path, denial(principal=principal(name)))

    (row,) = table(run("export", "--data-dir", tmp_path, "--format", "csv").out)

    assert row["principal.id"] == f"'{name}"


def test_a_field_that_no_column_is_for_is_told_and_is_in_the_json(tmp_path: Path) -> None:
    recorded(tmp_path, denial(later=1, principal=principal("ci", later=2)))

    ran = run("export", "--data-dir", tmp_path, "--format", "csv")

    assert ran.code == 0
    assert "no column for it: later, principal.later. jsonl has all." in ran.err
    (line,) = run("export", "--data-dir", tmp_path).lines
    assert json.loads(line)["record"]["later"] == 1


@pytest.mark.parametrize("kind", ["change", "outcome", "checkpoint"])
def test_other_kinds_have_tables_of_their_own(tmp_path: Path, kind: str) -> None:
    recorded(tmp_path, decision(), outcome(0), CHANGE, {"key": "k", "chains": []})

    ran = run("export", "--data-dir", tmp_path, "--format", "csv", "--kind", kind)

    assert (ran.code, ran.err) == (0, "")
    assert len(table(ran.out)) == (2 if kind == "change" else 1)


@pytest.mark.parametrize("leaf", ["export", "tail"])
def test_filters_are_those_of_a_listing(tmp_path: Path, leaf: str) -> None:
    ids = recorded(tmp_path, decision(), denial(), denial(server="other"))

    ran = run(leaf, "--data-dir", tmp_path, "--verdict", "deny", "--server", "github")
    odd = run(leaf, "--data-dir", tmp_path, "--since", "yesterday")

    assert [ids[1] in line for line in ran.lines] == [True]
    assert odd.code == 2
    assert "--since yesterday: this is no time" in odd.err


def test_nothing_found_is_no_failure(tmp_path: Path) -> None:
    recorded(tmp_path, decision())

    ran = run("export", "--data-dir", tmp_path, "--until", "2020-01-01T00:00:00Z")

    assert (ran.code, ran.out) == (0, "")


@pytest.mark.parametrize("leaf", ["export", "tail"])
def test_a_torn_last_line_is_passed_over_and_stays(tmp_path: Path, leaf: str) -> None:
    recorded(tmp_path, decision(), denial())
    with segment(tmp_path).open("ab") as file:
        file.write(b'{"v":1,"kind":"deci')
    before = segment(tmp_path).read_bytes()

    ran = run(leaf, "--data-dir", tmp_path)

    assert (ran.code, len(ran.lines)) == (0, 2)
    assert segment(tmp_path).read_bytes() == before


def test_only_so_many_decisions_wait_for_an_outcome_and_the_rest_is_told(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), denial(), denial(), denial(), outcome(0))
    late: list[str] = []

    def is_decision(record: Record) -> bool:
        return record.kind is Kind.DECISION

    found = list(joined(records(tmp_path), is_decision, late, 2))

    assert [entry.record.id for entry in found] == ids[:4]
    assert (found[0].outcome, late) == (None, ids[:1])


def test_a_tail_is_the_last_ten_or_as_many_as_are_asked_for(tmp_path: Path) -> None:
    ids = recorded(tmp_path, *(decision(fact_version=one) for one in range(12)))

    ten = run("tail", "--data-dir", tmp_path, "--json")
    two = run("tail", "--data-dir", tmp_path, "-n", "2")

    assert [json.loads(line)["id"] for line in ten.lines] == ids[2:]
    assert [line.split()[-1] for line in two.lines] == ids[10:]
    assert "Client:ci  call  Tool:github__create_issue  allow  granted" in two.lines[0]


def test_a_tail_shows_what_became_of_what_it_showed_and_of_nothing_else(tmp_path: Path) -> None:
    mine, theirs = decision(), decision(server="other")
    ids = recorded(tmp_path, mine, theirs, outcome(0), outcome(1))

    ran = run("tail", "--data-dir", tmp_path, "--server", "github")
    lines = run("tail", "--data-dir", tmp_path, "--server", "github", "--json").lines

    assert [line.split()[-1] for line in ran.lines] == [ids[0], ids[2]]
    assert f"outcome of {ids[0]}  200, no error" in ran.lines[1]
    assert [json.loads(line)["kind"] for line in lines] == ["decision", "outcome"]


@pytest.mark.parametrize("leaf", ["export", "tail"])
def test_a_user_is_found_behind_who_asked_for_him(tmp_path: Path, leaf: str) -> None:
    who = principal("ci", acts_for="ann")
    ids = recorded(tmp_path, decision(), decision(principal=who), decision(principal="odd"))

    ran = run(leaf, "--data-dir", tmp_path, "--acts-for", "ann")

    assert [ids[1] in line for line in ran.lines] == [True]


@pytest.mark.parametrize("kind", ["change", "outcome", "checkpoint"])
def test_a_tail_of_other_kinds_has_a_line_for_each(tmp_path: Path, kind: str) -> None:
    ids = recorded(tmp_path, decision(), outcome(0), CHANGE, {"key": "k", "chains": []})

    ran = run("tail", "--data-dir", tmp_path, "--kind", kind)

    assert ran.code == 0
    assert ran.lines[-1].split()[-1] in ids


def test_a_tail_that_follows_shows_each_new_record_once_and_ends_well(tmp_path: Path) -> None:
    first = recorded(tmp_path, decision())
    args = command("record", "tail", "--data-dir", tmp_path, "-f", "--json")
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline())["id"]]
        later = recorded(tmp_path, denial(), decision())
        seen += [json.loads(process.stdout.readline())["id"] for _ in later]
        process.send_signal(2)
        rest = process.stdout.read()

    assert seen == first + later
    assert (process.returncode, rest) == (0, "")
