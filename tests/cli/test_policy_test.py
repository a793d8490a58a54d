"""`northgate policy test`."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from tests.cli.running import TYPES, run, written

GOOD = (
    TYPES
    + """\
test "a caller calls" {
  setup { has_role(Client{"ci"}, "caller", Tool{"x"}); }
  assert allow(Client{"ci"}, "call", Tool{"x"});
  assert allow(Client{"ci"}, "list", Tool{"x"});
}
test "others do not" {
  assert_not allow(Client{"ci"}, "call", Tool{"x"});
  assert_not allow(Client{"ci"}, "list", Tool{"x"});
}
"""
)
BAD = GOOD.replace("assert_not allow", "assert allow", 1)
LEASES = (
    TYPES
    + """\
has_role(c: Client, "caller", t: Tool) if lease(c, t, until) and @current_unix_time < until;
test "a lease runs" {
  setup { lease(Client{"ci"}, Tool{"x"}, 1000); }
  assert allow(Client{"ci"}, "call", Tool{"x"});
}
"""
)


def test_a_passing_policy_is_summed_up_with_what_its_tests_exercise(tmp_path: Path) -> None:
    ran = run("test", written(tmp_path / "a.polar", GOOD))

    assert ran.code == 0
    assert ran.lines == [
        "2 tests passed, 0 failed; 2 of 2 rules proved, 2 of 2 conditions exercised"
    ]


def test_a_failed_test_shows_its_place_its_name_and_what_was_found(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", BAD)

    ran = run("test", path, "--no-coverage")

    assert ran.code == 1
    assert ran.lines[0].startswith(f"{path}:14: failed: others do not: ")
    assert "expected to hold" in ran.lines[0]
    assert any('has_role(Client{"ci"}, "caller", Tool{"x"})' in line for line in ran.lines[1:-1])
    assert ran.lines[-1] == "1 test passed, 1 failed"


def test_rules_and_conditions_that_no_test_exercises_are_named(tmp_path: Path) -> None:
    text = GOOD.replace('  assert allow(Client{"ci"}, "list", Tool{"x"});\n', "").replace(
        '  assert_not allow(Client{"ci"}, "call", Tool{"x"});\n', ""
    )
    path = written(tmp_path / "a.polar", text)

    ran = run("test", path)

    assert ran.code == 0
    assert ran.lines[0].startswith(f"{path}:6:3: untested: no test proves has_permission(")
    assert ran.lines[1] == f'{path}:5:13: untested: no asserted denial rests on "caller" alone'
    assert ran.lines[2].endswith("1 of 2 rules proved, 1 of 2 conditions exercised")


def test_one_test_can_be_run_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", BAD)

    assert run("test", path, "--only", "a caller calls").lines == ["1 test passed, 0 failed"]
    assert run("test", path, "--only", "others do not").code == 1


def test_a_name_that_no_test_has_is_an_error_with_a_hint(tmp_path: Path) -> None:
    ran = run("test", written(tmp_path / "a.polar", GOOD), "--only", "others do nt")

    assert ran.code == 2
    assert "Did you mean `others do not`?" in ran.err


def test_the_clock_of_the_tests_can_be_set(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", LEASES)

    assert run("test", path, "--now", "999").code == 0
    assert run("test", path, "--now", "1000").code == 1


def test_a_policy_with_errors_cannot_be_tested(tmp_path: Path) -> None:
    ran = run("test", written(tmp_path / "a.polar", GOOD + "oops(\n"))

    assert ran.code == 2
    assert ran.out == ""
    assert "a.polar:17:" in ran.err


def test_results_are_written_as_junit_too(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"

    ran = run("test", written(tmp_path / "a.polar", BAD), "--junit", report)

    assert ran.code == 1
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314  written by us
    assert {case.get("name"): len(case) for case in cases} == {
        "a caller calls": 0,
        "others do not": 1,
    }


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    ran = run("test", written(tmp_path / "a.polar", GOOD), "--junit", tmp_path / "no" / "x.xml")

    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_the_document_holds_every_test_and_what_is_not_covered(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", BAD)

    ran = run("test", path, "--json")

    assert ran.code == 1
    document = ran.document
    assert document["ok"] is False
    good, bad = document["tests"]
    assert good.pop("seconds") >= 0
    assert good == {
        "name": "a caller calls",
        "file": str(path),
        "line": 8,
        "column": 1,
        "passed": True,
        "failures": [],
    }
    (failure,) = bad["failures"]
    assert (failure["line"], failure["column"]) == (14, 3)
    assert failure["message"]
    assert failure["details"]
    assert document["coverage"]["rules"] == 2
    assert document["coverage"]["unproved"] == []
    assert [one["line"] for one in document["coverage"]["unexercised"]] == [5]


def test_without_coverage_the_document_says_null(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", GOOD)

    assert run("test", path, "--json", "--no-coverage").document["coverage"] is None
