"""Backups that are not as they were written: refused, and nothing is touched."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.backup import BackupDamagedError, BackupKeyError, BackupNewerError, check_backup
from storage.backup.packing import MOST_BYTES, Packed
from storage.errors import StateError
from storage.facts import Change, FactLedger
from tests.storage.state.filled import (
    KEY,
    OTHER_KEY,
    backed_up,
    caller,
    contents,
    ended,
    filled,
    lines,
    packed,
    restored,
)
from tests.storage.state.places import FilePlace, Place, opened, ticking


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = FilePlace(tmp_path_factory.mktemp("good"))
    filled(place)
    return backed_up(place).getvalue()


def refused(damaged: bytes | io.BytesIO, directory: Path) -> StateError:
    """Return why *damaged* is refused, in a place where nothing was and nothing is."""
    file = damaged if isinstance(damaged, io.BytesIO) else io.BytesIO(damaged)
    with pytest.raises(StateError) as refusal:
        restored(FilePlace(directory), file, replace=True)
    assert list(directory.iterdir()) == []
    return refusal.value


def assert_damaged(content: bytes) -> None:
    with pytest.raises(BackupDamagedError):
        check_backup(io.BytesIO(content), KEY)


def test_a_file_cut_anywhere_is_refused(good: bytes, tmp_path: Path) -> None:
    for size in range(0, len(good), max(1, len(good) // 200)):
        assert_damaged(good[:size])
    refused(good[:-1], tmp_path)


def test_a_file_with_a_byte_changed_anywhere_is_refused(good: bytes) -> None:
    chance = random.Random(5)
    places = {*range(20), *chance.sample(range(len(good)), 200), *range(len(good) - 8, len(good))}
    for place in places:
        changed = bytearray(good)
        changed[place] ^= 1 << chance.randrange(8)
        assert_damaged(bytes(changed))


@pytest.mark.parametrize("more", [b"\0", b"\n", b"x" * 100_000])
def test_a_file_with_more_after_it_is_refused(good: bytes, more: bytes, tmp_path: Path) -> None:
    assert refused(good + more, tmp_path).detail == "more after its end"
    assert refused(good + good, tmp_path).detail == "more after its end"


def test_lines_that_are_missing_or_elsewhere_are_found(good: bytes) -> None:
    whole = lines(io.BytesIO(good))
    for at in range(len(whole)):
        before, one, after = whole[:at], whole[at], whole[at + 1 :]
        damaged = [before, before + after, [*before, one, *whole[at:]], [*before, one[:-1], *after]]
        if after:
            damaged.append([*before, after[0], one, *after[1:]])
        for some in damaged:
            assert_damaged(packed(some).getvalue())
    assert_damaged(packed([]).getvalue())
    check_backup(packed(whole), KEY)


def compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def with_header(good: bytes, **other: object) -> list[bytes]:
    header, *some, _ = lines(io.BytesIO(good))
    return [compact(json.loads(header) | other), *some]


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"format": "another"}, BackupDamagedError),
        ({"version": 2}, BackupNewerError),
        ({"version": "1"}, BackupDamagedError),
        ({"schema": "9999"}, BackupNewerError),
        ({"schema": None}, BackupDamagedError),
        ({"created_at": "now"}, BackupDamagedError),
        ({"more": 1}, BackupDamagedError),
        # Its key would prove it, if it was made with that.
        ({"master_key": OTHER_KEY.id}, BackupKeyError),
    ],
)
def test_a_header_that_says_something_else_is_refused(
    good: bytes, tmp_path: Path, other: dict[str, object], error: type[StateError]
) -> None:
    assert type(refused(ended(with_header(good, **other)), tmp_path)) is error
    ended(with_header(good))


def edited(good: bytes, change: Callable[[dict[str, Any]], object]) -> list[bytes]:
    """Return the lines of *good* with its first fact changed."""
    *some, _ = lines(io.BytesIO(good))
    at = next(at for at, one in enumerate(some) if one.startswith(b'{"table":"facts"'))
    document = json.loads(some[at])
    change(document)
    return [*some[:at], compact(document), *some[at + 1 :]]


def test_a_row_that_somebody_without_the_key_added_is_found(good: bytes, tmp_path: Path) -> None:
    lines_ = edited(good, lambda one: one["row"].update(args='["me"]'))

    found = refused(ended(lines_, OTHER_KEY), tmp_path)

    assert found.detail == "another mark than the master key makes"


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(table="alembic_version"),
        lambda one: one.update(more=1),
        lambda one: one.update(row=[]),
        lambda one: one["row"].pop("origin"),
        lambda one: one["row"].update(more=1),
        lambda one: one["row"].update(origin=None),
        lambda one: one["row"].update(origin=1),
        lambda one: one["row"].update(added_version=True),
        lambda one: one["row"].update(added_version=1.0),
        lambda one: one["row"].update(added_version=2**63),
        lambda one: one["row"].update(added_at="1"),
    ],
)
def test_a_row_that_no_table_takes_is_refused(
    good: bytes, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    assert isinstance(refused(ended(edited(good, change)), tmp_path), BackupDamagedError)


@pytest.mark.parametrize("line", [b"", b"[]", b"1", b"{", b"[" * 100_000, b"\xff", b'{"a":1}'])
def test_a_line_that_is_no_row_is_refused(good: bytes, tmp_path: Path, line: bytes) -> None:
    *some, _ = lines(io.BytesIO(good))

    assert isinstance(refused(ended([*some, line + b"\n"]), tmp_path), BackupDamagedError)


def test_a_file_that_unpacks_to_one_endless_line_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    packing = Packed(file)
    for _ in range(MOST_BYTES // 2**20 + 2):
        packing.write(b" " * 2**20)
    packing.end()

    assert refused(file, tmp_path).detail == "a line too long"


@pytest.mark.parametrize(
    "contradiction", ["a row twice", "a version missing", "a definition of no server"]
)
def test_rows_that_contradict_leave_everything_as_it_was(
    place: Place, good: bytes, contradiction: str
) -> None:
    filled(place)
    before = contents(place)
    *some, _ = lines(io.BytesIO(good))
    fact = next(one for one in some if one.startswith(b'{"table":"facts"'))
    tampered = {
        "a row twice": [*some, fact],
        "a version missing": [one for one in some if b'"name":"tokens"' not in one],
        "a definition of no server": [one for one in some if b'{"table":"servers"' not in one],
    }[contradiction]

    with pytest.raises(BackupDamagedError):
        restored(place, ended(tampered), replace=True)

    assert contents(place) == before
    # Nothing that the failure left behind is in the way of the next.
    restored(place, io.BytesIO(good), replace=True)
    filled_again(place)


def filled_again(place: Place) -> None:
    """Add a fact, whose number must be free."""

    async def run() -> None:
        async with opened(place) as database:
            await FactLedger(database, ticking()).change(
                Change((caller("again"),), (), "grant", "a", "b")
            )

    asyncio.run(run())
