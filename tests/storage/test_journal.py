"""The journal as its callers see it: order, form, limits, one writer, nothing told to logs."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from storage.journal import (
    Chain,
    Fault,
    Journal,
    JournalDamagedError,
    JournalLockedError,
    JournalUnavailableError,
    Kind,
    Limits,
    Position,
    RecordRefusedError,
    read,
    verify,
)
from storage.journal.frame import Stamp
from tests.storage.disks import FullFiles, QuickFiles
from tests.storage.samples import SMALL, decision, files, ids, kept

ROOT = Path(__file__).parents[2]
FRAME = ["v", "kind", "id", "time", "node", "worker", "seq", "prev"]


async def opened(directory: Path, worker: int = 0, limits: Limits = SMALL) -> Journal:
    return await Journal.open(directory, "n", worker, limits=limits, files=QuickFiles())


async def append_each(directory: Path, *payloads: dict[str, Any]) -> None:
    async with await opened(directory) as journal:
        for payload in payloads:
            await journal.append(Kind.DECISION, payload)


def test_t35_each_record_is_one_line_of_json_whose_frame_comes_first(tmp_path: Path) -> None:
    payload = {"action": 'call\n"}', "facts": [["x", {"y": None}]], "rules": ["a.polar:1"]}

    asyncio.run(append_each(tmp_path, payload))

    header, line = files(tmp_path)[0].read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert list(found) == [*FRAME, *payload]
    assert {key: found[key] for key in payload} == payload
    assert (found["v"], found["kind"], found["node"], found["worker"]) == (1, "decision", "n", 0)
    assert found["seq"] == 2
    assert found["prev"] == sha256(f"{header}\n".encode()).hexdigest()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["time"])
    assert uuid.UUID(found["id"]).version == 7


def test_an_empty_payload_makes_a_line_too(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, {}, {}))

    assert [record.payload for record in kept(tmp_path)] == [{}, {}]
    assert verify(tmp_path).is_whole


def test_the_first_line_of_a_chain_holds_a_genesis_that_no_other_chain_has(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path / "a"))
    asyncio.run(append_each(tmp_path / "b"))

    found = [json.loads(files(tmp_path / name)[0].read_text()) for name in ("a", "b")]
    assert all(one["prev"] == one["after"]["genesis"] for one in found)
    assert len({one["prev"] for one in found}) == 2


def test_the_first_line_of_a_later_segment_names_the_end_of_the_one_before(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, *map(decision, range(30))))

    first, second, *_ = files(tmp_path)
    header = json.loads(second.read_text().splitlines()[0])
    assert header["prev"] == sha256(first.read_bytes().splitlines(keepends=True)[-1]).hexdigest()
    assert header["before"] == {"segment": first.name, "size": first.stat().st_size}
    assert first.stat().st_size < SMALL.segment_bytes + 1024


def test_only_the_owner_may_read_a_journal(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path / "journal", decision(1)))

    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "journal").iterdir()}
    assert modes == {0o600}
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700


def test_records_of_32_callers_keep_the_order_in_which_each_caller_made_them(
    tmp_path: Path,
) -> None:
    async def caller(journal: Journal, number: int) -> list[str]:
        return [
            await journal.append(Kind.DECISION, decision(turn, caller=number)) for turn in range(50)
        ]

    async def scenario() -> list[list[str]]:
        async with await opened(tmp_path) as journal:
            found = await asyncio.gather(*(caller(journal, number) for number in range(32)))
            assert journal.health.durable == 32 * 50
            assert journal.health.waiting == 0
            return found

    returned = asyncio.run(scenario())

    records = kept(tmp_path)
    for number, names in enumerate(returned):
        own = [record for record in records if record.payload["caller"] == number]
        assert [record.id for record in own] == names
        assert [record.payload["fact_version"] for record in own] == list(range(50))
    assert verify(tmp_path).is_whole


def test_callers_that_wait_together_share_one_sync_and_one_wake_of_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CountingFiles(QuickFiles):
        syncs = 0

        def sync(self, handle: int) -> None:
            self.syncs += 1
            super().sync(handle)

    disk = CountingFiles()
    wakes: list[Callable[..., object]] = []

    async def scenario() -> None:
        async with await Journal.open(tmp_path, "n", 0, files=disk) as journal:
            loop = asyncio.get_running_loop()
            wake = loop.call_soon_threadsafe

            def counted(call: Callable[..., object], *args: object) -> asyncio.Handle:
                wakes.append(call)
                return wake(call, *args)

            monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
            disk.syncs = 0
            for turn in range(10):
                await asyncio.gather(
                    *(journal.append(Kind.DECISION, decision(turn)) for _ in range(32))
                )
            assert disk.syncs == len(wakes) == 10

    asyncio.run(scenario())

    assert len(kept(tmp_path)) == 320


def test_a_payload_is_taken_as_it_was_when_append_was_called(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await opened(tmp_path) as journal:
            payload = decision(1)
            task = asyncio.create_task(journal.append(Kind.DECISION, payload))
            await asyncio.sleep(0)
            payload["fact_version"] = 2
            await task

    asyncio.run(scenario())

    assert kept(tmp_path)[0].payload["fact_version"] == 1


@pytest.mark.parametrize("key", FRAME)
def test_a_payload_with_a_key_of_the_frame_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(RecordRefusedError, match="one of the frame"):
        asyncio.run(append_each(tmp_path, {key: 1}))

    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    "payload",
    [{"x": object()}, {1: "x"}, {"x": "\ud800"}, {"x": 2**70}, {"x": "y" * 2048}],
    ids=["object", "key", "surrogate", "huge", "large"],
)
def test_t34_what_cannot_be_recorded_is_refused_without_quoting_it(
    tmp_path: Path, payload: dict[Any, Any]
) -> None:
    with pytest.raises(RecordRefusedError) as refusal:
        asyncio.run(append_each(tmp_path, payload))

    assert refusal.value.__cause__ is None
    assert re.fullmatch(
        r"record-refused: (not JSON: \w+|\d+ bytes, at most 2048)", str(refusal.value)
    )
    assert kept(tmp_path) == []


def test_a_kind_that_is_none_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await opened(tmp_path) as journal:
            await journal.append(cast(Kind, "rumour"), {})

    with pytest.raises(ValueError, match="rumour"):
        asyncio.run(scenario())


def test_t34_nothing_of_a_payload_is_logged_or_shown_in_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = "canary-5f2b"
    disk = FullFiles()
    errors: list[Exception] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with await Journal.open(tmp_path, "n", 0, limits=SMALL, files=disk) as journal:
            await journal.append(Kind.DECISION, decision(1, secret=canary))
            for bad in ({"seq": canary}, {"x": {canary}}, {"x": canary * 1000}):
                with pytest.raises(RecordRefusedError) as refusal:
                    await journal.append(Kind.DECISION, bad)
                errors.append(refusal.value)
            disk.is_full = True
            with pytest.raises(JournalUnavailableError) as failure:
                await journal.append(Kind.DECISION, decision(1, secret=canary))
            errors.append(failure.value)
            journal.append_soon(Kind.OUTCOME, {"secret": canary})
        errors.append(RuntimeError(repr(vars(journal)), repr(vars(journal._writer))))  # noqa: SLF001  what a debugger would print

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scenario())

    printed = capfd.readouterr()
    shown = [caplog.text, printed.out, printed.err, *map(repr, errors)]
    assert [text for text in shown if canary in text] == []
    (record,) = kept(tmp_path)
    assert canary in record.payload["secret"]
    assert canary not in repr(record)


def test_two_journals_never_write_one_chain(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await opened(tmp_path):
            with pytest.raises(JournalLockedError):
                await opened(tmp_path)
            async with await opened(tmp_path, worker=1) as other:
                await other.append(Kind.DECISION, decision(1))
        async with await opened(tmp_path) as again:
            await again.append(Kind.DECISION, decision(2))

    asyncio.run(scenario())

    assert len(kept(tmp_path)) == 2


def test_another_process_is_kept_out_and_let_in_when_the_first_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.storage.appender", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:  # noqa: S603
        pipe = process.stdout
        assert pipe is not None
        assert pipe.readline()
        with pytest.raises(JournalLockedError):
            asyncio.run(append_each(tmp_path, decision(1)))
        process.kill()
        pipe.read()
    asyncio.run(append_each(tmp_path, decision(1)))

    assert verify(tmp_path).is_whole


@pytest.mark.parametrize("node", ["", "../x", "a/b", "-a", "x" * 65, "a\n", 'a"b'])
def test_a_node_whose_name_no_file_can_have_is_refused(tmp_path: Path, node: str) -> None:
    with pytest.raises(ValueError, match="a node's name"):
        asyncio.run(Journal.open(tmp_path, node, 0))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bounds",
    [
        {"record_bytes": 0}, {"record_bytes": 2**22}, {"segment_bytes": 2**40}, {"waiting": 0},
        {"waiting_bytes": 1}, {"retry_first": 9.0}, {"deadline": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_limits_that_contradict_each_other_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|at least"):
        replace(Limits(), **bounds)


def test_a_directory_that_cannot_be_made_is_a_refusal_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalUnavailableError):
        asyncio.run(append_each(tmp_path / "file" / "journal"))


def test_a_link_in_the_place_of_a_segment_is_not_followed(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path / "a", decision(1)))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / files(tmp_path / "a")[0].name).symlink_to(files(tmp_path / "a")[0])

    with pytest.raises(JournalUnavailableError):
        asyncio.run(append_each(tmp_path / "b", decision(2)))

    assert len(kept(tmp_path / "a")) == 1


def torn(directory: Path, tail: bytes) -> int:
    """Append *tail* to the last segment; return the size it had."""
    last = files(directory)[-1]
    size = last.stat().st_size
    with last.open("ab") as file:
        file.write(tail)
    return size


@pytest.mark.parametrize(
    "tail",
    [b'{"v":1,"kind":"dec', b"{}\n", b"\0" * 5000, b"\n", b"garbage\nand\nmore"],
    ids=["half", "foreign", "nul", "empty", "lines"],
)
def test_r21_a_torn_end_is_cut_off_and_the_repair_is_a_record(tmp_path: Path, tail: bytes) -> None:
    asyncio.run(append_each(tmp_path, decision(1)))
    before = ids(tmp_path)
    size = torn(tmp_path, tail)
    assert verify(tmp_path).is_whole
    assert verify(tmp_path).chains[0].torn == len(tail)
    assert ids(tmp_path) == before

    asyncio.run(append_each(tmp_path, decision(2)))

    *_, repair = [
        one for one in kept(tmp_path, Kind.CHANGE) if one.payload["what"] == "journal.repair"
    ]
    assert repair.payload["before"]["size"] == size + len(tail)
    assert repair.payload["before"]["cut"] == sha256(tail).hexdigest()
    assert repair.payload["after"] == {"segment": files(tmp_path)[0].name, "size": size}
    assert [record.payload["fact_version"] for record in kept(tmp_path)] == [1, 2]
    assert verify(tmp_path).is_whole
    assert verify(tmp_path).chains[0].torn == 0


def test_r21_a_last_line_whose_payload_is_garbage_is_cut_off(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, decision(1), decision(2)))
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"fact_version":2', b'"fact_version":?'))
    assert verify(tmp_path).chains[0].torn == len(path.read_bytes().splitlines()[-1]) + 1

    asyncio.run(append_each(tmp_path, decision(3)))

    assert [record.payload["fact_version"] for record in kept(tmp_path)] == [1, 3]
    assert verify(tmp_path).is_whole


def test_r21_a_page_of_the_last_commit_that_never_came_takes_the_rest_with_it(
    tmp_path: Path,
) -> None:
    asyncio.run(append_each(tmp_path, decision(1), decision(2, pad="x" * 500), decision(3)))
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b"x" * 400, bytes(400), 1))
    assert verify(tmp_path).chains[0].torn > 500

    asyncio.run(append_each(tmp_path, decision(4)))

    assert [record.payload["fact_version"] for record in kept(tmp_path)] == [1, 4]
    assert verify(tmp_path).is_whole


def test_r21_a_journal_broken_before_its_end_does_not_open_and_the_error_says_where(
    tmp_path: Path,
) -> None:
    asyncio.run(append_each(tmp_path, *map(decision, range(5))))
    path = files(tmp_path)[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"fact_version":2', b'"fact_version":7'))

    with pytest.raises(JournalDamagedError) as damage:
        asyncio.run(append_each(tmp_path, decision(9)))

    assert (damage.value.file, damage.value.line, damage.value.fault) == (
        path.name,
        4,
        Fault.EDITED,
    )
    # Nothing was repaired, so the evidence is as it was found.
    assert path.stat().st_size == len(content)


def test_r21_a_last_line_that_is_whole_but_does_not_fit_is_damage_not_a_torn_write(
    tmp_path: Path,
) -> None:
    asyncio.run(append_each(tmp_path, decision(1), decision(2)))
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"fact_version":1', b'"fact_version":7'))

    with pytest.raises(JournalDamagedError) as damage:
        asyncio.run(append_each(tmp_path, decision(9)))

    assert (damage.value.line, damage.value.fault) == (2, Fault.EDITED)


def test_r21_a_previous_segment_that_lost_its_end_does_not_open(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, *map(decision, range(15))))
    *_, previous, _ = files(tmp_path)
    os.truncate(previous, previous.stat().st_size - 10)

    with pytest.raises(JournalDamagedError, match=f"{previous.name}, line .*: cut"):
        asyncio.run(append_each(tmp_path, decision(9)))


def test_reading_goes_on_after_the_records_that_were_read(tmp_path: Path) -> None:
    positions: dict[Chain, Position] = {}
    seen = []
    for turn in range(6):
        asyncio.run(append_each(tmp_path, *(decision(turn * 10 + one) for one in range(10))))
        for record in read(tmp_path, positions):
            positions[record.chain] = record.position
            seen.append(record.id)

    assert seen == [record.id for record in kept(tmp_path, None)]
    assert len(files(tmp_path)) > 2
    assert list(read(tmp_path, positions)) == []


def test_reading_again_after_an_end_that_was_lost_leaves_no_record_out(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, decision(1), decision(2, pad="x" * 50), decision(3)))
    *_, last = read(tmp_path)
    path = files(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    asyncio.run(append_each(tmp_path, *map(decision, range(4, 9))))

    found = {record.id for record in read(tmp_path, {last.chain: last.position})}

    assert found >= {record.id for record in kept(tmp_path) if record.payload["fact_version"] > 3}


def test_a_position_fits_only_after_the_very_record_it_was_taken_from(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, decision(1), decision(2), decision(3)))
    *_, last = read(tmp_path)
    path = files(tmp_path)[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    asyncio.run(append_each(tmp_path, decision(4), decision(5)))

    found = [record.payload for record in read(tmp_path, {last.chain: last.position})]

    assert decision(4) in found
    assert decision(5) in found


def test_a_segment_that_is_released_while_it_is_read_is_passed_over(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, *map(decision, range(40))))
    found = read(tmp_path)
    first = next(found)
    for path in files(tmp_path)[:2]:
        path.unlink()

    rest = list(found)

    assert first.position.segment == 1
    assert {record.position.segment for record in rest} >= {3}
    assert 2 not in {record.position.segment for record in rest}


def test_chains_are_read_together_by_time(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        async with await opened(tmp_path) as first, await opened(tmp_path, worker=1) as second:
            return [
                await (first, second)[turn % 2].append(Kind.DECISION, decision(turn))
                for turn in range(20)
            ]

    names = asyncio.run(scenario())

    found = kept(tmp_path)
    assert {record.id for record in found} == set(names)
    for worker in (0, 1):
        numbers = [record.seq for record in found if record.chain == Chain("n", worker)]
        assert numbers == sorted(numbers)
        assert len(numbers) == 10
    assert {record.chain for record in found[:10]} == {Chain("n", 0), Chain("n", 1)}


def test_reading_stops_with_an_error_at_a_line_that_is_none(tmp_path: Path) -> None:
    asyncio.run(append_each(tmp_path, *map(decision, range(4))))
    path = files(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"fact_version":1', b'"fact_version":?'))

    with pytest.raises(JournalDamagedError, match="line 3: edited"):
        list(read(tmp_path))


def test_ids_grow_even_while_the_clock_stands_still_or_goes_back() -> None:
    moments = iter([5_000_000_000] * 10_000 + [4_000_000_000] * 10)
    stamp = Stamp(Chain("n", 0), lambda: next(moments))

    names = [stamp.draft(Kind.DECISION, {}, 10).id for _ in range(10_010)]

    assert names == sorted(set(names))
    assert {uuid.UUID(name).version for name in names} == {7}
    assert {uuid.UUID(name).variant for name in names} == {uuid.RFC_4122}
    assert int(names[0].replace("-", "")[:12], 16) == 5000


def test_the_head_is_the_last_durable_record_and_its_hash(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await opened(tmp_path) as journal:
            await journal.append(Kind.DECISION, decision(1))
            line = files(tmp_path)[0].read_bytes().splitlines(keepends=True)[-1]
            assert journal.link == (2, sha256(line).hexdigest())

    asyncio.run(scenario())


def test_closing_writes_what_was_taken_and_twice_is_as_good_as_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = await opened(tmp_path)
        for number in range(500):
            journal.append_soon(Kind.OUTCOME, {"status": number, "share": math.pi})
        await journal.close()
        await journal.close()
        assert journal.health.durable == 500
        assert journal.health.lost == 0

    asyncio.run(scenario())

    assert [one.payload["status"] for one in kept(tmp_path, Kind.OUTCOME)] == list(range(500))
