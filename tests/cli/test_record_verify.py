"""`northgate record verify` and `anchor`: the record is proven whole, or its break is named."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from storage.engine import open_database
from storage.journal import Anchor, Chain, Journal, Kind, Limits, Signer
from storage.journal.removal import LeftChains
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import feed, portion
from storage.shipping.resuming import resumed
from tests.cli.test_record_commands import decision, run, segment
from tests.storage.disks import QuickFiles

SIGNER = Signer(b"s" * 32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory with a chain of four records, the last of them a checkpoint."""
    write(tmp_path / "data")
    return tmp_path / "data"


def write(data: Path, worker: int = 0, signer: Signer | None = SIGNER) -> None:
    async def scenario() -> None:
        limits = Limits(checkpoint=60)
        async with await Journal.open(
            data / "journal", "n", worker, limits=limits, files=QuickFiles(), signer=signer
        ) as journal:
            for _ in range(2):
                await journal.append(Kind.DECISION, decision())

    asyncio.run(scenario())


def anchored(data: Path) -> Path:
    ran = run("anchor", "--data-dir", data)
    assert (ran.code, ran.err) == (0, "")
    path = data.parent / "anchor.json"
    path.write_text(ran.out)
    return path


def alter(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))


def test_a_whole_record_is_proven_up_to_its_last_checkpoint(data: Path) -> None:
    ran = run("verify", "--data-dir", data)

    assert ran.code == 0
    assert ran.lines[0].startswith("n, worker 0: 4 records, proven up to 4 (")
    assert ran.lines[0].endswith("), 0 unsigned.")
    assert ran.lines[1:] == ["The record is whole."]
    assert SIGNER.key in ran.err


def test_the_document_has_each_chain(data: Path) -> None:
    write(data, 1, signer=None)

    document = run("verify", "--data-dir", data, "--json").document

    first, second = document["chains"]
    assert (document["whole"], document["anchored"]) == (True, False)
    assert document["keys"] == [SIGNER.key]
    assert (first["proven"]["seq"], first["unsigned"], first["broken"]) == (4, 0, None)
    assert (second["worker"], second["proven"], second["unsigned"]) == (1, None, 3)


def test_a_break_is_named_with_its_class_file_line_and_record(data: Path) -> None:
    alter(segment(data), b'"allow"', b'"deny"')

    ran = run("verify", "--data-dir", data)

    assert ran.code == 1
    assert ran.lines[1:] == [
        f"  {segment(data).name}, line 2 (record 2): edited: this record was altered.",
        "The record is broken, in 1 chain.",
    ]
    broken = run("verify", "--data-dir", data, "--json").document["chains"][0]["broken"]
    assert broken == {"class": "edited", "file": segment(data).name, "line": 2, "seq": 2}


def test_a_forged_checkpoint_tells_after_which_record_something_was_altered(data: Path) -> None:
    alter(segment(data), b'"signature":"', b'"signature":"A')

    ran = run("verify", "--data-dir", data)

    assert ran.code == 1
    assert "line 4 (record 4): forged" in ran.lines[1]
    assert ran.lines[1].endswith("what was altered comes after record 0.")


def test_an_anchor_alone_proves_a_copy_of_the_files(data: Path) -> None:
    ran = run("verify", data / "journal", "--anchor", anchored(data))

    assert (ran.code, ran.err) == (0, "")


def test_an_anchor_knows_of_an_end_that_was_cut(data: Path) -> None:
    anchor = anchored(data)
    segment(data).write_bytes(b"".join(segment(data).read_bytes().splitlines(keepends=True)[:2]))

    assert run("verify", "--data-dir", data).code == 0
    ran = run("verify", "--data-dir", data, "--anchor", anchor)
    assert ran.code == 1
    assert "line 3 (record 3): cut" in ran.lines[1]


def test_an_anchor_knows_of_a_record_that_is_gone_altogether(data: Path) -> None:
    anchor = anchored(data)
    name = segment(data).name
    segment(data).unlink()

    ran = run("verify", "--data-dir", data, "--anchor", anchor)

    assert ran.code == 1
    assert f"{name}, line 1 (record 1): missing: this file is gone." in ran.out


def test_no_anchor_is_made_of_a_broken_record_nor_of_one_without_a_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    write(tmp_path / "bare", signer=None)
    alter(segment(data), b'"allow"', b'"deny"')

    broken, bare = (run("anchor", "--data-dir", one) for one in (data, tmp_path / "bare"))

    assert (broken.code, bare.code, bare.out) == (1, 2, "")
    assert '"checkpoints"' not in broken.out
    assert "no checkpoint is there yet" in bare.err


