"""Record after record compared with what a candidate makes of it, each question worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from policies.lasting import Lasting
from policies.recorded import UnreadableError, recorded
from policies.replay import NOT_JUDGED, Bench, Compared, Judge, compared

_REMEMBERED: Final = 500_000
_TOLD_BY_NOW: Final = frozenset({"hour_of_day", "weekday"})
_MOMENTS: Final = frozenset({"hour_of_day/2", "weekday/2"})


class Replay:
    """Compares recorded decisions with those of a candidate; what is asked again costs little.

    *candidate* gives the bench over the facts of a version, or over those of now; *original* that
    of the policy a record names, over the facts of then, None where it was not kept; it is None
    itself where the candidate is asked over other facts. *revealed* is text by its digest. With
    *lasting*, by which all benches are traced, an answer outlives changes of what it did not read.
    """

    def __init__(
        self,
        judge: Judge,
        candidate: Callable[[int], Bench],
        original: Callable[[str, int], Bench | None] | None,
        revealed: Mapping[str, str],
        lasting: Lasting[Compared] | None = None,
    ) -> None:
        self._candidate = candidate
        self._original = original
        self._revealed = revealed
        self._with_token = judge.names_tokens
        self._lasting = lasting
        self._known: dict[object, Compared] = {}

    def compare(self, payload: Mapping[str, Any]) -> Compared:
        """Return what the candidate makes of the decision in *payload* of a record.

        Raise `UnreadableError` for what is no decision, and what *candidate* raises.
        """
        if self._lasting is not None:
            return self._compare_lasting(payload, self._lasting)
        key, bench = question_key(payload, self._candidate, with_token=self._with_token)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._compared(payload, bench)
        return found

    def _compare_lasting(self, payload: Mapping[str, Any], lasting: Lasting[Compared]) -> Compared:
        question, facts = _question(payload, with_token=self._with_token)
        version, now, policy = payload["fact_version"], payload["now"], payload["policy"]
        key = blake2b(question + facts + str(policy).encode(), digest_size=16).digest()
        found = lasting.find(key, version, now, lambda: self._moment(policy, version, now))
        if found is not None:
            return found
        bench = self._candidate(version)
        new, reads = lasting.trace.during(lambda: self._compared(payload, bench))
        reads.numbers |= self._literals(policy, version)
        moment = self._moment(policy, version, now) if reads.tables & _MOMENTS else None
        return lasting.keep(key, version, now, moment, reads, new)

    def _benches(self, policy: str, version: int) -> Iterator[Bench]:
        yield self._candidate(version)
        then = self._original and self._original(policy, version)
        if then:
            yield then

    def _moment(self, policy: str, version: int, now: int) -> object:
        return tuple([one.reach.moments(now) for one in self._benches(policy, version)])

    def _literals(self, policy: str, version: int) -> frozenset[int]:
        return frozenset().union(*(one.reach.literals for one in self._benches(policy, version)))

    def _compared(self, payload: Mapping[str, Any], bench: Bench) -> Compared:
        of = recorded(payload, self._revealed)
        if not of.is_judged:
            return NOT_JUDGED
        return compared(of, bench, bench.decide(of), self._original)


def question_key(
    payload: Mapping[str, Any], bench_of: Callable[[int], Bench], *, with_token: bool
) -> tuple[object, Bench]:
    """Return what is equal for decisions that a bench answers alike, and the bench of this one.

    Raise `UnreadableError` for what is no decision, and what *bench_of* raises.
    """
    question, facts = _question(payload, with_token=with_token)
    version, now = payload["fact_version"], payload["now"]
    bench = bench_of(version)
    return (version, payload["policy"], question, facts, bench.moment(now, facts)), bench


def _question(payload: Mapping[str, Any], *, with_token: bool) -> tuple[bytes, bytes]:
    """Return what is asked in *payload*, but for when and by which policy, and the facts of it."""
    try:
        moments = payload["fact_version"], payload["now"]
        principal = payload["principal"]
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
        # What o'clock it was is told by the moment.
        facts = [row for row in payload["facts"] if row[0] not in _TOLD_BY_NOW]
        found = question, orjson.dumps(facts)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error
    if not all(type(one) is int for one in moments):
        raise UnreadableError("the version of the facts, or now, is no number")
    return found
