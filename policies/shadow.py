"""A candidate beside the policy in force: what it makes of a question that was just decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.arguments import ambiguous_keys
from policies.bundle import Bundle
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import Decision, Entity, Fact, Verdict
from policies.polar.runtime import Limits
from policies.recast import Recorder
from policies.recorded import Recorded
from policies.replay import NOT_JUDGED, UNCHANGED, Again, Bench, Compared, Judge, compared
from policies.supplied import Caller, caller_facts

_REMEMBERED: Final = 50_000
"""Comparisons after which what a bench remembers of callers is forgotten."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what the policy in force answered, and on which `stored` facts.

    `facts` are what held of the arguments of an earlier call that this one goes on with. Where
    nothing can be done `is_there` is false: no policy makes a difference to what does not exist.
    """

    caller: Caller
    server: str
    action: str
    resource: Entity
    arguments: Mapping[str, Any] | None
    facts: tuple[Fact, ...]
    now: int
    decision: Decision
    stored: FactSet
    is_there: bool = True


class Candidate:
    """A policy that decides nothing. Each question costs it no more than *limits*."""

    def __init__(self, bundle: Bundle, limits: Limits) -> None:
        self.bundle = bundle
        grounds = Grounds(bundle, FactSet(), limits=limits)
        self._named = named = grounds.demands.named
        # Here nothing is lacking for not being recorded: claims and networks are told as asked for.
        recorder = Recorder(lambda _: named, lambda _: bundle.program.words, reveals=True)
        self._bench = Judge(grounds, recorder).over(grounds)
        self._compared = 0

    def compare(self, asked: Asked) -> Compared:
        """Return how its answer differs from the one in force."""
        of = self._recorded(asked)
        if not of.is_judged:
            return NOT_JUDGED
        if not asked.is_there and not of.allowed:
            return UNCHANGED
        bench = self._over(asked.stored)
        again = bench.decide(of)
        if again.verdict is Verdict.ALLOW and self._is_ambiguous(asked, bench):
            again = Again(Verdict.DENY)
        return compared(of, bench, again)

    def _over(self, facts: FactSet) -> Bench:
        self._compared += 1
        if facts is not self._bench.grounds.facts or self._compared % _REMEMBERED == 0:
            self._bench = self._bench.over(facts)
        return self._bench

    def _is_ambiguous(self, asked: Asked, bench: Bench) -> bool:
        """Tell whether the call would be refused for a key that passes for a tested one."""
        keys = bench.grounds.call_tests(asked.resource).keys
        return bool(asked.arguments and keys and ambiguous_keys(asked.arguments, keys))

    def _recorded(self, asked: Asked) -> Recorded:
        caller, decision = asked.caller, asked.decision
        return Recorded(
            actor=caller.actor,
            acts_for=caller.acts_for,
            claims=(),
            server=asked.server,
            action=asked.action,
            resource=asked.resource,
            facts=(*caller_facts(self._named, caller, asked.now), *asked.facts),
            silent=frozenset(),
            has_arguments=asked.arguments is not None,
            arguments=asked.arguments,
            policy=decision.policy,
            fact_version=decision.fact_version,
            now=asked.now,
            verdict=decision.verdict,
            reason=decision.reason,
            rules=decision.rules,
        )
