"""`northgate policy case`: a recorded decision as a test of the policy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from policies.dialect import read_policy
from policies.enforcement import OBSERVED
from policies.facts import FactSet
from policies.model import (
    Answer,
    Anything,
    Fact,
    Failure,
    FailureKind,
    Proof,
    StepKind,
    Verdict,
    quoted,
)
from policies.polar.misses import nearest_misses
from policies.polar.source import PolicyError
from policies.polar.testing import run_tests
from policies.recorded import HIDDEN, Recorded, is_hidden
from policies.replay import ORIGIN, Bench
from proxy.cli.policy import console
from proxy.cli.policy.endings import Code
from proxy.cli.policy.goals import PATIENCE
from proxy.cli.policy.inputs import InputError
from proxy.cli.replay.past import Past
from proxy.cli.replay.place import located
from proxy.cli.why.deciding import Asked, Standing, explained
from proxy.cli.why.finding import bench_of, find, read_back

FAR: Final = 253_402_300_799
"""The last second of the year 9999: what leases of a test last to."""

_FILE: Final = "case.polar"


@dataclass(frozen=True, slots=True)
class Case:
    """A test: what holds in it, what is asked, and whether that is allowed."""

    name: str
    setup: tuple[Fact, ...]
    asked: Asked
    allowed: bool
    remarks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        facts = [f"    {fact};" for fact in self.setup]
        setup = ["  setup {", *facts, "  }"] if facts else []
        word = "assert" if self.allowed else "assert_not"
        remarks = [f"# {remark}" for remark in self.remarks]
        lines = [*remarks, f"test {quoted(self.name)} {{", *setup, f"  {word} {self.asked};", "}"]
        return "\n".join(lines) + "\n"


def run(
    data_dir: Path, config: Path | None, text: str, environ: Mapping[str, str], *, json: bool
) -> int:
    past = Past(located(data_dir, config, environ))
    record = find(past.place.data_dir, text)
    if record is None:
        if json:
            console.print_json({"decision": None})
        else:
            console.err().print(f"No decision has an id that begins with {text.strip()}.")
        return Code.NO
    of = read_back(record, past)
    bench = bench_of(of, past)
    case = case_of(record.id, of, bench, past)
    if json:
        console.print_json(
            {
                "decision": record.id,
                "policy": of.policy,
                "test": case.text,
                "setup": list(map(str, case.setup)),
                "assertion": str(case.asked),
                "allowed": case.allowed,
            }
        )
    else:
        console.out().print(case.text, end="")
    return Code.GOOD


def case_of(decision_id: str, of: Recorded, bench: Bench, past: Past) -> Case:
    """Return the test that *of*, decided by *bench*, makes.

    Raise `InputError` where it does not come out as recorded, or no test can be made of it.
    """
    why = explained(of, bench, past)
    if why.standing is not Standing.AS_RECORDED:
        raise InputError.saying(
            f"{decision_id}: no test can be made of this decision; `northgate why {decision_id}` "
            "tells why."
        )
    allowed = of.verdict is Verdict.ALLOW
    inputs = bench.inputs(of)
    own = [*inputs.caller, *inputs.item]
    setup = _stored(why.proof, bench) if why.proof else _short(why.asked, of, bench, own)
    name = f"{of.actor.id} {'may' if allowed else 'may not'} {why.asked.action} "
    name += f"{why.asked.resource.id}: decision {decision_id}"
    case = Case(name, tuple(setup), why.asked, allowed)
    return _checked(_lasting(_written(case)), bench)


def _stored(proof: Proof, bench: Bench) -> list[Fact]:
    """Return the facts that *proof* rests on, but for those that the policy itself states."""
    facts = bench.grounds.facts
    return [
        claim
        for claim in dict.fromkeys(s.claim for s in proof.steps if s.kind is StepKind.FACT)
        if facts.origins(claim) or _is_of_call(claim, proof)
    ]


def _is_of_call(claim: Fact, proof: Proof) -> bool:
    return any(step.claim == claim and step.source == ORIGIN for step in proof.steps)


def _short(asked: Asked, of: Recorded, bench: Bench, own: Sequence[Fact]) -> list[Fact]:
    """Return what the denied question *asked* had of what would have allowed it.

    That is the proof it would have had, had it not lacked what its nearest miss says.
    """
    engine, goal = bench.grounds.engine, (asked.actor, asked.action, asked.resource)
    for miss in nearest_misses(engine, "allow", goal, bench.own(own), of.now, most=8):
        mended = _mended(miss.failed, bench, own)
        if mended is None:
            continue
        facts, call, missing = mended
        there = bench.over(facts)
        ruling = there.grounds.engine.decide(*goal, there.own(call), of.now)
        if ruling.proof is not None:
            kept = [fact for fact in _stored(ruling.proof, there) if fact not in missing]
            present = [one.claim for one in miss.failed if one.kind is FailureKind.PRESENT]
            return [*kept, *(one for one in present if one not in kept)]
    about = {asked.actor, asked.resource}
    stored = (fact for fact, _ in bench.grounds.facts.facts() if about & set(fact.args))
    # Whether a policy is enforced is nothing that it knows of.
    return [*own, *(fact for fact in stored if fact.predicate != OBSERVED)]


def _mended(
    failed: Iterable[Failure], bench: Bench, own: Sequence[Fact]
) -> tuple[FactSet, list[Fact], list[Fact]] | None:
    """Return the facts, and those of the call, without what *failed*; and what was added.

    None where that cannot be said, since any value would do or two values are compared.
    """
    facts, call, missing = bench.grounds.facts, list(own), []
    for one in failed:
        is_open = any(isinstance(arg, Anything) for arg in one.claim.args)
        if is_open or one.kind is FailureKind.COMPARISON:
            return None
        if one.kind is FailureKind.MISSING:
            missing.append(one.claim)
            facts = facts.changed("mended", add=[one.claim])
        else:
            call = [fact for fact in call if fact != one.claim]
            for origin in facts.origins(one.claim):
                facts = facts.changed(origin, remove=[one.claim])
    return facts, call, missing


def _written(case: Case) -> Case:
    """Return *case* with text of which there is only a digest as some other text."""
    if not any(map(is_hidden, case.setup)):
        return case
    remark = "Text that was recorded as a digest stands as `not recorded ...`."
    setup = tuple(fact._replace(args=tuple(map(_shown, fact.args))) for fact in case.setup)
    return replace(case, setup=setup, remarks=(*case.remarks, remark))


def _shown(arg: Answer) -> Answer:
    if isinstance(arg, str) and arg.startswith(HIDDEN):
        return f"not recorded {arg.removeprefix(HIDDEN)}"
    return arg


def _lasting(case: Case) -> Case:
    """Return *case* with grants that end as grants that last, so that it passes at any time."""
    if not case.allowed:
        return case
    leases = [fact for fact in case.setup if fact.predicate == "lease"]
    if not leases:
        return case
    setup = tuple(
        fact._replace(args=(*fact.args[:-1], FAR)) if fact.predicate == "lease" else fact
        for fact in case.setup
    )
    return replace(case, setup=setup, remarks=(*case.remarks, "Leases last as long as tests do."))


def _checked(case: Case, bench: Bench) -> Case:
    """Return *case*, which passes. Raise `InputError` if it does not under the policy of then."""
    sources = dict(bench.grounds.bundle.sources)
    try:
        program = read_policy({**sources, _FILE: case.text}, portable=False)
    except PolicyError as error:
        raise InputError(error.problems, {_FILE: case.text}) from error
    report = run_tests(program, PATIENCE, case.name, now=int(time.time()), conditions=False)
    if not report.passed:
        failures = [str(one) for result in report.results for one in result.failures]
        raise InputError.saying(
            "no test that the policy of then passes can be made of this decision: "
            + " ".join(failures)
        )
    return case
