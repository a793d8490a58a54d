"""The proof: what replay says of each decision of the month, against deciding from scratch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from bench.month.making import Month
from bench.month.notebook import Truth, truths
from bench.month.rules import edited, month_policies
from bench.month.scratch import Scratch, Stated, looks_alike
from policies.bundle import Bundle
from policies.comparing import Replay
from policies.replay import Compared, Difference, Judge
from proxy.cli.record.reading import records
from proxy.cli.replay.past import Past
from proxy.cli.replay.place import located
from proxy.cli.replay.run import replay_of
from storage.engine import open_database
from storage.facts import FactLedger
from storage.journal import Kind, Record

UNCHANGED: Final = "no edit"
"""The policy that was in force with each decision."""

_EXAMPLES: Final = 3


@dataclass(slots=True)
class Finding:
    """What came of one policy: decisions by difference, and those on which replay was wrong."""

    counts: Counter[Difference] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    wrong_count: int = 0

    def add(self, record: Record, compared: Compared, problem: str) -> None:
        self.counts[compared.difference] += 1
        if problem:
            self.wrong_count += 1
            if len(self.wrong) < _EXAMPLES:
                self.wrong.append(f"{record.id}: {problem}")


Tick = Callable[[int], None]


def prove(month: Month, tick: Tick, turns: int = 1) -> dict[str, Finding]:
    """Return what replay makes of *month* under every policy, by the names of the edits.

    Edits take turns: each is asked about one in *turns* decisions.
    """
    past = Past(located(month.directory, None, {}))
    originals = {one.version: one for one in month_policies()}
    proof = _Proof(past, originals, edited())
    with _facts_of(month.directory) as facts_of:
        for count, (record, truth) in enumerate(_joined(month)):
            if count % 1_000 == 0:
                tick(count)
            if truth.version != proof.version:
                proof.stand_on(truth.version, facts_of(truth.version))
            proof.check(record, truth, count % turns, turns)
    return proof.findings


class _Proof:
    """All policies side by side, on the facts of one version after another."""

    def __init__(
        self, past: Past, originals: Mapping[str, Bundle], candidates: Mapping[str, Bundle]
    ) -> None:
        self.version = -1
        self.findings = {name: Finding() for name in (UNCHANGED, *candidates)}
        self._then = {name: past.judging(one) for name, one in originals.items()}
        self._judges = {name: past.judging(one) for name, one in candidates.items()}
        self._before = {name: Scratch(one) for name, one in originals.items()}
        self._scratch = {name: Scratch(one) for name, one in candidates.items()}
        every: dict[str, Judge] = {**self._judges, **self._then}
        self._replays: dict[str, Replay] = {
            name: replay_of(past, one, "then") for name, one in every.items()
        }
        self._stated: Stated = frozenset()

    def stand_on(self, version: int, stated: Stated) -> None:
        self.version = version
        self._stated = stated

    def check(self, record: Record, truth: Truth, turn: int, turns: int) -> None:
        """Compare what policies make of one decision with what they would have made of it.

        Those are asked whose *turn* of *turns* it is.
        """
        same = self._replays[truth.policy].compare(record.payload)
        expected = Difference.UNCHANGED if truth.is_judged else Difference.NOT_JUDGED
        told = "" if same.difference is expected else f"{same.difference}: {same.lacking}"
        self.findings[UNCHANGED].add(record, same, told)
        for name, scratch in islice(self._scratch.items(), turn, None, turns):
            scratch.stand_on(self._stated)
            compared = self._replays[name].compare(record.payload)
            self.findings[name].add(record, compared, self._problem(truth, compared, scratch))

    def _problem(self, truth: Truth, compared: Compared, scratch: Scratch) -> str:
        found = compared.difference
        if not truth.is_judged or found is Difference.NOT_JUDGED:
            is_fine = not truth.is_judged and found is Difference.NOT_JUDGED
            return "" if is_fine else f"{found}, and judged: {truth.is_judged}"
        if found is Difference.CANNOT_TELL:
            before = self._before[truth.policy]
            before.stand_on(self._stated)
            answers = {scratch.decide(one) for one in looks_alike(truth, before)}
            return "" if len(answers) > 1 else f"it is always {answers}: {compared.lacking}"
        allowed = found is Difference.NEWLY_ALLOWED
        if found is Difference.UNCHANGED:
            allowed = truth.allowed
        really = scratch.decide(truth)
        return "" if really is allowed else f"{found}, and from scratch allowed is {really}"


def _joined(month: Month) -> Iterator[tuple[Record, Truth]]:
    """Yield every decision as it was recorded and as it was noted."""
    waiting: dict[str, Truth] = {}
    notes = truths(month.notes)
    for record in records(month.directory):
        if record.kind is not Kind.DECISION:
            continue
        while record.id not in waiting:
            truth = next(notes)
            waiting[truth.id] = truth
        yield record, waiting.pop(record.id)


@contextmanager
def _facts_of(directory: Path) -> Iterator[Callable[[int], Stated]]:
    """Give what tells the facts of a version, as the database has them."""
    with asyncio.Runner() as runner:
        url = f"sqlite:///{directory.absolute() / 'northgate.db'}"
        database = runner.run(open_database(url))
        ledger = FactLedger(database, lambda: 0.0)
        try:
            yield lambda version: frozenset(runner.run(ledger.as_of(version)))
        finally:
            runner.run(database.close())
