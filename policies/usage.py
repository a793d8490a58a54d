"""What recorded decisions rested on: facts, rules, alternatives and conditions of rules."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policies.comparing import question_key
from policies.model import Anything, Entity, Fact, FailureKind, Proof, StepKind, Verdict
from policies.polar.clauses import FACTS, Atom, Clause
from policies.polar.misses import nearest_misses
from policies.polar.program import Program
from policies.polar.runtime import Overlay, UndecidedError
from policies.polar.values import name_of
from policies.proven import Alternatives
from policies.reach import BEHIND_CONNECT
from policies.recast import Inputs
from policies.recorded import Recorded, recorded
from policies.replay import ORIGIN, Bench

_REMEMBERED: Final = 500_000
_WITHOUT: Final = 256
_MOST_DENIALS: Final = 12
"""Denials of one shape that are looked into, since each may take a tenth of a second."""

_MISSES: Final = 24

Goal = tuple[Entity, str, Entity]


@dataclass(slots=True)
class Use:
    """Decisions that are alike, and what they rest on: `needed` are facts no proof does without.

    `verdict` is undecided where nobody can tell any more, None where no policy was asked. `last` is
    the time of the last, as records write it.
    """

    actor: Entity
    action: str
    resource: Entity
    verdict: Verdict | None
    facts: frozenset[Fact] = frozenset()
    needed: frozenset[Fact] = frozenset()
    clauses: frozenset[Clause] = frozenset()
    decisive: frozenset[str] = frozenset()
    count: int = 0
    last: str = ""


def giving(program: Program) -> frozenset[str]:
    """Return the names of the predicates whose facts may give something: some rule wants them."""
    return frozenset(
        name_of(part.predicate.removeprefix(FACTS))
        for clauses in program.clauses.values()
        for clause in clauses
        for part in clause.parts
        if isinstance(part, Atom) and not part.negated
    )


def goals_of(of: Recorded, inputs: Inputs) -> Iterator[tuple[Goal, list[Fact]]]:
    """Yield what has to be allowed for *of*, each with the facts of the question."""
    if of.resource.type in BEHIND_CONNECT:
        yield (of.actor, "connect", Entity("Server", of.server)), inputs.caller
    yield (of.actor, of.action, of.resource), [*inputs.caller, *inputs.item]


def proofs_of(bench: Bench, of: Recorded) -> list[Proof] | None:
    """Return why *bench* allows *of*, or None if it does not. Raise `UndecidedError`."""
    found = []
    for goal, facts in goals_of(of, bench.inputs(of)):
        proof = bench.grounds.engine.decide(*goal, bench.own(facts), of.now).proof
        if proof is None:
            return None
        found.append(proof)
    return found


def facts_in(proofs: Iterable[Proof]) -> frozenset[Fact]:
    """Return the facts of *proofs* that were not stated for the question alone."""
    return frozenset(
        step.claim
        for proof in proofs
        for step in proof.steps
        if step.kind is StepKind.FACT and step.source != ORIGIN
    )


def without(bench: Bench, facts: Collection[Fact]) -> Bench:
    """Return *bench* as if nobody had stated *facts*."""
    left = bench.grounds.facts
    for fact in facts:
        for origin in left.origins(fact):
            left = left.changed(origin, remove=[fact])
    return bench.over(left.numbered(bench.grounds.facts.version))


@dataclass
class Usage:
    """Collects what decisions rest on.

    *current* gives the policy in force over the facts of a version, *then* the one that a record
    names, None where it was not kept. Of facts, those in *watched* matter. *revealed* is text by
    its digest.
    """

    program: Program
    current: Callable[[int], Bench]
    then: Callable[[str, int], Bench | None]
    watched: Collection[Fact]
    revealed: Mapping[str, str]
    with_token: bool = False
    unlooked: int = 0
    """Denials that were not looked into, as there were enough like them."""
    _known: dict[object, Use] = field(default_factory=dict)
    _uses: list[Use] = field(default_factory=list)
    _without: OrderedDict[tuple[int, Fact], tuple[Bench, Bench]] = field(
        default_factory=OrderedDict
    )
    _denials: Counter[object] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.alternatives = Alternatives(self.program)

    def add(self, payload: Mapping[str, Any], time: str) -> None:
        """Count the decision in *payload* of a record. Raise `UnreadableError`."""
        key, bench = question_key(payload, self.current, with_token=self.with_token)
        use = self._known.get(key)
        if use is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            use = self._known[key] = self._use(recorded(payload, self.revealed), bench)
            self._uses.append(use)
        use.count += 1
        use.last = time

    @property
    def uses(self) -> Collection[Use]:
        return self._uses

    @property
    def counts(self) -> Counter[Verdict | None]:
        found: Counter[Verdict | None] = Counter()
        for use in self._uses:
            found[use.verdict] += use.count
        return found

    def _use(self, of: Recorded, bench: Bench) -> Use:
        use = Use(of.actor, of.action, of.resource, of.verdict)
        if not of.is_judged:
            use.verdict = None
            return use
        original = self._original(of, bench)
        try:
            if of.allowed:
                self._allowed(use, of, bench, original)
            elif bench.decide(of).verdict is Verdict.DENY:
                self._denied(use, of, bench)
        except UndecidedError:
            use.verdict = Verdict.UNDECIDED
        return use

    def _original(self, of: Recorded, bench: Bench) -> Bench:
        if of.policy == bench.grounds.bundle.version:
            return bench
        return self.then(of.policy, of.fact_version) or bench

    def _allowed(self, use: Use, of: Recorded, bench: Bench, original: Bench) -> None:
        proofs = proofs_of(original, of)
        if proofs is None:
            use.verdict = Verdict.UNDECIDED
            return
        use.facts = facts_in(proofs) & frozenset(self.watched)
        use.needed = frozenset(fact for fact in use.facts if self._is_needed(fact, of, original))
        now = proofs if original is bench else proofs_of(bench, of) or ()
        use.clauses = frozenset(clause for one in now for clause in self.alternatives.used(one))

    def _is_needed(self, fact: Fact, of: Recorded, bench: Bench) -> bool:
        key = (id(bench), fact)
        found = self._without.get(key)
        if found is None:
            # The bench is kept as well, so that no other gets its id.
            found = self._without[key] = (bench, without(bench, [fact]))
            if len(self._without) > _WITHOUT:
                self._without.popitem(last=False)
        return proofs_of(found[1], of) is None

    def _denied(self, use: Use, of: Recorded, bench: Bench) -> None:
        """Note the conditions each of which alone stood in the way, and the rules behind them."""
        shape = (of.actor.type, of.acts_for is None, of.action, of.resource.type, of.reason)
        self._denials[shape] += 1
        if self._denials[shape] > _MOST_DENIALS:
            self.unlooked += 1
            return
        for goal, facts in goals_of(of, bench.inputs(of)):
            own = bench.own(facts)
            if bench.grounds.engine.decide(*goal, own, of.now):
                continue
            misses = nearest_misses(bench.grounds.engine, "allow", goal, own, of.now, most=_MISSES)
            alone = [miss.failed[0] for miss in misses if len(miss.failed) == 1]
            use.decisive = frozenset(place for one in alone for place in one.conditions)
            present = [one.claim for one in alone if one.kind is FailureKind.PRESENT]
            use.clauses = frozenset(
                clause for claim in present for clause in self._behind(claim, bench, own, of.now)
            )
            return

    def _behind(self, claim: Fact, bench: Bench, own: Overlay, now: int) -> Iterator[Clause]:
        """Yield the rules by which *claim*, which was in the way, holds."""
        args = [arg for arg in claim.args if not isinstance(arg, Anything)]
        if len(args) == len(claim.args):
            ruling = bench.grounds.engine.holds(claim.predicate, args, own, now)
            if ruling.proof is not None:
                yield from self.alternatives.used(ruling.proof)
