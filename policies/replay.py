"""Recorded decisions, decided again: by another policy, or over other facts.

What a question has to be asked with and nobody recorded is tried every way. Where the answer
depends on it, there is none: "cannot tell" is never a guess.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain, combinations
from typing import Final, NamedTuple

from policies.facts import FactSet
from policies.grounds import Grounds
from policies.lasting import Span
from policies.model import Entity, Fact, Reason, Verdict
from policies.polar.engine import Ruling
from policies.polar.possible import TESTS
from policies.polar.runtime import Overlay, UndecidedError
from policies.polar.tables import EMPTY
from policies.polar.values import name_of
from policies.reach import BEHIND_CONNECT, Reach
from policies.recast import Asking, Inputs, Recorder
from policies.recorded import Recorded
from policies.tracing import Reads, Trace

ORIGIN: Final = "this call"

_MOST_UNKNOWN: Final = 6
"""Facts that may hold or not: each doubles the ways to try."""
_REMEMBERED: Final = 500_000
_TEST_NAMES: Final = frozenset(map(name_of, TESTS))
_GROWING: Final = _TEST_NAMES - {"argument_present"}
"""Tests of arguments for whose absence no rule may ask."""


class Again(NamedTuple):
    """What came of deciding again: `verdict` is undecided where nobody can tell, for `lacking`."""

    verdict: Verdict
    rules: tuple[str, ...] = ()
    lacking: str = ""


class Bench:
    """A policy over one set of facts, to which recorded questions are put."""

    def __init__(
        self, grounds: Grounds, asking: Asking, reach: Reach, trace: Trace | None = None
    ) -> None:
        """Use `Judge.over` instead."""
        self.grounds = grounds
        self.reach = reach
        self._trace = trace
        self._supplied: dict[Entity | None, Reads] = {}
        self._traced: dict[object, tuple[Span, Ruling, Reads]] = {}
        self._asking = asking
        self._seconds: Sequence[int] | None = None
        self._connects: dict[object, Ruling] = {}

    def decide(self, of: Recorded) -> Again:
        """Return the answer to the question *of*."""
        if not of.is_nameable:
            return Again(Verdict.DENY)
        inputs = self.inputs(of)
        relevant = self.reach.predicates(of)
        maybe = [fact for fact in inputs.maybe if fact.predicate in relevant]
        open_ = inputs.open & relevant
        lacking = ", ".join(
            what for predicate, what in inputs.lacking.items() if predicate in relevant
        )
        try:
            if open_ or len(maybe) > _MOST_UNKNOWN:
                return self._bounded(of, inputs, open_, maybe, lacking)
            answers = [self.ask(of, inputs, some) for some in _subsets(maybe)]
        except UndecidedError as error:
            return Again(Verdict.UNDECIDED, (), f"an answer: {error}")
        if len({answer.allowed for answer in answers}) > 1:
            return Again(Verdict.UNDECIDED, (), lacking)
        return _again(answers[0])

    def over(self, facts: FactSet) -> Bench:
        """Return the same policy over other *facts*."""
        return Bench(self.grounds.with_facts(facts), self._asking, self.reach)

    def inputs(self, of: Recorded) -> Inputs:
        if self._trace is not None:
            self._read_supplied(of.resource, self._trace)
        return self._asking.inputs(of, self.grounds)

    def _read_supplied(self, resource: Entity, trace: Trace) -> None:
        """Have *trace* note what the grounds read only when they are first asked for it."""
        for one in (None, resource):
            known = self._supplied.get(one)
            if known is None:
                _, known = trace.during(partial(self._supply, one))
                self._supplied[one] = known
            trace.again(known)

    def _supply(self, resource: Entity | None) -> None:
        """Have the grounds find their globs, or the tests of *resource*."""
        if resource is None:
            _ = self.grounds.globs
        else:
            self.grounds.call_tests(resource)

    def own(self, facts: Iterable[Fact]) -> Overlay:
        if self._trace is not None:
            facts = [*facts]
            for fact in facts:
                self._trace.reads.count(fact.args)
        return self.grounds.engine.overlay([(one, ORIGIN) for one in facts], only_useful=True)

    def ask(self, of: Recorded, inputs: Inputs, more: Sequence[Fact] = ()) -> Ruling:
        """Return the ruling on *of* if *more* holds as well; on connecting, where that fails."""
        if of.resource.type in BEHIND_CONNECT:
            caller = (*inputs.caller, *(one for one in more if not _is_test(one)))
            connect = self._connect(of, caller)
            if not connect.allowed:
                return connect
        own = self.own([*inputs.caller, *inputs.item, *more])
        return self.grounds.engine.decide(of.actor, of.action, of.resource, own, of.now)

    def _connect(self, of: Recorded, facts: tuple[Fact, ...]) -> Ruling:
        """Return whether who asks *of* may connect; callers ask so with each of their calls."""
        if self._trace is not None:
            return self._connect_traced(of, facts, self._trace)
        key = (of.actor, of.server, facts, self.moment(of.now, b""))
        found = self._connects.get(key)
        if found is None:
            found = self._connecting(of, facts)
            if len(self._connects) >= _REMEMBERED:
                self._connects.clear()
            self._connects[key] = found
        return found

    def _connect_traced(self, of: Recorded, facts: tuple[Fact, ...], trace: Trace) -> Ruling:
        key = (of.actor, of.server, facts)
        found = self._traced.get(key)
        if found is None or not found[0].holds(of.now):
            ruling, reads = trace.during(lambda: self._connecting(of, facts))
            span = Span.around(of.now, reads.numbers | self.reach.literals)
            found = self._traced[key] = span, ruling, reads
        trace.again(found[2])
        return found[1]

    def _connecting(self, of: Recorded, facts: tuple[Fact, ...]) -> Ruling:
        server = Entity("Server", of.server)
        return self.grounds.engine.decide(of.actor, "connect", server, self.own(facts), of.now)

    def _bounded(
        self, of: Recorded, inputs: Inputs, open_: set[str], maybe: Sequence[Fact], lacking: str
    ) -> Again:
        """Return the answer between what holds without any more facts and what ever could."""
        growing = [fact for fact in maybe if fact.predicate in _GROWING]
        rest = [fact for fact in maybe if fact.predicate not in _GROWING]
        if len(rest) > _MOST_UNKNOWN or not open_ <= _TEST_NAMES:
            return Again(Verdict.UNDECIDED, (), lacking)
        # No rule asks for the absence of what is open or growing, so more of it never takes an
        # allow away.
        answers = [self.ask(of, inputs, some) for some in _subsets(rest)]
        if all(answer.allowed for answer in answers):
            return _again(answers[0])
        most = [(*growing, *some) for some in _subsets(rest)]
        if any(self.ask(of, inputs, some).allowed for some in most):
            return Again(Verdict.UNDECIDED, (), lacking)
        own = [self.own([*inputs.caller, *inputs.item, *some]) for some in most]
        select = self.grounds.engine.select
        if open_ and any(
            select(of.actor, of.action, [of.resource], one, of.now, possibly=True) for one in own
        ):
            return Again(Verdict.UNDECIDED, (), lacking)
        return Again(Verdict.DENY)

    def is_there(self, of: Recorded) -> bool | None:
        """Tell whether what *of* is about existed; None if the facts do not say."""
        relations = self.grounds.facts.get("has_relation/3", EMPTY)
        server = Entity("Server", of.server)
        if not relations.find((1, 2), ("server", server)):
            return None
        if _is_template(of):
            return None
        if of.resource.type not in ("Tool", "Prompt"):
            return True
        states = self.grounds.facts.get("definition_state/2", EMPTY).rows
        is_gone = (of.resource, "gone") in states
        return (of.resource, "server", server) in relations.rows and not is_gone

    def moment(self, now: int, facts: bytes) -> object:
        """Return a value that is the same for moments at which nothing differs for this policy."""
        zones = self.reach.moments(now)
        if not self.reach.has_clock:
            return zones
        if b'"argument"' in facts:
            return zones, now  # an argument may be a number to compare the clock with
        if self._seconds is None:
            self._seconds = self.reach.seconds(self.grounds.tables)
        return zones, bisect_left(self._seconds, now), bisect_right(self._seconds, now)


class Judge:
    """A policy to which recorded questions are put, over whatever facts."""

    def __init__(self, grounds: Grounds, recorder: Recorder) -> None:
        """Take the policy of *grounds*; its facts are those of nobody."""
        self._grounds = grounds
        program = grounds.bundle.program
        self._asking = Asking(program, grounds.demands, recorder)
        self._reach = Reach(program, self._asking.named)

    def over(self, grounds: Grounds, trace: Trace | None = None) -> Bench:
        """Return this policy on *grounds*, whose facts *trace*, if it is given, watches."""
        return Bench(grounds, self._asking, self._reach, trace)

    @property
    def grounds(self) -> Grounds:
        return self._grounds

    @property
    def names_tokens(self) -> bool:
        """Whether it asks for the id of the token, which differs from token to token."""
        return "jti" in self._asking.named.get("claim", {}).get(1, ())


class Difference(StrEnum):
    NEWLY_ALLOWED = "newly-allowed"
    NEWLY_DENIED = "newly-denied"
    CANNOT_TELL = "cannot-tell"
    UNCHANGED = "unchanged"
    NOT_JUDGED = "not-judged"


@dataclass(frozen=True, slots=True)
class Compared:
    """What a policy makes of a recorded decision.

    `rules` are those by which it is newly allowed, or was allowed; `lacking` says what would have
    to be known, where nobody can tell.
    """

    difference: Difference
    actor: Entity | None = None
    action: str = ""
    resource: Entity | None = None
    rules: tuple[str, ...] = ()
    lacking: str = ""


UNCHANGED: Final = Compared(Difference.UNCHANGED)
NOT_JUDGED: Final = Compared(Difference.NOT_JUDGED)


def compared(
    of: Recorded,
    bench: Bench,
    again: Again,
    original: Callable[[str, int], Bench | None] | None = None,
) -> Compared:
    """Return how *again*, the answer on *bench*, differs from that of *of*, which was judged.

    *original* is as `Replay` takes it.
    """
    if again.verdict is of.verdict:
        return UNCHANGED
    then = _then(of, original)
    is_hidden = of.reason is Reason.NOT_VISIBLE
    is_there = bench.is_there(of) if is_hidden else True
    if then is Verdict.ALLOW and not is_there:
        return UNCHANGED  # it was refused for not being there, and no policy changes that
    if again.verdict is Verdict.UNDECIDED:
        return _told(of, Difference.CANNOT_TELL, lacking=again.lacking)
    if then is again.verdict:
        lacking = "why the policy of that moment does not give the recorded verdict"
        return _told(of, Difference.CANNOT_TELL, lacking=lacking)
    if again.verdict is Verdict.DENY:
        return _told(of, Difference.NEWLY_DENIED, of.rules)
    if is_there is None:
        what = "template" if _is_template(of) else "server"
        lacking = f"whether the {what} was there"
        return _told(of, Difference.CANNOT_TELL, lacking=lacking)
    return _told(of, Difference.NEWLY_ALLOWED, again.rules) if is_there else UNCHANGED


def _then(of: Recorded, original: Callable[[str, int], Bench | None] | None) -> Verdict | None:
    """Return what the policy of that moment makes of *of*; None if that cannot be known."""
    known = original and original(of.policy, of.fact_version)
    return known.decide(of).verdict if known else None


def _told(
    of: Recorded, difference: Difference, rules: tuple[str, ...] = (), lacking: str = ""
) -> Compared:
    return Compared(difference, of.actor, of.action, of.resource, rules, lacking)


def _again(ruling: Ruling) -> Again:
    return Again(Verdict.ALLOW, ruling.rules) if ruling.allowed else Again(Verdict.DENY)


def _subsets(facts: Sequence[Fact]) -> Iterator[tuple[Fact, ...]]:
    return chain.from_iterable(combinations(facts, size) for size in range(len(facts) + 1))


def _is_template(of: Recorded) -> bool:
    """Tell whether *of* is about a URI template, of which no fact says whether it is offered."""
    return of.resource.type == "Document" and of.action == "complete"


def _is_test(fact: Fact) -> bool:
    return fact.predicate in _TEST_NAMES
