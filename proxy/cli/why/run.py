"""`northgate why`: the answer, in words or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.text import Text

from policies.model import Reason
from policies.recorded import Recorded
from proxy.cli.policy import console
from proxy.cli.policy.console import visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.explain import failure_document, step_document
from proxy.cli.policy.trees import miss_tree, proof_tree
from proxy.cli.record.texts import fact_text, short_name
from proxy.cli.replay.past import Past
from proxy.cli.replay.place import located
from proxy.cli.why.deciding import Standing, Why, explained
from proxy.cli.why.finding import bench_of, find, read_back
from storage.history import Life
from storage.journal import Record
from storage.shipping.rows import document

_DEPTH: Final = 12

_REASONS: Final = {
    Reason.NO_RULE: "No rule allows it, though the caller may see what it asked for.",
    Reason.NOT_VISIBLE: "The caller was told that there is no such thing, as it may not see it.",
    Reason.SUSPENDED: "The caller was suspended.",
    Reason.RATE_LIMITED: "The caller asked too often. The policy was not asked.",
    Reason.MALFORMED: "The message was not acceptable. The policy was not asked.",
    Reason.UNKNOWN_METHOD: "The gateway knows no such method. The policy was not asked.",
    Reason.UNDECIDED: "The question had no answer then, so the call was refused.",
}

_OBSERVED: Final = (
    "The server was observed and the policy not enforced there, so it was done all the same. "
)


def run(
    data_dir: Path, config: Path | None, text: str, environ: Mapping[str, str], *, json: bool
) -> int:
    past = Past(located(data_dir, config, environ))
    record = find(past.place.data_dir, text)
    if record is None:
        if json:
            console.print_json({"record": None})
        else:
            console.err().print(f"No decision has an id that begins with {text.strip()}.")
        return Code.NO
    of = read_back(record, past)
    why = explained(of, bench_of(of, past), past)
    if json:
        console.print_json(_document(record, of, why))
    else:
        _print(record, of, why)
    return Code.NO if why.standing is Standing.OTHERWISE else Code.GOOD


def _print(record: Record, of: Recorded, why: Why) -> None:
    out = console.out()
    for label, text in _facts_of(record, of):
        out.print(Text.assemble((f"{label:<10}", "bold"), visible(text)))
    out.print()
    style = "bold red" if why.standing is Standing.OTHERWISE else ""
    out.print(Text(visible(_said(of, why)), style))
    if why.again.lacking:
        out.print(Text(visible(f"Not recorded: {why.again.lacking}."), "yellow"))
    if why.standing is Standing.NOT_JUDGED:
        return
    out.print()
    if why.proof is not None and why.proof.steps:
        out.print(proof_tree(why.proof, _DEPTH), soft_wrap=False)
    else:
        out.print(Text.assemble((visible(str(why.asked)), "bold"), " does not hold."))
        if why.misses:
            out.print(miss_tree(why.misses), soft_wrap=False)
        else:
            out.print("No rule comes near it.")
    if why.lives:
        out.print()
        out.print(Text("Where the facts come from", "bold"))
        for life in why.lives:
            out.print(Text(visible(f"  {life.fact}")))
            out.print(Text(visible(f"    {_stated(life)}"), "cyan"))


def _facts_of(record: Record, of: Recorded) -> Iterator[tuple[str, str]]:
    yield "decision", record.id
    yield "time", record.time
    who = short_name(record.payload.get("principal"))
    on = f" on {of.server}" if of.server else ""
    yield "asked", f"{who}: {of.action} {of.resource}{on}"
    yield (
        "answered",
        f"{of.verdict.value}, {of.reason.value}{'' if of.enforced else ', not enforced'}",
    )
    yield "policy", of.policy
    yield "facts", f"version {of.fact_version}"
    for row in record.payload["facts"]:
        yield "with", fact_text(row)


def _said(of: Recorded, why: Why) -> str:
    reason = f"{_REASONS[of.reason]} " if of.reason in _REASONS else ""
    if not of.enforced:
        reason = _OBSERVED
    now = why.again.verdict.value
    match why.standing:
        case Standing.NOT_JUDGED:
            return reason.strip()
        case Standing.NO_ANSWER_THEN:
            return f"{reason}Decided again: {now}."
        case Standing.AS_RECORDED:
            return f"{reason}Decided again by the policy and the facts of then: {now}, as recorded."
        case Standing.NOT_THERE:
            return (
                "The policy would have allowed it, but no server offered anything of that name "
                "then, as far as the facts tell."
            )
        case Standing.CANNOT_TELL:
            return f"{reason}Nobody can decide it again for certain: an input was not recorded."
    return (
        f"THE RECORD DOES NOT AGREE: it says {of.verdict.value}, and by the policy and the facts "
        f"of then it is {now}. See whether the record is whole (`northgate record verify`), and "
        "whether a backup of the database was restored since."
    )


def _stated(life: Life) -> str:
    moment = datetime.fromtimestamp(life.added_at, UTC).isoformat(" ", "seconds")
    why = f": {life.added_why}" if life.added_why else ""
    return (
        f"stated by {life.added_by} ({life.origin}) at {moment}, version {life.added_version}{why}"
    )


def _document(record: Record, of: Recorded, why: Why) -> dict[str, object]:
    steps = why.proof.steps if why.proof else ()
    return {
        "record": document(record),
        "standing": why.standing.value,
        "said": _said(of, why),
        "verdict": why.again.verdict.value,
        "lacking": why.again.lacking or None,
        "goal": str(why.asked),
        "rules": list(why.proof.rules) if why.proof else [],
        "steps": [step_document(step) for step in steps],
        "misses": [
            {"rules": list(miss.rules), "failed": list(map(failure_document, miss.failed))}
            for miss in why.misses
        ],
        "facts": [
            {
                "fact": str(life.fact),
                "origin": life.origin,
                "by": life.added_by,
                "at": datetime.fromtimestamp(life.added_at, UTC).isoformat(),
                "why": life.added_why,
                "version": life.added_version,
            }
            for life in why.lives
        ],
    }
