"""Answers that outlive changes of the facts, against those that are worked out anew."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from policies.bundle import Bundle
from policies.comparing import Replay
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.lasting import Lasting, Span
from policies.model import Entity, Fact
from policies.recast import Recorder
from policies.replay import Bench, Compared, Judge
from policies.tracing import Lookup, Trace
from policies.vocabulary import SUPPLIED
from proxy.cli.replay.changes import Changes
from storage.timeline import Stated, Step, Timeline
from tests.policies.replayed import MONDAY, POLICY, World, bundle, decided, journalled, world
from tests.policies.test_replay import EDITS, RULE

CALLS, VERSIONS = 240, 24
MORE: Final[dict[str, str]] = {
    **EDITS,
    "no edit": POLICY,
    "for whoever has no lease": POLICY
    + f'{RULE}has_relation(t, "server", s) and not lease(c, "caller", s, 1767611200);\n',
    "while any lease lasts": POLICY
    + f"{RULE}lease(_, _, _, until) and @current_unix_time >= until;\n",
    "by hosts that are globs": POLICY + f"{RULE}allowed_host(t, h) and id_matches(t, h);\n",
    "as late as is asked for": POLICY
    + f'{RULE}argument(t, "limit", n) and @current_unix_time > n;\n',
}


class Past:
    """A past of *found*, recorded under *before* and asked under *after*."""

    def __init__(self, found: World, before: Bundle, after: Bundle) -> None:
        self.trace = Trace()
        self.sets = [found.grounds(before, version).facts for version in range(len(found.facts))]
        self.changes = Changes(timeline(self.sets))
        recorder = Recorder(
            lambda _: before_judge.grounds.demands.named,
            lambda _: before.program.words,
            reveals=True,
        )
        before_judge = Judge(Grounds(before, FactSet()), recorder)
        self.judges = {
            after.version: Judge(Grounds(after, FactSet()), recorder),
            before.version: before_judge,
        }
        self.after = after.version
        self.asked = 0
        self._benches: dict[tuple[str, int, bool], Bench] = {}

    def bench(self, policy: str, version: int, *, traced: bool) -> Bench:
        key = policy, version, traced
        if key not in self._benches:
            self._benches[key] = self._made(policy, version, traced=traced)
        return self._benches[key]

    def _made(self, policy: str, version: int, *, traced: bool) -> Bench:
        judge, facts = self.judges[policy], self.sets[version]
        if not traced:
            return judge.over(judge.grounds.with_facts(facts))
        names = (*SUPPLIED, *judge.grounds.bundle.program.stated, *self.changes.tables)
        watched = self.trace.watching(facts, names)
        return judge.over(judge.grounds.with_facts(watched), self.trace)

    def anew(self) -> Replay:
        """Return what has never been asked anything."""
        return self._replay(None, traced=False)

    def lasting(self) -> Replay:
        return self._replay(Lasting(self.trace, self._span), traced=True)

    def _replay(self, lasting: Lasting[Compared] | None, *, traced: bool) -> Replay:
        return Replay(
            self.judges[self.after],
            lambda version: self.bench(self.after, version, traced=traced),
            lambda policy, version: self.bench(policy, version, traced=traced),
            {},
            lasting,
        )

    def _span(self, version: int, lookups: Any) -> tuple[int, int]:  # noqa: ANN401
        self.asked += 1
        return self.changes.span(version, lookups)


def timeline(sets: list[FactSet]) -> Timeline:
    """Return the versions *sets*, from the first to the last."""
    stated = [set(_stated(one)) for one in sets]
    steps = {
        version: Step([*(new - old)], [*(old - new)])
        for version, (old, new) in enumerate(pairwise(stated), start=1)
    }
    return Timeline(0, len(sets) - 1, tuple(stated[0]), steps)


def _stated(facts: FactSet) -> Iterator[Stated]:
    return ((fact, origin) for fact, origins in facts.facts() for origin in origins)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_remembered_is_what_deciding_anew_gives_under_any_edit(
    tmp_path: Path, seed: int
) -> None:
    found, before = world(seed, CALLS, VERSIONS), bundle(POLICY)
    grounds = [found.grounds(before, version) for version in range(VERSIONS)]
    some = [decided(asked, grounds[asked.version]) for asked in found.asked]
    records = journalled(tmp_path, some, before.program.words, "facts")
    chance = random.Random(seed)
    asked = worked_out = 0
    for text in MORE.values():
        past = Past(found, before, bundle(text))
        lasting = past.lasting()
        for record in chance.sample(records, 25):
            for version, now in _visits(record.payload["now"], chance):
                payload = {**record.payload, "fact_version": version, "now": now}
                assert lasting.compare(payload) == past.anew().compare(payload)
                asked += 1
        worked_out += past.asked
    assert worked_out < 0.8 * asked


def _visits(now: int, chance: random.Random) -> Iterator[tuple[int, int]]:
    """Yield versions, nearly in order, each with a moment, often one on the edge of a lease."""
    for version in range(VERSIONS):
        moment = MONDAY + chance.choice([0, 39_999, 40_000, 40_001, 200_000])
        yield min(VERSIONS - 1, version + chance.randrange(2)), chance.choice([now, now, moment])


def test_a_span_ends_before_the_numbers_beside_a_moment_and_is_one_second_on_a_number() -> None:
    assert Span.around(5, [1, 3, 8, 9]) == (3, 8)
    assert Span.around(8, [1, 3, 8, 9]) == (7, 9)
    assert not Span.around(5, [3, 8]).holds(8)
    assert Span.around(5, []).holds(2**62)


def test_a_lookup_spans_the_versions_between_changes_of_its_rows() -> None:
    ann, bob = Entity("User", "ann"), Entity("User", "bob")
    first = FactSet.of("a", [Fact("is_suspended", (ann,))])
    sets = [first, first.changed("a", add=[Fact("is_suspended", (bob,))])]
    sets.append(sets[1].changed("a", remove=[Fact("is_suspended", (ann,))]))
    changes = Changes(timeline(sets))
    one = ("is_suspended/1", (0,))

    for key, version, expected in [
        ((ann,), 0, (0, 2)), ((ann,), 1, (0, 2)), ((ann,), 2, (2, 3)),
        ((bob,), 0, (0, 1)), ((bob,), 2, (1, 3)), ((Entity("User", "eve"),), 1, (0, 3)),
    ]:  # fmt: skip
        assert changes.span(version, [Lookup(*one, key)]) == expected
    assert changes.span(1, [Lookup("is_suspended/1", (), ())]) == (1, 2)
    assert changes.span(7, []) == (7, 8)
