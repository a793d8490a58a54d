"""T36: signed checkpoints prove a journal whole, alone or beside an anchor that was kept."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import cast

import pytest

from storage.journal import (
    Anchor,
    AnchorError,
    Break,
    Chain,
    Fault,
    Journal,
    JournalNewerError,
    JournalUnavailableError,
    Kind,
    Record,
    Signer,
    verify,
)
from storage.journal.files import Files
from tests.storage.disks import FailingFiles, Moment, PowerCutFiles, QuickFiles
from tests.storage.samples import SMALL, decision, files, ids, kept

SIGNER = Signer(b"s" * 32)
OFTEN = replace(SMALL, checkpoint=0.0005, segment_bytes=2048)
CHECKPOINT = b'"kind":"checkpoint"'

Lines = dict[str, list[bytes]]
Tampering = Callable[[Lines, random.Random, Lines], Break]


async def written(
    directory: Path, worker: int = 0, records: int = 20, signer: Signer | None = SIGNER
) -> None:
    """Append with checkpoints among the records: no run of the clock decides where."""
    async with await Journal.open(
        directory, "n", worker, limits=OFTEN, files=QuickFiles(), signer=signer
    ) as journal:
        for number in range(records):
            await journal.append(Kind.DECISION, decision(number, pad="x" * (number % 7)))
            while signer and number % 5 == 4 and not last_is_checkpoint(directory, worker):  # noqa: ASYNC110  a file
                await asyncio.sleep(0.0005)


def last_is_checkpoint(directory: Path, worker: int) -> bool:
    return CHECKPOINT in newest(directory, worker).read_bytes().splitlines()[-1]


def newest(directory: Path, worker: int) -> Path:
    return max(directory.glob(f"n.{worker:04d}.*.jsonl"))


def content_of(directory: Path) -> Lines:
    return {path.name: path.read_bytes().splitlines(keepends=True) for path in files(directory)}


def put(directory: Path, content: Lines) -> Path:
    directory.mkdir()
    for name, lines in content.items():
        (directory / name).write_bytes(b"".join(lines))
    return directory


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """Return what two chains held in the middle of their life; `whole` is what they became."""
    directory = tmp_path_factory.mktemp("chains")
    for worker in (0, 1):
        asyncio.run(written(directory, worker))
    return content_of(directory)


@pytest.fixture(scope="module")
def whole(older: Lines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = put(tmp_path_factory.mktemp("later") / "chains", older)
    for worker in (0, 1):
        asyncio.run(written(directory, worker))
    return directory


@pytest.fixture(scope="module")
def anchor(whole: Path) -> Anchor:
    return verify(whole).anchor()


# What is signed, and when.


def checkpoints(directory: Path) -> list[Record]:
    return kept(directory, Kind.CHECKPOINT)


def test_a_checkpoint_ends_the_chain_at_close_and_leaves_nothing_unsigned(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await Journal.open(
            tmp_path, "n", 0, files=QuickFiles(), signer=SIGNER
        ) as journal:
            await journal.append(Kind.DECISION, decision(1))
            journal.append_soon(Kind.OUTCOME, {"decision": "x"})

    asyncio.run(scenario())

    assert [one.kind for one in kept(tmp_path, None)][1:] == ["decision", "outcome", "checkpoint"]
    (report,) = verify(tmp_path).chains
    assert (report.unsigned, report.records) == (0, 4)
    assert report.proven is not None
    assert (report.proven.seq, report.proven.key) == (4, SIGNER.key)


def test_a_record_that_nothing_follows_is_signed_a_moment_later_and_only_once(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with await Journal.open(
            tmp_path, "n", 0, limits=OFTEN, files=QuickFiles(), signer=SIGNER
        ) as journal:
            for number in (1, 2):
                await journal.append(Kind.DECISION, decision(number))
                while not last_is_checkpoint(tmp_path, 0):  # noqa: ASYNC110  a file
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.01)  # time for one too many

    asyncio.run(scenario())

    kinds = [one.kind.value for one in kept(tmp_path, None) if one.kind is not Kind.CHANGE]
    assert kinds == ["decision", "checkpoint"] * 2


def test_under_load_checkpoints_ride_in_commits_that_are_made_anyway(tmp_path: Path) -> None:
    asyncio.run(written(tmp_path, records=100))

    (report,) = verify(tmp_path).chains
    assert len(checkpoints(tmp_path)) >= 10
    assert (report.broken, report.unsigned) == (None, 0)


def test_a_checkpoint_lists_the_newest_segment_of_every_chain(whole: Path) -> None:
    last = checkpoints(whole)[-1]

    assert last.payload["chains"] == [newest(whole, worker).name for worker in (0, 1)]


def test_without_a_signer_there_are_no_checkpoints_and_all_is_unsigned(tmp_path: Path) -> None:
    asyncio.run(written(tmp_path, records=5, signer=None))

    (report,) = verify(tmp_path).chains
    assert (report.broken, report.proven, report.unsigned) == (None, None, report.records)


def test_no_secret_of_the_signer_is_shown(tmp_path: Path) -> None:
    asyncio.run(written(tmp_path, records=1))

    everything = repr(SIGNER).encode() + b"".join(path.read_bytes() for path in files(tmp_path))
    assert b"ssss" not in everything
    assert SIGNER.key.encode() in everything


@pytest.mark.parametrize("number", range(1, 17))
def test_r05_any_write_or_sync_may_fail_and_the_chain_is_signed_to_its_end(
    tmp_path: Path, number: int
) -> None:
    disk = FailingFiles([number], errno.EIO)

    promised = asyncio.run(appended_despite(disk, tmp_path, number))
    asyncio.run(written(tmp_path, records=1))

    assert (disk.failed, disk.misused) == (1, 0)
    assert promised <= ids(tmp_path)
    (report,) = verify(tmp_path).chains
    assert (report.broken, report.unsigned) == (None, 0)


async def appended_despite(disk: FailingFiles, directory: Path, number: int) -> set[str]:
    """Append until the disk has failed and recovered; return what was promised."""
    promised: set[str] = set()
    journal = None
    while journal is None:
        with suppress(JournalUnavailableError):
            journal = await Journal.open(directory, "n", 0, limits=OFTEN, files=disk, signer=SIGNER)
    async with journal:
        while len(promised) < 12 or disk.count < number or not journal.health.available:
            with suppress(JournalUnavailableError):
                promised.add(await journal.append(Kind.DECISION, decision(1)))
            await asyncio.sleep(0)
    return promised


class OneAtATime:
    """Lets the threads of several journals use one disk."""

    def __init__(self, disk: PowerCutFiles) -> None:
        self._disk = disk
        self._lock = RLock()

    def __getattr__(self, name: str) -> Callable[..., object]:
        def locked(*args: object) -> object:
            with self._lock:
                return getattr(self._disk, name)(*args)

        return locked


def test_r02_no_loss_of_power_makes_an_honest_journal_look_tampered_with(tmp_path: Path) -> None:
    promised: list[str] = []
    disk = PowerCutFiles(lambda: len(promised))
    shared = cast("Files", OneAtATime(disk))

    async def chains() -> None:
        journals = [
            await Journal.open(
                tmp_path / "live", "n", worker, limits=OFTEN, files=shared, signer=SIGNER
            )
            for worker in (0, 1)
        ]

        async def caller(journal: Journal, number: int) -> None:
            for turn in range(40):
                pad = "x" * (turn * 37 % 300)
                promised.append(await journal.append(Kind.DECISION, decision(number, pad=pad)))

        await asyncio.gather(*(caller(one, turn) for one in journals for turn in range(2)))
        for one in journals:
            await one.close()

    asyncio.run(chains())
    assert [one for one in judged_after_cuts(disk.moments, tmp_path, 40) if one] == []


def judged_after_cuts(moments: list[Moment], directory: Path, cuts: int) -> list[object]:
    chance = random.Random("power and signatures")
    found: list[object] = []
    for cut in range(cuts):
        copy = directory / str(cut)
        chance.choice(moments).survive(copy, chance)
        for draft in copy.glob("*.new"):
            draft.unlink()
        found.append(verify(copy).first_break)
        shutil.rmtree(copy)
    return found


# Proof of a copy.


def test_t36_an_untouched_copy_is_proven_whole_by_the_anchor_alone(
    whole: Path, anchor: Anchor
) -> None:
    again = Anchor.parsed(anchor.written().encode())

    found = verify(whole, again)

    assert again == anchor
    assert found.is_whole
    assert [one.unsigned for one in found.chains] == [0, 0]


def test_t36_what_was_appended_after_the_anchor_was_taken_accuses_nobody(
    whole: Path, older: Lines, tmp_path: Path
) -> None:
    then = verify(put(tmp_path / "then", older)).anchor()

    assert verify(whole, then).is_whole


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no anchor"),
        (b"[]", "no anchor"),
        (b"\xff\xfe", "no anchor"),
        (b"[" * 100_000, "no anchor"),
        (b'{"v": 2, "keys": [], "checkpoints": []}', "newer version"),
        (b'{"v": 1, "keys": [], "checkpoints": []}', "not signed"),
        (b'{"v": 1, "keys": [1], "checkpoints": [2]}', "no anchor"),
        (b'{"v": 1, "keys": ["k"], "checkpoints": ["{}"]}', "not signed"),
    ],
)
def test_what_is_no_anchor_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(AnchorError, match=why):
        Anchor.parsed(text)


def test_an_anchor_that_was_cut_or_altered_is_refused(anchor: Anchor) -> None:
    text = anchor.written()

    for damaged in (text[:-20], text.replace("n.0001.", "n.0002.", 1), text.replace("sha", "s")):
        if damaged != text:
            with pytest.raises(AnchorError):
                Anchor.parsed(damaged.encode())


def test_a_chain_of_a_newer_version_is_unusable_and_not_accused(
    whole: Path, tmp_path: Path
) -> None:
    copy = put(tmp_path / "copy", content_of(whole))
    for path in files(copy)[-1:]:
        path.write_bytes(path.read_bytes().replace(b'{"v":1,', b'{"v":2,'))

    with pytest.raises(JournalNewerError):
        verify(copy)


# Tamperings. Each is a function of the lines and of an older copy; it returns what is to be found.


def relinked(content: Lines, chain: str) -> None:
    """Compute the hashes of a chain anew, and the sizes in its first lines, as a forger would."""
    before, size = b"", 0
    for name in sorted(one for one in content if one.startswith(chain)):
        lines = content[name]
        for number, line in enumerate(lines):
            fixed = line
            if before:
                start = fixed.index(b'"prev":"') + 8
                fixed = fixed[:start] + sha256(before).hexdigest().encode() + fixed[start + 64 :]
            if number == 0 and before:
                head, _, rest = fixed.partition(b'"size":')
                fixed = head + b'"size":%d' % size + rest[rest.index(b"}") :]
            lines[number] = before = fixed
        size = sum(map(len, lines))


def chain_of(name: str) -> str:
    return name[: len("n.0000.")]


def own_files(content: Lines, name: str) -> list[str]:
    return sorted(one for one in content if chain_of(one) == chain_of(name))


def somewhere(content: Lines, chance: random.Random, wanted: bytes = b"") -> tuple[str, int]:
    return chance.choice(
        [
            (name, number)
            for name, lines in content.items()
            for number, line in enumerate(lines)
            if wanted in line and (name, number) != (own_files(content, name)[-1], len(lines) - 1)
        ]
    )


def next_checkpoint(content: Lines, name: str, number: int) -> tuple[str, int]:
    """Return the place of the first checkpoint from a line on; there is one at every end."""
    return next(
        (file, turn)
        for file in own_files(content, name)
        for turn, line in enumerate(content[file])
        if (file, turn) >= (name, number) and CHECKPOINT in line
    )


def edit(content: Lines, chance: random.Random, _: Lines) -> Break:
    name, number = somewhere(content, chance, b'"decision"')
    content[name][number] = content[name][number].replace(b'"allow"', b'"deny" ')
    return Break(name, number + 1, Fault.EDITED)


def edit_and_relink(content: Lines, chance: random.Random, _: Lines) -> Break:
    name, number = somewhere(content, chance, b'"decision"')
    content[name][number] = content[name][number].replace(b'"allow"', b'"deny"')
    relinked(content, chain_of(name))
    file, line = next_checkpoint(content, name, number)
    return Break(file, line + 1, Fault.FORGED)


def edit_a_checkpoint(content: Lines, chance: random.Random, _: Lines) -> Break:
    name, number = somewhere(content, chance, CHECKPOINT)
    content[name][number] = content[name][number].replace(b'"chains":["n', b'"chains":["m')
    relinked(content, chain_of(name))
    return Break(name, number + 1, Fault.FORGED)


def sign_with_another_key(content: Lines, chance: random.Random, _: Lines) -> Break:
    """Edit a record, make the chain fit, and sign what follows with a key of one's own."""
    name, number = somewhere(content, chance, b'"decision"')
    content[name][number] = content[name][number].replace(b'"allow"', b'"deny"')
    forger, first = Signer(b"f" * 32), next_checkpoint(content, name, number)
    for file in own_files(content, name):
        for turn, line in enumerate(content[file]):
            if CHECKPOINT in line and (file, turn) >= first:
                relinked(content, chain_of(name))
                bare = content[file][turn].rpartition(b',"signature"')[0] + b"}\n"
                bare = bare.replace(SIGNER.key.encode(), forger.key.encode())
                content[file][turn] = forger.signed(bare)
    relinked(content, chain_of(name))
    return Break(first[0], first[1] + 1, Fault.FORGED)


