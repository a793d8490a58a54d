"""Timing calls, one by one, so that contestants share whatever else the machine is doing."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, perf_counter_ns, process_time_ns
from typing import Any, TypeVar

Item = TypeVar("Item")

GC_STATE = "on; a full collection before each measurement"


@dataclass(slots=True)
class Series:
    """The times of one contestant in nanoseconds, round by round, and its CPU time in all."""

    rounds: list[list[int]] = field(default_factory=list)
    cpu: int = 0

    def run(self, ask: Callable[[Any], object], items: Sequence[Any]) -> None:
        """Time one more round: *ask* of each of *items*."""
        times = []
        started = process_time_ns()
        for item in items:
            before = perf_counter_ns()
            ask(item)
            times.append(perf_counter_ns() - before)
        self.cpu += process_time_ns() - started
        self.rounds.append(sorted(times))

    def percentile(self, share: float) -> float:
        """Return that percentile of a round in microseconds: the median over the rounds.

        A round that something else on the machine disturbed does not decide what is reported.
        """
        found = [times[min(int(len(times) * share), len(times) - 1)] for times in self.rounds]
        return statistics.median(found) / 1000

    @property
    def count(self) -> int:
        return sum(map(len, self.rounds))

    @property
    def mean(self) -> float:
        return sum(map(sum, self.rounds)) / self.count / 1000

    @property
    def cpu_each(self) -> float:
        return self.cpu / self.count / 1000


def in_turns(
    contestants: Mapping[str, Callable[[Item], object]], items: Sequence[Item], rounds: int
) -> dict[str, Series]:
    """Return the times of *contestants*, each asked all *items*: a part of them in each round.

    Within a round they take turns on the same items. One unmeasured pass over a part comes first.
    """
    found = {name: Series() for name in contestants}
    size = -(-len(items) // rounds)
    for ask in contestants.values():
        for item in items[:size]:
            ask(item)
    gc.collect()
    for start in range(0, len(items), size):
        for name, ask in contestants.items():
            found[name].run(ask, items[start : start + size])
    return found


def once(work: Callable[[], Item]) -> tuple[Item, float]:
    """Return what *work* makes and the milliseconds it took."""
    gc.collect()
    before = perf_counter()
    made = work()
    return made, (perf_counter() - before) * 1000
