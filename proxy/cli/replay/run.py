"""`northgate replay`: the decisions of an interval under another policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from policies.bundle import BundleError, read_sources
from policies.comparing import Replay
from policies.recorded import UnreadableError
from policies.replay import Bench, Difference, Judge
from proxy.cli.policy import console
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError
from proxy.cli.record.filters import moment
from proxy.cli.record.reading import records
from proxy.cli.replay.counting import SHOWN, Tally
from proxy.cli.replay.past import Past, loaded
from proxy.cli.replay.place import located
from proxy.cli.replay.progress import progress
from proxy.cli.replay.showing import document, print_report
from storage.journal import Kind, Record

_BETWEEN_TICKS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be replayed: an interval, a candidate, over the facts of then or of now."""

    since: str
    until: str | None
    policies: Path
    facts: Literal["then", "now"]
    fail_on: str


def run(
    data_dir: Path, config: Path | None, wanted: Wanted, environ: Mapping[str, str], *, json: bool
) -> int:
    failing, now = _failing(wanted.fail_on), datetime.now(UTC)
    since = moment("--since", wanted.since, now)
    until = moment("--until", "0s" if wanted.until is None else wanted.until, now)
    past = Past(located(data_dir, config, environ))
    judge = past.judging(loaded(_candidate(wanted.policies)))
    decisions = _decisions(records(past.place.data_dir, since=since), since, until)
    with progress(since, until) as tick:
        tally = tallied(replay_of(past, judge, wanted.facts), decisions, tick)
    counts = tally.counts
    if not counts:
        raise InputError.saying(
            f"{past.place.data_dir}: no decision was recorded from {since} to {until}."
        )
    policy = judge.grounds.bundle.version
    if json:
        console.print_json(document(tally, policy, since, until))
    else:
        print_report(console.out(), tally)
        if not past.recorder.reveals:
            console.err().print("The master key is not here, so text kept as digests is unknown.")
    return Code.NO if any(counts[difference] for difference in failing) else Code.GOOD


def replay_of(past: Past, judge: Judge, facts: Literal["then", "now"]) -> Replay:
    """Return what compares the decisions of *past* with those of *judge*."""
    newest = past.newest() if facts == "now" else None

    def candidate(version: int) -> Bench:
        return past.bench(judge, version if newest is None else newest)

    original = past.original if newest is None else None
    return Replay(judge, candidate, original, past.revealed, past.lasting())


def tallied(replay: Replay, decisions: Iterable[Record], tick: Callable[[int, str], None]) -> Tally:
    """Return what came of *decisions*. Raise `InputError` for one that cannot be understood."""
    tally = Tally()
    for count, record in enumerate(decisions):
        if count % _BETWEEN_TICKS == 0:
            tick(count, record.time)
        try:
            tally.add(replay.compare(record.payload), record.id)
        except UnreadableError as error:
            raise InputError.saying(
                f"{record.id}: this record is not as this release writes decisions ({error})."
            ) from error
    return tally


def _decisions(found: Iterable[Record], since: str, until: str) -> Iterator[Record]:
    return (
        record for record in found if record.kind is Kind.DECISION and since <= record.time < until
    )


def _candidate(path: Path) -> dict[str, bytes]:
    try:
        return read_sources([path])
    except BundleError as error:
        raise InputError.saying(*error.problems) from error


def _failing(text: str) -> list[Difference]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in SHOWN]
    if unknown:
        raise InputError.saying(
            f"--fail-on takes {', '.join(SHOWN)}, with commas between them, "
            f"not {', '.join(unknown)}."
        )
    return [Difference(word) for word in words]
