"""`northgate policy check`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.bundle import load, read_sources
from tests.cli.running import TYPES, run, written

WARNED = TYPES + 'allow(c: Client, "call", t: Tool) if has_role(c, "callr", t);\n'


def test_a_good_policy_is_summed_up_in_one_line_with_its_version(tmp_path: Path) -> None:
    ran = run("check", written(tmp_path / "types.polar", TYPES))

    assert ran.code == 0
    assert re.fullmatch(r"1 file, 2 rules, 0 tests; version sha256:[0-9a-f]{64}\n", ran.out)
    assert ran.err == ""


def test_the_files_of_all_paths_make_up_one_policy(tmp_path: Path) -> None:
    types = written(tmp_path / "types.polar", TYPES)
    written(tmp_path / "rules" / "deep" / "vip.polar", "vip(c: Client) if is_vip(c);\n")
    written(tmp_path / "rules" / "notes.txt", "not a policy")

    ran = run("check", types, tmp_path / "rules")

    assert ran.code == 0
    assert ran.out.startswith("2 files, 3 rules, 0 tests; version ")


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = written(tmp_path / "types.polar", TYPES)

    once, twice = run("check", tmp_path), run("check", tmp_path, path)

    assert once.code == 0
    assert once.out == twice.out


def test_the_version_is_the_one_that_a_bundle_of_the_directory_has(tmp_path: Path) -> None:
    written(tmp_path / "deep" / "types.polar", TYPES)

    version = load(read_sources([tmp_path])).version

    assert run("check", tmp_path, "--json").document["version"] == version


def test_the_version_does_not_depend_on_where_the_files_lie(tmp_path: Path) -> None:
    for place in ("here", "there"):
        written(tmp_path / place / "types.polar", TYPES)

    versions = {
        run("check", tmp_path / place, "--json").document["version"] for place in ("here", "there")
    }

    assert len(versions) == 1


def test_a_problem_shows_its_place_its_line_and_a_hint(tmp_path: Path) -> None:
    text = TYPES.replace('"call" if "caller"', '"call" if "callr"')
    path = written(tmp_path / "types.polar", text)

    ran = run("check", path)

    assert ran.code == 1
    assert ran.lines[0].startswith(f"{path}:5:13: error[undeclared-word]: ")
    assert ran.lines[1:] == [
        '    5 |   "call" if "callr";',
        "      |             ^^^^^^^",
        "    hint: Did you mean `caller`?",
        "1 file, 1 error",
    ]


def test_every_problem_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    written(tmp_path / "a.polar", TYPES.replace('"caller";', '"callr";'))
    written(tmp_path / "b.polar", "oops(\n")

    ran = run("check", tmp_path)

    assert ran.code == 1
    assert [line.split(":")[0] for line in ran.lines if ": error[" in line] == [
        str(tmp_path / "a.polar"),
        str(tmp_path / "a.polar"),
        str(tmp_path / "b.polar"),
    ]


def test_a_caret_stands_under_wide_characters_and_tabs(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", TYPES + '\tx(c: Client) if y(c, "日本") and z(c, m);\n')

    lines = run("check", path).lines

    at = next(number for number, line in enumerate(lines) if "singleton" in line)
    assert lines[at + 1] == '    8 |  x(c: Client) if y(c, "日本") and z(c, m);'
    # Each of the two ideographs takes two cells of a terminal.
    assert lines[at + 2] == "      | " + " " * 39 + "^"


def test_characters_that_cannot_be_seen_are_spelt_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", TYPES + 'x(c: Client) if y(c, "\u202e\x1b[2J");\n')

    ran = run("check", path)

    assert "\u202e" not in ran.out
    assert "\x1b" not in ran.out
    assert "\\u{202e}\\u{1b}[2J" in ran.out


def test_a_long_line_is_shown_around_its_problem(tmp_path: Path) -> None:
    filler = " and ".join(f'y(c, "{number}")' for number in range(200))
    path = written(tmp_path / "a.polar", f"{TYPES}x(c: Client) if {filler} and z(c, m);\n")

    lines = run("check", path).lines

    at = next(number for number, line in enumerate(lines) if "singleton" in line)
    assert len(lines[at + 1]) <= 170
    assert lines[at + 1][lines[at + 2].index("^")] == "m"


def test_warnings_are_told_and_pass_unless_strict(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", WARNED)

    lenient, strict = run("check", path), run("check", path, "--strict")

    assert (lenient.code, strict.code) == (0, 1)
    assert "warning[undeclared-role]" in lenient.out
    assert lenient.lines[-1].startswith("1 file, 3 rules, 0 tests, 1 warning; version ")


def test_what_oso_does_not_document_is_refused_unless_asked_for(tmp_path: Path) -> None:
    text = TYPES + "ok(t: Tool) if not odd(t);\nodd(t: Tool) if strange(t);\n"
    path = written(tmp_path / "a.polar", text)

    assert run("check", path).code == 1
    assert run("check", path, "--no-portable").code == 0


def test_a_policy_that_can_allow_nothing_fails(tmp_path: Path) -> None:
    ran = run("check", written(tmp_path / "a.polar", "actor Client {}\n"))

    assert ran.code == 1
    assert ran.lines[0].startswith("error[allows-nothing]: ")


def test_the_facts_that_one_question_can_need_are_counted(tmp_path: Path) -> None:
    rules = """
        declare allowed_host(Tool, String);
        has_permission(_: Client, "call", t: Tool) if
          argument_present(t, "a") and argument(t, "b", 1)
          and allowed_host(t, h) and argument_host(t, "url", h);
    """
    path = written(tmp_path / "a.polar", TYPES + rules)

    ran = run("check", path)

    assert ran.lines[0] == "Facts that one question can need from the gateway, at most:"
    assert ran.lines[1] == "  any Tool  2 facts, and 1 more for each stored allowed_host"
    assert run("check", path, "--json").document["demands"] == [
        {"resource": {"any": "Tool"}, "facts": 2, "per_fact_of": ["allowed_host"]}
    ]


@pytest.mark.parametrize("name", ["nowhere.polar", "empty", "notes.txt"])
def test_a_path_without_policy_files_cannot_be_checked(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    written(tmp_path / "notes.txt", "hello")

    ran = run("check", tmp_path / name)

    assert ran.code == 2
    assert ran.out == ""
    assert name in ran.err


def test_the_document_of_a_good_policy(tmp_path: Path) -> None:
    path = written(tmp_path / "types.polar", TYPES)

    document = run("check", path, "--json").document

    assert document.pop("version").startswith("sha256:")
    assert document == {
        "ok": True,
        "files": [str(path)],
        "rules": 2,
        "tests": 0,
        "problems": [],
        "demands": [],
    }


def test_the_document_of_a_bad_policy(tmp_path: Path) -> None:
    path = written(tmp_path / "types.polar", TYPES.replace('if "caller"', 'if "callr"', 1))

    ran = run("check", path, "--json")

    assert ran.code == 1
    assert ran.err == ""
    document = ran.document
    assert (document["ok"], document["rules"], document["demands"]) == (False, None, None)
    (problem,) = document["problems"]
    assert problem.pop("message")
    assert problem == {
        "file": str(path),
        "line": 5,
        "column": 13,
        "end_line": 5,
        "end_column": 20,
        "severity": "error",
        "code": "undeclared-word",
        "hint": "Did you mean `caller`?",
    }


def test_a_document_tells_of_input_that_cannot_be_used(tmp_path: Path) -> None:
    ran = run("check", tmp_path / "nowhere.polar", "--json")

    assert ran.code == 2
    (error,) = ran.document["errors"]
    assert (error["code"], error["file"], error["line"]) == ("unusable-input", "", 0)
    assert "nowhere.polar" in error["message"]


def test_names_are_compared_with_what_servers_offer(tmp_path: Path) -> None:
    policy = tmp_path / "p.polar"
    policy.write_text(
        'actor Client {} resource Tool { permissions = ["call"]; }\n'
        'has_permission(c: Client, "call", Tool{"pay__refnd"}) if has_tag(c, "payer");\n'
    )
    offers = tmp_path / "offers.json"
    offers.write_text('{"tools": {"pay__refund": {}}}')

    ran = run("check", policy, "--offers", offers)

    assert ran.code == 0
    assert ":2:1: warning[unknown-tool]: no tool `pay__refnd` is registered." in ran.out
    assert "Did you mean `pay__refund`?" in ran.out


def test_a_file_of_offers_that_says_something_else_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "p.polar"
    policy.write_text('actor Client {} resource Tool { permissions = ["call"]; }\n')
    offers = tmp_path / "offers.json"
    offers.write_text('["pay__refund"]')

    ran = run("check", policy, "--offers", offers)

    assert ran.code == 2
    assert "does not list what servers offer" in ran.err
