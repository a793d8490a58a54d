"""`northgate policy fmt`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.running import TYPES, run, written

UGLY = 'actor   Client{}\nx( c:Client )if y(c,"z") ;\n'
NEAT = 'actor Client {}\nx(c: Client) if y(c, "z");\n'


def test_a_file_is_laid_out_in_place_and_keeps_its_mode(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", UGLY)
    path.chmod(0o640)

    ran = run("fmt", path)

    assert ran.code == 0
    assert ran.lines == [str(path), "1 file changed, 0 unchanged"]
    assert path.read_text() == NEAT
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.polar"]  # noqa: PTH208  nothing is left beside it


def test_a_file_that_is_neat_is_not_written(tmp_path: Path) -> None:
    path = written(tmp_path / "a.polar", NEAT)
    before = path.stat()

    ran = run("fmt", path)

    assert ran.lines == ["0 files changed, 1 unchanged"]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target = written(tmp_path / "real.polar", UGLY)
    link = tmp_path / "link.polar"
    link.symlink_to(target)

    assert run("fmt", link).code == 0
    assert link.is_symlink()
    assert target.read_text() == NEAT


def test_files_of_one_name_in_several_directories_are_all_laid_out(tmp_path: Path) -> None:
    paths = [written(tmp_path / place / "a.polar", UGLY) for place in ("here", "there")]

    assert run("fmt", *paths).lines[-1] == "2 files changed, 0 unchanged"
    assert [path.read_text() for path in paths] == [NEAT, NEAT]


def test_check_names_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    ugly = written(tmp_path / "a.polar", UGLY)
    written(tmp_path / "b.polar", NEAT)

    ran = run("fmt", "--check", tmp_path)

    assert ran.code == 1
    assert ran.lines == [str(ugly), "1 file would change, 1 unchanged"]
    assert ugly.read_text() == UGLY


def test_check_passes_what_is_neat(tmp_path: Path) -> None:
    assert run("fmt", "--check", written(tmp_path / "a.polar", NEAT)).code == 0


def test_a_file_that_does_not_parse_is_left_alone_and_the_others_are_not(tmp_path: Path) -> None:
    broken = written(tmp_path / "a.polar", "oops(\n")
    ugly = written(tmp_path / "b.polar", UGLY)

    ran = run("fmt", tmp_path)

    assert ran.code == 2
    assert f"{broken}:1:" in ran.err
    assert broken.read_text() == "oops(\n"
    assert ugly.read_text() == NEAT


def test_bytes_that_are_no_text_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.polar"
    path.write_bytes(b"\xff\xfe")

    ran = run("fmt", path)

    assert ran.code == 2
    assert "error[not-utf8]" in ran.err
    assert path.read_bytes() == b"\xff\xfe"


def test_a_dash_reads_stdin_and_writes_stdout() -> None:
    ran = run("fmt", "-", stdin=UGLY.encode())

    assert (ran.code, ran.out, ran.err) == (0, NEAT, "")


@pytest.mark.parametrize(("text", "code"), [(UGLY, 1), (NEAT, 0)])
def test_check_of_stdin_writes_nothing(text: str, code: int) -> None:
    ran = run("fmt", "-", "--check", stdin=text.encode())

    assert (ran.code, ran.out) == (code, "")


def test_stdin_that_does_not_parse_gives_no_output() -> None:
    ran = run("fmt", "-", stdin=b"oops(")

    assert (ran.code, ran.out) == (2, "")
    assert "<stdin>:1:" in ran.err


@pytest.mark.parametrize("more", [("--json",), ("other.polar",)])
def test_a_dash_goes_alone(more: tuple[str, ...]) -> None:
    assert run("fmt", "-", *more, stdin=b"").code == 2


def test_the_document_names_every_file(tmp_path: Path) -> None:
    ugly = written(tmp_path / "a.polar", UGLY)
    neat = written(tmp_path / "b.polar", TYPES)
    broken = written(tmp_path / "c.polar", "oops(\n")

    ran = run("fmt", tmp_path, "--json")

    assert ran.code == 2
    document = ran.document
    assert (document["changed"], document["unchanged"]) == ([str(ugly)], [str(neat)])
    assert [problem["file"] for problem in document["problems"]] == [str(broken)]