def cut_the_end(content: Lines, chance: random.Random, _: Lines) -> Break:
    name = chance.choice([own_files(content, f"n.{one:04d}.")[-1] for one in (0, 1)])
    left = chance.randrange(1, len(content[name]))
    content[name] = content[name][:left]
    return Break(name, left + 1, Fault.CUT)


def cut_a_record(content: Lines, chance: random.Random, _: Lines) -> Break:
    name, number = somewhere(content, chance)
    del content[name][number]
    return Break(name, number + 1, Fault.CUT)


def remove_a_segment(content: Lines, chance: random.Random, _: Lines) -> Break:
    name = chance.choice(list(content))
    if len(own_files(content, name)) == 1:
        name = next(one for one in content if len(own_files(content, one)) > 1)
    del content[name]
    return Break(name, 1, Fault.MISSING)


def remove_the_last_segments(content: Lines, chance: random.Random, _: Lines) -> Break:
    own = own_files(content, f"n.{chance.randrange(2):04d}.")
    gone = own[-chance.randrange(1, len(own)) :]
    for name in gone:
        del content[name]
    return Break(gone[0], 1, Fault.MISSING)


def remove_a_chain(content: Lines, chance: random.Random, _: Lines) -> Break:
    own = own_files(content, f"n.{chance.randrange(2):04d}.")
    for name in own:
        del content[name]
    return Break(own[-1], 1, Fault.MISSING)


