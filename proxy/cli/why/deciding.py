"""A decision of the past, made again: whether it comes out as recorded, and on what it rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from policies.model import Entity, Fact, Miss, Proof, Reason, StepKind, Verdict
from policies.polar.misses import nearest_misses
from policies.reach import BEHIND_CONNECT
from policies.recorded import Recorded
from policies.replay import ORIGIN, Again, Bench
from proxy.cli.replay.past import Past
from storage.engine import Database
from storage.history import FactHistory, Life, Wanted


class Standing(StrEnum):
    """What came of deciding again."""

    AS_RECORDED = "as_recorded"
    NOT_JUDGED = "not_judged"
    NO_ANSWER_THEN = "no_answer_then"
    NOT_THERE = "not_there"
    CANNOT_TELL = "cannot_tell"
    OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the policy."""

    actor: Entity
    action: str
    resource: Entity

    def __str__(self) -> str:
        return str(Fact("allow", (self.actor, self.action, self.resource)))


@dataclass(frozen=True, slots=True)
class Why:
    """Why a question was answered as it was.

    `asked` is what the answer hangs on: for a call of a server the caller may not connect to, that.
    `lives` are the stored facts of the proof with who stated each, when and why.
    """

    standing: Standing
    again: Again
    asked: Asked
    proof: Proof | None
    misses: Sequence[Miss]
    lives: Sequence[Life]


def explained(of: Recorded, bench: Bench, past: Past) -> Why:
    """Return why *of* was decided as it was, by *bench*.

    Raise `InputError` and `UndecidedError`.
    """
    again = bench.decide(of)
    inputs = bench.inputs(of)
    asked, own = Asked(of.actor, of.action, of.resource), [*inputs.caller, *inputs.item]
    engine = bench.grounds.engine
    if of.resource.type in BEHIND_CONNECT:
        connect = Asked(of.actor, "connect", Entity("Server", of.server))
        facts = bench.own(inputs.caller)
        if not engine.decide(connect.actor, connect.action, connect.resource, facts, of.now):
            asked, own = connect, inputs.caller
    overlay = bench.own(own)
    goal = (asked.actor, asked.action, asked.resource)
    ruling = engine.decide(*goal, overlay, of.now)
    misses = [] if ruling else nearest_misses(engine, "allow", goal, overlay, of.now)
    lives = _lives(ruling.proof, of.fact_version, past) if ruling.proof else []
    return Why(_standing(of, again, bench), again, asked, ruling.proof, misses, lives)


def _standing(of: Recorded, again: Again, bench: Bench) -> Standing:
    if of.verdict is Verdict.UNDECIDED:
        return Standing.NO_ANSWER_THEN
    if not of.is_judged:
        return Standing.NOT_JUDGED
    if again.verdict is of.verdict:
        return Standing.AS_RECORDED
    if again.verdict is Verdict.UNDECIDED:
        return Standing.CANNOT_TELL
    hidden = again.verdict is Verdict.ALLOW and of.reason is Reason.NOT_VISIBLE
    if hidden and not bench.is_there(of):
        return Standing.NOT_THERE
    return Standing.OTHERWISE


def _lives(proof: Proof, version: int, past: Past) -> list[Life]:
    claims = dict.fromkeys(
        step.claim for step in proof.steps if step.kind is StepKind.FACT and step.source != ORIGIN
    )

    async def read(database: Database) -> list[Life]:
        history = FactHistory(database)
        found = []
        for claim in claims:
            values = tuple(arg for arg in claim.args if isinstance(arg, Entity))
            wanted = Wanted([claim.predicate], values, claim.__eq__)
            found += await history.lives(wanted, version=version, limit=10)
        return found

    return past.place.read(read) if claims else []
