"""T36: whoever edits, cuts, moves or removes a part of a journal is found out, and where."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.journal import Break, Fault, Journal, Kind, Limits, verify
from tests.storage.disks import QuickFiles
from tests.storage.samples import SMALL, decision, files, kept

PRINTABLE = [bytes([code]) for code in range(0x20, 0x7F)]

Lines = dict[str, list[bytes]]
Tampering = Callable[[Lines, random.Random], Break]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a chain of several segments."""
    directory = tmp_path_factory.mktemp("whole")

    async def scenario() -> None:
        limits = SMALL
        async with await Journal.open(directory, "n", 0, limits=limits, files=QuickFiles()) as one:
            for number in range(60):
                await one.append(Kind.DECISION, decision(number, pad="x" * (number % 7)))

    asyncio.run(scenario())
    assert len(files(directory)) >= 4
    return directory


def somewhere(content: Lines, chance: random.Random) -> tuple[str, int]:
    """Choose a line: not the last of all, as only a checkpoint vouches for that."""
    places = [(name, number) for name, lines in content.items() for number in range(len(lines))]
    return chance.choice(places[:-1])


def edit(content: Lines, chance: random.Random) -> Break:
    name, number = somewhere(content, chance)
    line = content[name][number]
    place = chance.randrange(len(line) - 1)
    other = chance.choice([one for one in PRINTABLE if one != line[place : place + 1]])
    content[name][number] = line[:place] + other + line[place + 1 :]
    return Break(name, number + 1, Fault.EDITED)


def delete(content: Lines, chance: random.Random) -> Break:
    name, number = somewhere(content, chance)
    del content[name][number]
    return Break(name, number + 1, Fault.CUT)


def swap(content: Lines, chance: random.Random) -> Break:
    name = chance.choice(list(content))
    lines = content[name]
    first, second = sorted(chance.sample(range(len(lines)), 2))
    lines[first], lines[second] = lines[second], lines[first]
    return Break(name, first + 1, Fault.SWAPPED)


def repeat(content: Lines, chance: random.Random) -> Break:
    name, number = somewhere(content, chance)
    content[name].insert(number + 1, content[name][number])
    return Break(name, number + 2, Fault.INSERTED)


def tampered(whole: Path, copy: Path, tampering: Tampering, chance: random.Random) -> Break:
    """Write a copy of *whole* with one change; return what should be found."""
    content = {path.name: path.read_bytes().splitlines(keepends=True) for path in files(whole)}
    expected = tampering(content, chance)
    copy.mkdir()
    for name, lines in content.items():
        (copy / name).write_bytes(b"".join(lines))
    return expected


def misjudged(whole: Path, directory: Path, tampering: Tampering, times: int) -> list[str]:
    chance = random.Random(tampering.__name__)
    wrong = []
    for turn in range(times):
        copy = directory / str(turn)
        expected = tampered(whole, copy, tampering, chance)
        found = verify(copy).first_break
        if found != expected:
            wrong.append(f"{expected} was judged {found}")
        shutil.rmtree(copy)
    return wrong


@pytest.mark.parametrize("tampering", [edit, delete, swap, repeat])
def test_t36_each_of_200_random_changes_is_found_with_its_class_and_place(
    whole: Path, tmp_path: Path, tampering: Tampering
) -> None:
    assert misjudged(whole, tmp_path, tampering, 200) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("tampering", [edit, delete, swap, repeat])
def test_t36_each_of_5_000_random_changes_is_found_with_its_class_and_place(
    whole: Path, tmp_path: Path, tampering: Tampering
) -> None:
    assert misjudged(whole, tmp_path, tampering, 5_000) == []


def copied(whole: Path, directory: Path) -> list[Path]:
    shutil.copytree(whole, directory / "copy")
    return files(directory / "copy")


def test_t36_a_chain_that_nobody_touched_holds(whole: Path) -> None:
    (report,) = verify(whole).chains

    assert verify(whole).is_whole
    assert report.records == len(kept(whole, None))
    assert report.segments == len(files(whole))
    assert (report.torn, report.leftover) == (0, 0)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_t36_a_segment_that_is_missing_is_named(whole: Path, tmp_path: Path, place: int) -> None:
    gone = copied(whole, tmp_path)[place]
    gone.unlink()

    assert verify(gone.parent).first_break == Break(gone.name, 1, Fault.MISSING)


def test_t36_a_last_line_with_another_number_is_found(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path)[-1]
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + last.replace(b'"seq":', b'"seq":1', 1))

    assert verify(path.parent).first_break == Break(path.name, len(lines) + 1, Fault.EDITED)


def test_t36_two_segments_that_changed_places_are_found(whole: Path, tmp_path: Path) -> None:
    _, second, third, *_ = copied(whole, tmp_path)
    content = second.read_bytes()
    second.write_bytes(third.read_bytes())
    third.write_bytes(content)

    assert verify(second.parent).first_break == Break(second.name, 1, Fault.SWAPPED)


def test_t36_a_chain_of_another_process_under_this_name_is_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        for worker in (0, 1):
            directory = tmp_path / "copy"
            async with await Journal.open(directory, "n", worker, files=QuickFiles()) as journal:
                await journal.append(Kind.DECISION, decision(worker))

    asyncio.run(scenario())
    first, second = files(tmp_path / "copy")
    first.write_bytes(second.read_bytes())

    assert verify(first.parent).first_break == Break(first.name, 1, Fault.SWAPPED)


def test_t36_lines_added_to_a_finished_segment_are_found(whole: Path, tmp_path: Path) -> None:
    first, *_ = copied(whole, tmp_path)
    count = len(first.read_bytes().splitlines())
    with first.open("ab") as file:
        file.write(b'{"v":1}\n')

    assert verify(first.parent).first_break == Break(first.name, count + 1, Fault.INSERTED)


def test_t36_an_end_that_a_later_segment_remembers_cannot_be_cut(
    whole: Path, tmp_path: Path
) -> None:
    first, *_ = copied(whole, tmp_path)
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:-3]))

    assert verify(first.parent).first_break == Break(first.name, len(lines) - 2, Fault.CUT)


def test_t36_the_same_change_is_found_in_one_chain_of_several(whole: Path, tmp_path: Path) -> None:
    path = copied(whole, tmp_path)[1]

    async def scenario() -> None:
        limits = Limits()
        async with await Journal.open(
            path.parent, "a", 3, limits=limits, files=QuickFiles()
        ) as one:
            await one.append(Kind.DECISION, decision(1))

    asyncio.run(scenario())
    path.write_bytes(path.read_bytes().replace(b'"allow"', b'"deny"', 1))

    first, second = verify(path.parent).chains
    assert (first.chain.node, first.broken) == ("a", None)
    assert second.broken == Break(path.name, 2, Fault.EDITED)
