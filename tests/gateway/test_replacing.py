"""The policy in a directory is replaced whole, or stays, whoever is killed on the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from policies.bundle import read_sources, version_of
from policies.watch import REPLACING, settled
from proxy import replacing

OLD = {"a.polar": "# a\n", "b.polar": "# b\n", "team/c.polar": "# c\n"}
NEW = {"a.polar": "# other\n", "d.polar": "# d\n", "more/e.polar": "# e\n"}


def placed(directory: Path, files: dict[str, str] = OLD) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def held(directory: Path) -> str:
    return version_of(read_sources([directory]))


def test_what_was_there_makes_place_for_what_is_new_and_nothing_else_is_left(
    tmp_path: Path,
) -> None:
    directory = placed(tmp_path)
    (directory / "notes.txt").write_text("ours")
    replacing.replace(directory, version_of(OLD), NEW)

    assert held(directory) == version_of(NEW)
    names = {one.name for one in directory.rglob("*") if one.is_file()}
    assert names == {"a.polar", "d.polar", "e.polar", "notes.txt"}


@pytest.mark.parametrize(
    "sources",
    [
        {**NEW, "b.polar/x.polar": "# below a file\n"},
        {**NEW, "team": "# instead of a directory\n"},
        {**NEW, f"{'x' * 300}.polar": "# too long a name\n"},
    ],
)
def test_what_cannot_be_written_leaves_all_as_it_was(
    tmp_path: Path, sources: dict[str, str]
) -> None:
    directory = placed(tmp_path)
    with pytest.raises(replacing.ReplacingError) as caught:
        replacing.replace(directory, version_of(OLD), sources)

    assert caught.value.detail
    assert held(directory) == version_of(OLD)
    assert not list(directory.rglob(".*"))


def test_another_policy_than_the_one_in_force_is_not_replaced(tmp_path: Path) -> None:
    directory = placed(tmp_path)
    with pytest.raises(replacing.OtherPolicyError):
        replacing.replace(directory, version_of(NEW), NEW)

    assert held(directory) == version_of(OLD)


def test_whoever_starts_after_a_kill_finds_the_policy_as_it_was(tmp_path: Path) -> None:
    directory = placed(tmp_path)
    (directory / REPLACING).write_text(json.dumps(OLD))
    placed(directory, {"a.polar": NEW["a.polar"], "d.polar": NEW["d.polar"]})
    (directory / "b.polar").unlink()
    replacing.finish(directory)

    assert held(directory) == version_of(OLD)
    assert not (directory / REPLACING).exists()


def test_whoever_follows_waits_until_the_policy_is_whole(tmp_path: Path) -> None:
    directory = placed(tmp_path)
    (directory / REPLACING).write_text(json.dumps(OLD))
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            replacing.finish(directory)

    found, _ = asyncio.run(settled(directory, pause))

    assert found == {name: text.encode() for name, text in OLD.items()}
    assert len(pauses) >= 4
