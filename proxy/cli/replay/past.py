"""What a gateway once decided by: policies and facts of any moment its record speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from policies import bundle
from policies.bundle import Bundle, BundleError, Sources, read_sources, version_of
from policies.demands import Demands
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.lasting import Lasting
from policies.polar.source import PolicyError, Severity
from policies.recast import Recorder
from policies.replay import Bench, Compared, Judge
from policies.supplied import Named
from policies.tracing import Trace
from policies.vocabulary import SUPPLIED
from proxy.audit import Redaction
from proxy.cli.policy.goals import PATIENCE
from proxy.cli.policy.inputs import InputError, texts
from proxy.cli.replay.facts import FactsOver
from proxy.cli.replay.place import Place
from proxy.keptpolicies import DIRECTORY, KeptPolicies
from storage.engine import Database
from storage.timeline import Stated, Timeline, read_timeline
from storage.versions import version_of as newest_version

_BENCHES: Final = 64


class Past:
    """The past of the gateway at *place*, read as it is needed."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._kept = KeptPolicies(place.data_dir / DIRECTORY)
        self._facts = FactsOver(self._timeline, self._hear)
        self._judges: dict[str, Judge | None] = {}
        self._benches: dict[tuple[str, int], Bench] = {}
        self._redaction = None
        if place.master is not None:
            self._redaction = Redaction(place.master.key_for("record").reveal(), "facts")
        self._heard: set[str] = set()
        self.trace = Trace()
        self.revealed: dict[str, str] = {}
        """Text by its digest, as far as facts and policies name it."""
        self.recorder = Recorder(self._named, self._words, self._redaction is not None)

    def judge(self, policy: str) -> Judge | None:
        """Return the policy of that name, None if it was not kept."""
        if policy not in self._judges:
            sources = self._kept.find(policy) or self._current(policy)
            self._judges[policy] = None if sources is None else self.judging(loaded(sources))
        return self._judges[policy]

    def judging(self, chosen: Bundle) -> Judge:
        """Return *chosen* as a policy that can be asked about the past."""
        self._learn(chosen.program.words)
        demands = Demands.of(chosen.program)
        return Judge(Grounds(chosen, FactSet(), demands, PATIENCE), self.recorder)

    def bench(self, judge: Judge, version: int) -> Bench:
        """Return *judge* over the facts of *version*. Raise `InputError` if there were none.

        What it reads is noted by `trace`.
        """
        key = (judge.grounds.bundle.version, version)
        found = self._benches.get(key)
        if found is None:
            if len(self._benches) >= _BENCHES:
                del self._benches[next(iter(self._benches))]
            facts = self._facts.at(version)
            stated = judge.grounds.bundle.program.stated
            watched = self.trace.watching(facts, (*SUPPLIED, *stated, *self._facts.tables))
            found = judge.over(judge.grounds.with_facts(watched), self.trace)
            self._benches[key] = found
        return found

    def original(self, policy: str, version: int) -> Bench | None:
        """Return what decided by *policy* over the facts of *version*, None if it was not kept."""
        judge = self.judge(policy)
        return None if judge is None else self.bench(judge, version)

    def lasting(self) -> Lasting[Compared]:
        """Return a memory of answers, for one policy."""
        return Lasting(self.trace, self._facts.span)

    def newest(self) -> int:
        """Return the version of the facts of now."""
        return self.place.read(_newest)

    def _timeline(self, first: int) -> Timeline:
        return self.place.read(partial(read_timeline, first=first))

    def _current(self, policy: str) -> Sources | None:
        try:
            sources = read_sources([self.place.policies])
        except BundleError:
            return None
        return sources if version_of(sources) == policy else None

    def _named(self, policy: str) -> Named | None:
        judge = self.judge(policy)
        return None if judge is None else judge.grounds.demands.named

    def _words(self, policy: str) -> frozenset[str] | None:
        judge = self.judge(policy)
        return None if judge is None else judge.grounds.bundle.program.words

    def _hear(self, stated: Iterable[Stated]) -> None:
        if self._redaction is not None:
            self._learn(arg for fact, _ in stated for arg in fact.args if isinstance(arg, str))

    def _learn(self, words: Iterable[str]) -> None:
        if self._redaction is None:
            return
        for word in words:
            if word not in self._heard:
                self._heard.add(word)
                self.revealed[self._redaction.digest(word.encode())] = word


def loaded(sources: Sources) -> Bundle:
    """Return the policy that *sources* make up, whether or not its tests pass.

    Raise `InputError` with what is wrong with it.
    """
    try:
        return bundle.load(sources, portable=False, tested=False)
    except PolicyError as error:
        wrong = [one for one in error.problems if one.severity is Severity.ERROR]
        content = {name: text for name, text in sources.items() if isinstance(text, bytes)}
        raise InputError(wrong, texts(content)) from error
    except BundleError as error:
        raise InputError.saying(*error.problems) from error


async def _newest(database: Database) -> int:
    async with database.reading() as session:
        return await newest_version(session, "facts")