def swap(content: Lines, chance: random.Random, _: Lines) -> Break:
    name = chance.choice([one for one, lines in content.items() if len(lines) > 2])
    lines = content[name]
    first, second = sorted(chance.sample(range(1, len(lines)), 2))
    if first == second - 1 and second == len(lines) - 1 and name == own_files(content, name)[-1]:
        first, second = 0, 1
    lines[first], lines[second] = lines[second], lines[first]
    return Break(name, first + 1, Fault.SWAPPED)


def restore_an_older_segment(content: Lines, chance: random.Random, _: Lines) -> Break:
    """Put a file in place of itself as it was while it was the last."""
    name = chance.choice(list(content))
    older = content[name][: chance.randrange(1, len(content[name]))]
    content[name] = older
    return Break(name, len(older) + 1, Fault.CUT)


def restore_an_older_chain(content: Lines, chance: random.Random, older: Lines) -> Break:
    chain = f"n.{chance.randrange(2):04d}."
    for name in own_files(content, chain):
        del content[name]
    then = own_files(older, chain)
    content.update({name: list(older[name]) for name in then})
    number = int(then[-1].split(".")[2]) + 1
    return Break(f"{chain}{number:08d}.jsonl", 1, Fault.MISSING)


ALONE = [edit, edit_and_relink, edit_a_checkpoint, cut_a_record, swap, remove_a_segment]
"""Found out by the copy itself; a last segment or chain that is gone, by the other chain."""