def copied(data: Path) -> None:
    """Copy the record of *data* to its database, as a gateway does."""

    async def scenario() -> None:
        database = await open_database(f"sqlite:///{data / 'northgate.db'}")
        ledger, own = ShippingLedger(database, time.time), feed(data / "journal", Chain("n", 0))
        found = portion(data / "journal", own.chain, await resumed(ledger, data / "journal", own))
        if found is not None:
            await ledger.take(own, found)
        await database.close()

    asyncio.run(scenario())


def test_the_database_knows_of_an_end_that_was_cut_and_of_an_untouched_record(data: Path) -> None:
    copied(data)
    write(data)
    copied(data)

    ran = run("anchor", "--data-dir", data, "--from-database")
    anchor = data.parent / "anchor.json"
    anchor.write_text(ran.out)

    assert (ran.code, ran.err) == (0, "")
    assert run("verify", data / "journal", "--anchor", anchor).code == 0
    assert Anchor.parsed(anchor.read_bytes()) == Anchor.parsed(anchored(data).read_bytes())
    anchor.write_text(ran.out)
    segment(data).write_bytes(b"".join(segment(data).read_bytes().splitlines(keepends=True)[:4]))
    assert run("verify", "--data-dir", data).code == 0
    cut = run("verify", "--data-dir", data, "--anchor", anchor)
    assert cut.code == 1
    assert "line 5 (record 5): cut" in cut.lines[1]


def test_no_anchor_is_made_of_what_the_database_has_not_or_has_altered(data: Path) -> None:
    missing = run("anchor", "--data-dir", data, "--from-database")
    write(data.parent / "bare", signer=None)
    copied(data.parent / "bare")
    none = run("anchor", "--data-dir", data.parent / "bare", "--from-database")
    copied(data)
    with closing(sqlite3.connect(data / "northgate.db")) as connection, connection:
        connection.execute("UPDATE checkpoints SET body = replace(body, 'signature\":\"', '&A')")
    altered = run("anchor", "--data-dir", data, "--from-database")
    useless = run("anchor", "--data-dir", data, "--config", "northgate.toml")

    found = (missing, none, altered, useless)
    assert [(one.code, one.out) for one in found] == [(2, "")] * 4
    assert "there is no database here" in missing.err
    assert "the database has no checkpoint of the record" in none.err
    assert "not as it was signed" in altered.err
    assert "only --from-database needs it" in useless.err


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"v": 2, "keys": [], "checkpoints": []}'])
def test_what_is_no_anchor_is_unusable_and_says_why(data: Path, text: str) -> None:
    path = data.parent / "odd"
    path.write_text(text)

    ran = run("verify", "--data-dir", data, "--anchor", path, "--json")

    assert ran.code == 2
    assert str(path) in ran.document["errors"][0]["message"]


@pytest.mark.parametrize("command", ["verify", "list", "export", "tail", "anchor"])
def test_a_record_of_a_newer_version_is_unusable_and_left_as_it_is(
    data: Path, command: str
) -> None:
    path = segment(data)
    path.write_bytes(path.read_bytes().replace(b'{"v":1,', b'{"v":2,'))
    before = path.read_bytes()

    ran = run(command, "--data-dir", data)

    assert (ran.code, ran.out) == (2, "")
    assert "A newer version of Northgate wrote this journal" in ran.err
    assert path.read_bytes() == before


def test_where_there_is_no_journal_nothing_is_proven(tmp_path: Path) -> None:
    assert run("verify", "--data-dir", tmp_path).code == 2
    assert run("verify", tmp_path).code == 2
    assert run("verify", tmp_path / "none").code == 2


def test_a_torn_end_is_counted_and_accuses_nobody(data: Path) -> None:
    with segment(data).open("ab") as file:
        file.write(b'{"v":1,"ki')

    ran = run("verify", "--data-dir", data)

    assert ran.code == 0
    assert "10 bytes torn and never acknowledged" in ran.lines[0]


def test_what_was_removed_is_told_and_what_an_anchor_no_longer_proves(data: Path) -> None:
    anchor = anchored(data)
    limits = Limits(checkpoint=60)
    left = LeftChains(data / "journal", limits, time.time_ns, SIGNER, QuickFiles())
    left.release(Chain("n", 0), lambda: 9, why="older than 30 days")

    plain = run("verify", "--data-dir", data)
    ran = run("verify", "--data-dir", data, "--anchor", anchor)
    document = run("verify", "--data-dir", data, "--anchor", anchor, "--json").document

    told = "  records up to 4 were removed (older than 30 days), as the chain itself said on "
    assert (plain.code, ran.code) == (0, 0)
    assert plain.lines[1].startswith(told)
    assert "anchor" not in plain.lines[1]
    assert ran.lines[1].startswith(told)
    assert ran.lines[1].endswith("so it proves the key and no longer those.")
    assert ran.lines[2] == "The record is whole."
    [removed] = [one["removed"] for one in document["chains"]]
    assert (removed["seq"], removed["why"]) == (4, "older than 30 days")
    assert removed["anchored"] is True
