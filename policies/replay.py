"""Recorded decisions, decided again: by another policy, or over other facts.

What a question has to be asked with and nobody recorded is tried every way. Where the answer
depends on it, there is none: "cannot tell" is never a guess.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, combinations
from typing import Any, Final, NamedTuple

import orjson

from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import Entity, Fact, Reason, Verdict
from policies.polar.engine import Ruling
from policies.polar.possible import TESTS
from policies.polar.runtime import Overlay, UndecidedError
from policies.polar.tables import EMPTY
from policies.polar.values import name_of
from policies.reach import BEHIND_CONNECT, Reach
from policies.recast import Asking, Inputs, Recorder
from policies.recorded import Recorded, UnreadableError, recorded

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

    def __init__(self, grounds: Grounds, asking: Asking, reach: Reach) -> None:
        """Use `Judge.over` instead."""
        self.grounds = grounds
        self._asking = asking
        self._reach = reach
        self._seconds: Sequence[int] | None = None
        self._connects: dict[object, Ruling] = {}

    def decide(self, of: Recorded) -> Again:
        """Return the answer to the question *of*."""
        if not of.is_nameable:
            return Again(Verdict.DENY)
        inputs = self._asking.inputs(of, self.grounds)
        relevant = self._reach.predicates(of)
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
        return Bench(self.grounds.with_facts(facts), self._asking, self._reach)

    def inputs(self, of: Recorded) -> Inputs:
        return self._asking.inputs(of, self.grounds)

    def own(self, facts: Iterable[Fact]) -> Overlay:
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
        key = (of.actor, of.server, facts, self.moment(of.now, b""))
        found = self._connects.get(key)
        if found is None:
            server = Entity("Server", of.server)
            decide = self.grounds.engine.decide
            found = decide(of.actor, "connect", server, self.own(facts), of.now)
            if len(self._connects) >= _REMEMBERED:
                self._connects.clear()
            self._connects[key] = found
        return found

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
        zones = self._reach.moments(now)
        if not self._reach.has_clock:
            return zones
        if b'"argument"' in facts:
            return zones, now  # an argument may be a number to compare the clock with
        if self._seconds is None:
            self._seconds = self._reach.seconds(self.grounds.tables)
        return zones, bisect_left(self._seconds, now), bisect_right(self._seconds, now)


class Judge:
    """A policy to which recorded questions are put, over whatever facts."""

    def __init__(self, grounds: Grounds, recorder: Recorder) -> None:
        """Take the policy of *grounds*; its facts are those of nobody."""
        self._grounds = grounds
        program = grounds.bundle.program
        self._asking = Asking(program, grounds.demands, recorder)
        self._reach = Reach(program, self._asking.named)

    def over(self, grounds: Grounds) -> Bench:
        return Bench(grounds, self._asking, self._reach)

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


class Replay:
    """Compares recorded decisions with those of a candidate; what is asked again costs little.

    *candidate* gives the bench over the facts of a version, or over those of now; *original* that
    of the policy a record names, over the facts of then, None where it was not kept; it is None
    itself where the candidate is asked over other facts. *revealed* is
    text by its digest.
    """

    def __init__(
        self,
        judge: Judge,
        candidate: Callable[[int], Bench],
        original: Callable[[str, int], Bench | None] | None,
        revealed: Mapping[str, str],
    ) -> None:
        self._candidate = candidate
        self._original = original
        self._revealed = revealed
        self._with_token = judge.names_tokens
        self._known: dict[object, Compared] = {}

    def compare(self, payload: Mapping[str, Any]) -> Compared:
        """Return what the candidate makes of the decision in *payload* of a record.

        Raise `UnreadableError` for what is no decision, and what *candidate* raises.
        """
        key, bench = question_key(payload, self._candidate, with_token=self._with_token)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._compared(payload, bench)
        return found

    def _compared(self, payload: Mapping[str, Any], bench: Bench) -> Compared:
        of = recorded(payload, self._revealed)
        if not of.is_judged:
            return NOT_JUDGED
        return compared(of, bench, bench.decide(of), self._original)


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


def question_key(
    payload: Mapping[str, Any], bench_of: Callable[[int], Bench], *, with_token: bool
) -> tuple[object, Bench]:
    """Return what is equal for decisions that a bench answers alike, and the bench of this one.

    Raise `UnreadableError` for what is no decision, and what *bench_of* raises.
    """
    try:
        version, now = payload["fact_version"], payload["now"]
        principal = payload["principal"]
        facts = orjson.dumps(payload["facts"])
        question = orjson.dumps(
            (
                principal["type"], principal["id"], principal["acts_for"],
                principal["issuer"], principal["client"],
                principal["token_id"] if with_token else "",
                payload["server"], payload["action"], payload["resource"],
                payload["verdict"], payload["reason"], payload["rules"],
                payload.get("silent_tests"), "args_digest" in payload,
                payload.get("arguments"),
            )
        )  # fmt: skip
        bench = bench_of(version)
        return (version, payload["policy"], question, facts, bench.moment(now, facts)), bench
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


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