ANCHORED = [
    *ALONE,
    sign_with_another_key,
    cut_the_end,
    remove_the_last_segments,
    remove_a_chain,
    restore_an_older_segment,
    restore_an_older_chain,
]


def misjudged(
    whole: Path,
    older: Lines,
    directory: Path,
    tampering: Tampering,
    times: int,
    anchor: Anchor | None,
) -> list[str]:
    chance = random.Random(tampering.__name__)
    wrong, before = [], content_of(whole)
    for turn in range(times):
        content = {name: list(lines) for name, lines in before.items()}
        expected = tampering(content, chance, older)
        same = [name for name, lines in content.items() if lines == before.get(name)]
        copy = put(directory / str(turn), {one: content[one] for one in content.keys() - same})
        for name in same:
            (copy / name).hardlink_to(whole / name)
        found = [one.broken for one in verify(copy, anchor).chains if one.broken]
        if found != [expected]:
            wrong.append(f"{expected} was judged {', '.join(map(str, found))}")
        shutil.rmtree(copy)
    return wrong


@pytest.mark.parametrize("tampering", ANCHORED)
def test_t36_each_of_85_random_tamperings_is_named_beside_an_anchor(
    whole: Path, older: Lines, anchor: Anchor, tmp_path: Path, tampering: Tampering
) -> None:
    assert misjudged(whole, older, tmp_path, tampering, 85, anchor) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("tampering", ANCHORED)
