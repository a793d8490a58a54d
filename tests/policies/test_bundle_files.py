"""Reading policy files: which are found, under which names, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from policies.bundle import BundleError, read_sources


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Make *folder* hold just *files*."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.rglob("*.polar"):
        old.unlink()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def problems(*paths: Path) -> tuple[str, ...]:
    with pytest.raises(BundleError) as caught:
        read_sources(paths)
    return caught.value.problems


def test_a_directory_is_read_with_everything_below_it_in_order_of_name(tmp_path: Path) -> None:
    written(tmp_path, {"b.polar": "b", "a/z.polar": "z", "a/b/c.polar": "c", "a.polar": "a"})
    (tmp_path / "README.md").write_text("not policy")

    found = read_sources([tmp_path])

    assert found == {"a.polar": b"a", "a/b/c.polar": b"c", "a/z.polar": b"z", "b.polar": b"b"}
    assert list(found) == sorted(found)


def test_names_that_begin_with_a_dot_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, {"a.polar": "a", ".a.polar.swp.polar": "x", ".git/b.polar": "x"})
    (tmp_path / ".#a.polar").symlink_to("someone@host.123")

    assert list(read_sources([tmp_path])) == ["a.polar"]


def test_a_file_may_be_given_by_itself(tmp_path: Path) -> None:
    written(tmp_path, {"sub/a.polar": "a"})

    assert read_sources([tmp_path / "sub" / "a.polar"]) == {"a.polar": b"a"}


def test_a_mounted_directory_of_links_into_itself_is_read_once(tmp_path: Path) -> None:
    written(tmp_path, {"..data_1/a.polar": "a", "..data_1/sub/b.polar": "b"})
    (tmp_path / "..data").symlink_to("..data_1")
    (tmp_path / "a.polar").symlink_to("..data/a.polar")
    (tmp_path / "sub").symlink_to("..data/sub")

    assert read_sources([tmp_path]) == {"a.polar": b"a", "sub/b.polar": b"b"}


def test_a_directory_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    written(tmp_path / "release-1", {"a.polar": "a"})
    (tmp_path / "current").symlink_to("release-1")

    assert read_sources([tmp_path / "current"]) == {"a.polar": b"a"}


def test_a_file_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    outside = written(tmp_path / "outside", {"o.polar": "o"})
    inside = written(tmp_path / "inside", {"i.polar": "i"})
    (inside / "o.polar").symlink_to(outside / "o.polar")

    [problem] = problems(inside)

    assert problem.startswith(f"{inside / 'o.polar'}: this link leads out of its directory")


def test_a_directory_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    outside = written(tmp_path / "outside", {"o.polar": "o"})
    inside = written(tmp_path / "inside", {"i.polar": "i"})
    (inside / "sub").symlink_to(outside)

    [problem] = problems(inside)

    assert problem.startswith(f"{inside / 'sub'}: this link leads out of its directory")


@pytest.mark.parametrize("target", [".", "../policies", "loop.polar"])
def test_a_link_that_leads_in_a_circle_is_refused(tmp_path: Path, target: str) -> None:
    folder = written(tmp_path / "policies", {"a.polar": "a"})
    (folder / "loop.polar").symlink_to(target)

    [problem] = problems(folder)

    assert problem.startswith(f"{folder / 'loop.polar'}: this ")


def test_a_link_back_to_the_directory_it_is_in_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, {"sub/a.polar": "a"})
    (folder / "sub" / "loop").symlink_to("../sub")

    [problem] = problems(folder)

    assert problem.startswith(f"{folder / 'sub' / 'loop'}: this link leads out of its directory")


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    written(tmp_path, {"a.polar": "a"})
    (tmp_path / "b.polar").symlink_to("gone.polar")

    [problem] = problems(tmp_path)

    assert problem == f"{tmp_path / 'b.polar'}: this cannot be read: No such file or directory."


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.polar")

    assert problems(tmp_path) == (f"{tmp_path / 'a.polar'}: this is not a regular file.",)


def test_a_directory_without_a_policy_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("x(y);")

    [problem] = problems(tmp_path)

    assert problem.startswith(f"{tmp_path}: there is no .polar file here")


def test_two_files_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    one, other = written(tmp_path / "1", {"a.polar": ""}), written(tmp_path / "2", {"a.polar": ""})

    [problem] = problems(one, other)

    assert str(one / "a.polar") in problem
    assert str(other / "a.polar") in problem


def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    written(tmp_path, {"a\nb.polar": "a"})
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.polar"))).write_bytes(b"")

    assert [problem.split(":")[0] for problem in problems(tmp_path)] == [
        "'a\\nb.polar'",
        "'\\udcff.polar'",
    ]


def test_everything_wrong_with_the_paths_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")

    found = problems(tmp_path / "gone", tmp_path / "a.txt")

    assert found == (
        f"{tmp_path / 'gone'}: this cannot be read: No such file or directory.",
        f"{tmp_path / 'a.txt'}: this is neither a directory nor a .polar file.",
    )
