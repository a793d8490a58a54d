"""`northgate record verify`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.text import Text

from proxy.cli.policy import console
from proxy.cli.policy.console import counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError, read_bytes
from proxy.cli.record.progress import progress
from proxy.cli.record.reading import journal_of, told_plainly
from proxy.cli.record.texts import local_second
from proxy.datadir import DataDirectory
from storage.journal import (
    Anchor,
    AnchorError,
    Break,
    ChainReport,
    Fault,
    Removed,
    Verification,
    verify,
)

_WORDS: Final[Mapping[Fault, str]] = {
    Fault.EDITED: "this record was altered",
    Fault.CUT: "records that stood from here on are gone",
    Fault.SWAPPED: "another record, or file, stands in this place",
    Fault.INSERTED: "this does not belong here",
    Fault.MISSING: "this file is gone",
    Fault.FORGED: "this checkpoint was not signed for what stands before it",
}


def run(data_dir: Path, directory: Path | None, anchor: Path | None, *, json: bool) -> int:
    kept = None if anchor is None else _anchor(anchor)
    found = verified(_place(data_dir, directory, kept), kept)
    if json:
        console.print_json(_document(found, anchored=kept is not None))
    else:
        tell(found, anchored=kept is not None)
    return Code.GOOD if found.is_whole else Code.NO


def _anchor(path: Path) -> Anchor:
    try:
        return Anchor.parsed(read_bytes(path))
    except AnchorError as error:
        raise InputError.saying(f"{path}: this cannot be used: {error}.") from error


def _place(data_dir: Path, directory: Path | None, anchor: Anchor | None) -> Path:
    """Return where the journal is; of one that is gone altogether an anchor still tells."""
    if directory is None:
        place = DataDirectory(data_dir).journal
        return place if anchor and place.is_dir() else journal_of(data_dir)
    if not directory.is_dir() or not (anchor or any(directory.glob("*.jsonl"))):
        raise InputError.saying(f"{directory}: there are no files of a journal here.")
    return directory


def verified(directory: Path, anchor: Anchor | None) -> Verification:
    with told_plainly(directory), progress("Verifying", directory) as tick:
        return verify(directory, anchor, tick)


def tell(found: Verification, *, anchored: bool) -> None:
    out = console.out()
    for report in found.chains:
        out.print(_line(report))
        if report.removed is not None:
            out.print(_removed_line(report.removed))
        if report.broken is not None:
            out.print(_break_line(report, report.broken))
    if found.is_whole:
        out.print(Text.assemble(("The record is whole.", "green")))
    else:
        broken = sum(one.broken is not None for one in found.chains)
        out.print(Text.assemble((f"The record is broken, in {counted(broken, 'chain')}.", "red")))
    keys = _keys(found)
    if keys and not anchored:
        console.err().print(
            f"Signed with {', '.join(keys)}, as the record itself says; "
            "--anchor proves it with what was kept elsewhere."
        )


def _line(report: ChainReport) -> Text:
    chain, proven = report.chain, report.proven
    text = f"{chain.node}, worker {chain.worker}: {counted(report.records, 'record')}"
    if proven is not None:
        text += f", proven up to {proven.seq:,} ({local_second(proven.time)})"
    text += f", {report.unsigned:,} unsigned"
    for size, what in ((report.torn, "torn"), (report.leftover, "given up")):
        if size:
            text += f", {counted(size, 'byte')} {what} and never acknowledged"
    return Text(visible(text + "."))


def _removed_line(removed: Removed) -> Text:
    text = f"  records up to {removed.seq:,} were removed ({removed.why})"
    text += f", as the chain itself said on {local_second(removed.time)}"
    if removed.anchored:
        text += "; what the anchor knows is among them, so it proves the key and no longer those"
    return Text(visible(text + "."))


def _break_line(report: ChainReport, broken: Break) -> Text:
    place = f"  {broken.file}, line {broken.line}"
    if broken.seq:
        place += f" (record {broken.seq:,})"
    text = Text.assemble(f"{place}: ", (broken.fault.value, "red"), f": {_WORDS[broken.fault]}")
    if broken.fault is Fault.FORGED:
        after = report.proven.seq if report.proven else 0
        text.append(f"; what was altered comes after record {after:,}")
    return text.append(".")


def _keys(found: Verification) -> list[str]:
    return sorted({one.proven.key for one in found.chains if one.proven})


def _document(found: Verification, *, anchored: bool) -> dict[str, object]:
    return {
        "whole": found.is_whole,
        "anchored": anchored,
        "keys": _keys(found),
        "chains": [_chain(report) for report in found.chains],
    }


def _chain(report: ChainReport) -> dict[str, object]:
    proven, broken, removed = report.proven, report.broken, report.removed
    return {
        "node": report.chain.node,
        "worker": report.chain.worker,
        "segments": report.segments,
        "records": report.records,
        "proven": proven and {"seq": proven.seq, "time": proven.time, "key": proven.key},
        "removed": removed
        and {
            "seq": removed.seq,
            "time": removed.time,
            "why": removed.why,
            "anchored": removed.anchored,
        },
        "unsigned": report.unsigned,
        "leftover": report.leftover,
        "torn": report.torn,
        "broken": broken
        and {
            "class": broken.fault.value,
            "file": broken.file,
            "line": broken.line,
            "seq": broken.seq or None,
        },
    }
