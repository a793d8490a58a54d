"""`northgate access narrow`: fewer and smaller grants, proven over what was seen."""

from __future__ import annotations

import json as text
import shlex
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from policies.model import Fact
from policies.narrowing import GRANTS, Narrowing, Proposal, Seen
from policies.polar.values import held_row, key_of
from policies.recorded import UnreadableError
from proxy.admin.grant_terms import words_of
from proxy.cli.policy import console
from proxy.cli.policy.console import counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError
from proxy.cli.replay.progress import progress
from proxy.cli.review.scene import Scene, facts_of, scene, unreadable
from proxy.cli.review.showing import fact_document

_BETWEEN_TICKS: Final = 5_000


def run(
    data_dir: Path,
    config: Path | None,
    since: str,
    out_file: Path | None,
    environ: Mapping[str, str],
    *,
    json: bool,
) -> int:
    of = scene(data_dir, config, since, environ)
    proposal = proposed(of)
    lines = list(fact_lines(proposal))
    if out_file is not None:
        _write(out_file, lines)
    if json:
        console.print_json(_document(of, proposal, lines))
    else:
        _print(console.out(), of, proposal)
    return Code.GOOD


def proposed(of: Scene) -> Proposal:
    """Return the narrower grants that are proven over *of*. Raise `InputError`."""
    bench = of.present
    seen = Seen(bench, of.past.revealed, with_token=of.judge.names_tokens)
    is_any = False
    with progress(of.since, of.until) as tick:
        for count, record in enumerate(of.decisions(of.since)):
            if record.time < of.since:
                continue
            is_any = True
            if count % _BETWEEN_TICKS == 0:
                tick(count, record.time)
            try:
                seen.add(record.payload)
            except UnreadableError as error:
                raise unreadable(record, error) from error
        if not is_any:
            raise of.nothing()
        facts = facts_of(of.stated)
        now = int(time.time())
        return Narrowing(bench, seen.questions, facts, now, _fixed(of, now)).propose()


def _fixed(of: Scene, now: int) -> list[Fact]:
    """Return the grants to leave alone: new ones, those that are over, those policy files state."""
    stated = of.program.stated
    return [
        life.fact
        for life in of.stated
        if of.is_new(life)
        or _is_over(life.fact, now)
        or held_row(life.fact.args)
        in stated.get(key_of(life.fact.predicate, len(life.fact.args)), {})
    ]


def _is_over(fact: Fact, now: int) -> bool:
    end = fact.args[-1]
    return fact.predicate == "lease" and isinstance(end, int) and end <= now


def commands(proposal: Proposal) -> Iterator[str]:
    """Yield the commands that carry *proposal* out, what is new first."""
    for piece in proposal.pieces:
        for fact in piece.add:
            yield _command("grant", fact)
    for piece in proposal.pieces:
        yield _command("revoke", min(piece.remove, key=lambda fact: fact.predicate))


def _command(verb: str, fact: Fact) -> str:
    words = words_of(fact)
    line = ["northgate", "access", verb, words["actor"], words["role"], words["resource"]]
    if verb == "grant" and words["until"] is not None:
        end = datetime.fromtimestamp(words["until"], UTC)
        line += ["--until", end.strftime("%Y-%m-%dT%H:%M:%SZ")]
    return shlex.join(line)


def fact_lines(proposal: Proposal) -> Iterator[dict[str, Any]]:
    """Yield the facts to add and to remove."""
    for piece in proposal.pieces:
        yield from ({"change": "add", **fact_document(fact)} for fact in piece.add)
    for piece in proposal.pieces:
        for fact in sorted(piece.remove, key=str):
            yield {"change": "remove", **fact_document(fact)}


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    content = "".join(text.dumps(line) + "\n" for line in lines)
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError.saying(f"{path}: this cannot be written: {error.strerror}.") from error


def _print(out: Console, of: Scene, proposal: Proposal) -> None:
    for line in commands(proposal):
        out.print(visible(line))
    err = console.err()
    removed = sum(len(piece.remove) for piece in proposal.pieces)
    added = sum(len(piece.add) for piece in proposal.pieces)
    grants = [life for life in of.stated if life.fact.predicate in GRANTS]
    err.print(
        f"{removed} of {counted(len(grants), 'grant')} end, {added} narrower take their place."
        if proposal.pieces
        else "No narrower set of grants would have done."
    )
    err.print(
        Text(
            f"Replayed over it: {counted(proposal.replayed, 'decision')} that were allowed since "
            f"{of.since}, {proposal.newly_denied} newly denied.",
            "bold",
        )
    )
    if proposal.denied_already:
        err.print(f"{proposal.denied_already:,} of them the facts of now do not allow either way.")
    if proposal.unclear:
        err.print(f"{proposal.unclear:,} cannot be decided again; whose they are keeps all grants.")
    err.print("Nothing was changed.")


def _document(of: Scene, proposal: Proposal, lines: list[dict[str, Any]]) -> dict[str, object]:
    return {
        "policy": of.judge.grounds.bundle.version,
        "fact_version": of.version,
        "since": of.since,
        "until": of.until,
        "decisions": proposal.replayed,
        "questions": proposal.questions,
        "newly_denied": proposal.newly_denied,
        "denied_already": proposal.denied_already,
        "cannot_tell": proposal.unclear,
        "withdrawn": proposal.withdrawn,
        "commands": list(commands(proposal)),
        "facts": lines,
    }