def test_t36_each_of_3_000_random_tamperings_is_named_beside_an_anchor(
    whole: Path, older: Lines, anchor: Anchor, tmp_path: Path, tampering: Tampering
) -> None:
    assert misjudged(whole, older, tmp_path, tampering, 3_000, anchor) == []


@pytest.mark.parametrize("tampering", ALONE[:-1])
def test_t36_each_of_10_random_tamperings_is_named_without_an_anchor(
    whole: Path, older: Lines, tmp_path: Path, tampering: Tampering
) -> None:
    assert misjudged(whole, older, tmp_path, tampering, 10, None) == []


def test_t36_a_chain_that_is_gone_is_named_by_the_one_that_is_left(
    whole: Path, tmp_path: Path
) -> None:
    content = content_of(whole)
    own = own_files(content, "n.0000.")
    left = {name: lines for name, lines in content.items() if name not in own}

    found = verify(put(tmp_path / "copy", left))

    assert [(one.chain, one.broken) for one in found.chains] == [
        (Chain("n", 1), None),
        (Chain("n", 0), Break(own[-1], 1, Fault.MISSING)),
    ]


def test_t36_a_break_tells_which_record_it_is_about(whole: Path, tmp_path: Path) -> None:
    content = content_of(whole)
    name = own_files(content, "n.0001.")[1]
    line = content[name][2]
    content[name][2] = line.replace(b'"action"', b'"Action"').replace(b'"chains"', b'"Chains"')

    found = verify(put(tmp_path / "copy", content)).first_break

    assert found == Break(name, 3, Fault.EDITED)
    assert found is not None
    assert b'"seq":%d,' % found.seq in line


def test_t36_records_up_to_the_last_proven_checkpoint_are_told(whole: Path, tmp_path: Path) -> None:
    content = content_of(whole)
    places = [
        (name, turn)
        for name in own_files(content, "n.0000.")
        for turn, line in enumerate(content[name])
        if CHECKPOINT in line
    ]
    name, turn = places[2]
    content[name][turn] = content[name][turn].replace(b'"signature":"', b'"signature":"A')
    relinked(content, "n.0000.")

    proven = verify(put(tmp_path / "copy", content)).chains[0].proven

    before, number = places[1]
    assert proven is not None
    assert proven.line == content[before][number]
