"""The policy engine, with cedarpy beside it on the same questions.

Both must give the same answer to every question before anything is timed. They take turns in
rounds, so that a busy machine disturbs both alike; ratios hold within one run.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from time import perf_counter
from typing import Any

from bench import bundle, workload
from bench.cedar import (
    Cedar,
    Request,
    arguments_of,
    request_in_text,
    request_of,
    request_with,
)
from bench.report import Aim, Report
from bench.timing import GC_STATE, in_turns, once
from bench.workload import NOW, Grant, Question, Tenant
from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Entity, Fact, Proof
from policies.polar.engine import Engine
from policies.polar.program import Program
from policies.polar.runtime import Overlay

OURS, CEDAR, CEDAR_TEXT = "northgate", "cedarpy", "cedarpy, names as text"

DECIDE = "decide"
PROOF = "decide, with proof or reasons"
ALLOWED = "allow, with proof or reasons"
DENIED = "deny, with reasons"
ARGUMENTS = "state arguments"
WHOLE = "arguments, decide, proof"
LISTING = f"list {workload.TOOLS} tools"
CALLABLE = f"callable among {workload.TOOLS} tools"
LISTINGS = {LISTING: "list", CALLABLE: "call"}
BUNDLE = "decide by the bundle, proof"

FEW, MANY = "few facts", "many facts"

CHANGE = "change one fact, link, decide"
REBUILD = "build all facts, link, decide"
COMPILE = "compile the bundle, decide once"

FAR_LESS = 1 / 20
"""What "far less than rebuilding" means here, as a share."""


class DisagreementError(Exception):
    """An engine gave an answer that it should not have given, so its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure: questions and principals asked, in how many rounds, facts beside."""

    questions: int
    listings: int
    rounds: int
    beside: int
    changes: int


FULL = Size(questions=20_000, listings=200, rounds=20, beside=130_000, changes=100)
QUICK = Size(questions=1_000, listings=10, rounds=2, beside=6_500, changes=10)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as each engine takes it, the arguments stated beforehand."""

    question: Question
    own: Overlay
    request: Request
    text: Request
    loose: Request


@dataclass(frozen=True, slots=True)
class Contest:
    """Both engines with the same facts."""

    engine: Engine
    cedar: Cedar
    facts: int

    def decide(self, asked: Asked) -> bool:
        actor, action, resource, _ = asked.question
        return self.engine.decide(actor, action, resource, asked.own, NOW).allowed

    def prove(self, asked: Asked) -> Proof | None:
        actor, action, resource, _ = asked.question
        return self.engine.decide(actor, action, resource, asked.own, NOW).proof

    def prove_from_arguments(self, asked: Asked) -> Proof | None:
        actor, action, resource, _ = question = asked.question
        own = self.engine.overlay(workload.argument_facts(question))
        return self.engine.decide(actor, action, resource, own, NOW).proof

    def select(self, action: str, tools: list[Entity], client: Entity) -> list[Entity]:
        possibly = action == "call"
        return self.engine.select(client, action, tools, None, NOW, possibly=possibly)


def run(quick: bool) -> Report:  # noqa: FBT001  the one option that every benchmark takes
    """Measure the policy engine. Raise `DisagreementError` if the engines differ on a question."""
    size = QUICK if quick else FULL
    tenant = workload.tenant(0)
    own = list(workload.facts_of(tenant))
    program, compiling = once(_program)
    report = Report("policy", _setting(size, tenant, len(own)))
    report.cost("compile the policy", compiling)
    small = _contest(report, program, own, [tenant])
    asked = [_asked(small.engine, one) for one in workload.questions(tenant, size.questions)]
    _measure(report, small, tenant, asked, size)
    beside = workload.facts_beside(size.beside)
    large = _contest(report, program, own + beside, [tenant, *workload.tenants_beside(size.beside)])
    _measure(report, large, tenant, asked, size)
    _measure_growth(report, (small, large), tenant, asked, size)
    _measure_change(report, program, own + beside, tenant, size)
    _measure_bundle(report, size)
    report.aims = _aims(report, small.facts, large.facts)
    return report


def _program() -> Program:
    return read_policy({"bench.polar": workload.POLICY})


def _setting(size: Size, tenant: Tenant, own: int) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cedarpy": importlib.metadata.version("cedarpy"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "garbage collection": GC_STATE,
        "clients": len(tenant.clients),
        "servers": workload.SERVERS,
        "tools": len(tenant.tools),
        "facts": own,
        "facts of other tenants": size.beside,
        "rounds": size.rounds,
        "questions": size.questions,
    }


def _contest(report: Report, program: Program, facts: list[Fact], tenants: list[Tenant]) -> Contest:
    """Return both engines with *facts*, which say the same as *tenants*."""
    number = f"{len(facts):,} facts"
    engine = Engine(program, FactSet.of("stored", facts))
    client, tool = tenants[0].clients[0], tenants[0].tools[0]
    _, first = once(lambda: engine.decide(client, "call", tool, None, NOW))
    report.cost(f"{OURS}: first decision, {number}", first)
    cedar, loading = once(lambda: Cedar(tenants))
    report.cost(f"{CEDAR}: make and load entities, {number}", loading)
    return Contest(engine, cedar, len(facts))


def _asked(engine: Engine, question: Question) -> Asked:
    return Asked(
        question,
        engine.overlay(workload.argument_facts(question)),
        request_of(question),
        request_in_text(question),
        request_with(question, arguments_of(question)),
    )


def _measure(
    report: Report, contest: Contest, tenant: Tenant, asked: Sequence[Asked], size: Size
) -> None:
    allowed = _agreed(contest, asked)
    report.setting["allowed share"] = round(len(allowed) / len(asked), 3)
    report.setting["disagreements"] = 0
    _measure_decisions(report, contest, asked, allowed, size.rounds)
    _measure_listing(report, contest, tenant, size)


def _agreed(contest: Contest, asked: Sequence[Asked]) -> list[Asked]:
    """Return the questions that are allowed, by every engine in every form."""
    allowed = []
    for one in asked:
        ours = contest.decide(one)
        theirs = {contest.cedar.decide(form) for form in (one.request, one.text, one.loose)}
        if theirs != {ours} or (contest.prove(one) is not None) != ours:
            raise DisagreementError(f"{one.question}: {OURS} {ours}, {CEDAR} {theirs}")
        if ours:
            allowed.append(one)
    return allowed


def _measure_decisions(
    report: Report,
    contest: Contest,
    asked: Sequence[Asked],
    allowed: Sequence[Asked],
    rounds: int,
) -> None:
    cedar, engine = contest.cedar, contest.engine
    yes = set(map(id, allowed))
    denied = [one for one in asked if id(one) not in yes]
    proofs: dict[str, Callable[[Asked], object]] = {
        OURS: contest.prove,
        CEDAR: lambda one: cedar.decide_with_reasons(one.request),
    }
    contests: list[tuple[str, Sequence[Asked], dict[str, Callable[[Asked], object]]]] = [
        (
            DECIDE,
            asked,
            {
                OURS: contest.decide,
                CEDAR: lambda one: cedar.decide(one.request),
                CEDAR_TEXT: lambda one: cedar.decide(one.text),
            },
        ),
        (PROOF, asked, proofs),
        (ALLOWED, allowed, proofs),
        (DENIED, denied, proofs),
        (
            ARGUMENTS,
            [one for one in asked if one.question.amount is not None],
            {
                OURS: lambda one: engine.overlay(workload.argument_facts(one.question)),
                CEDAR: lambda one: json.dumps(arguments_of(one.question)),
            },
        ),
        (
            WHOLE,
            asked,
            {
                OURS: contest.prove_from_arguments,
                CEDAR: lambda one: cedar.decide_with_reasons(one.loose),
            },
        ),
    ]
    for what, items, contestants in contests:
        report.add(what, contest.facts, in_turns(contestants, items, rounds))


def _measure_listing(report: Report, contest: Contest, tenant: Tenant, size: Size) -> None:
    tools = tenant.tools
    for what, action in LISTINGS.items():
        # Without arguments a call is within its limit, so Cedar, which cannot be asked what is
        # possible, is asked about a call without any.
        requests = {
            client: [request_of(Question(client, action, tool)) for tool in tools]
            for client in tenant.clients
        }
        ours = partial(contest.select, action, tools)
        theirs = partial(_selected, contest.cedar, requests)
        for client in tenant.clients:
            found = set(ours(client))
            if [tool in found for tool in tools] != theirs(client):
                raise DisagreementError(f"{what} for {client}")
        times = in_turns({OURS: ours, CEDAR: theirs}, _principals(tenant, size), size.rounds)
        report.add(what, contest.facts, times)


def _selected(cedar: Cedar, requests: Mapping[Entity, list[Request]], client: Entity) -> list[bool]:
    return cedar.select(requests[client])


def _principals(tenant: Tenant, size: Size) -> list[Entity]:
    return list(islice(cycle(tenant.clients), size.listings))


def _measure_growth(
    report: Report,
    contests: tuple[Contest, Contest],
    tenant: Tenant,
    asked: Sequence[Asked],
    size: Size,
) -> None:
    """Let the engine with few facts and the one with many take turns."""
    small, large = contests
    found = in_turns({FEW: small.prove, MANY: large.prove}, asked, size.rounds)
    report.add(_growth(PROOF), large.facts, found)
    for what, action in LISTINGS.items():
        few, many = (partial(one.select, action, tenant.tools) for one in contests)
        times = in_turns({FEW: few, MANY: many}, _principals(tenant, size), size.rounds)
        report.add(_growth(what), large.facts, times)


def _growth(what: str) -> str:
    return f"{what.partition(',')[0]}, few and many"


def _measure_change(
    report: Report, program: Program, facts: list[Fact], tenant: Tenant, size: Size
) -> None:
    newcomer, tool = Entity("Client", "newcomer"), _open_tool(tenant)
    grant = Fact("has_role", tuple(Grant(newcomer, "viewer", tool)))
    stored, building = once(lambda: FactSet.of("stored", facts))
    engine, linking = once(lambda: Engine(program, stored))
    _, deciding = once(lambda: engine.decide(newcomer, "list", tool, None, NOW))
    report.cost("build all facts", building)
    report.cost("link the policy with them", linking)
    report.cost("decide once, indexing them", deciding)
    report.cost(REBUILD, building + linking + deciding)
    times = []
    for granted in islice(cycle((True, False)), size.changes):
        before = perf_counter()
        stored = stored.changed("stored", **{"add" if granted else "remove": [grant]})
        ruling = Engine(program, stored).decide(newcomer, "list", tool, None, NOW)
        times.append((perf_counter() - before) * 1000)
        if ruling.allowed != granted:
            raise DisagreementError(f"{grant} had no effect")
    report.cost(CHANGE, statistics.median(times))


def _open_tool(tenant: Tenant) -> Entity:
    return next(tool for tool in tenant.tools if tool not in tenant.disabled)


def _measure_bundle(report: Report, size: Size) -> None:
    sources = bundle.sources()
    report.setting["bundle"] = f"{bundle.rules_in(sources)} rules in {len(sources)} files"
    program, compiling = once(lambda: read_policy(sources))
    engine = Engine(program, FactSet.of("stored", bundle.FACTS))

    def decide(own: Overlay | None) -> Proof | None:
        return engine.decide(bundle.CLIENT, "call", bundle.TOOL, own, NOW).proof

    own = engine.overlay(bundle.ARGUMENTS)
    proof, first = once(lambda: decide(own))
    if proof is None or decide(None) is not None:
        raise DisagreementError("the bundle decides wrongly")
    report.cost("compile the bundle", compiling)
    report.cost("decide once with the bundle", first)
    report.cost(COMPILE, compiling + first)
    times = in_turns({OURS: decide}, [own, None] * (size.questions // 10), size.rounds)
    report.add(BUNDLE, len(bundle.FACTS), times)


def _aims(report: Report, small: int, large: int) -> list[Aim]:
    proof, allowed = (report.timing(what, small, OURS) for what in (PROOF, ALLOWED))
    listings = [report.timing(what, small, OURS) for what in LISTINGS]
    aims = [
        Aim("decision with proof, p50", proof.p50_us, 10, "us"),
        Aim("decision with proof, p99", proof.p99_us, 30, "us"),
        Aim("allowed decision with proof, p50", allowed.p50_us, 10, "us"),
        Aim("allowed decision with proof, p99", allowed.p99_us, 30, "us"),
        *(Aim(f"{one.what}, p50", one.p50_us / 1000, 1, "ms") for one in listings),
        Aim("500 rules compiled and asked", report.took(COMPILE), 1000, "ms"),
        Aim(
            "one changed fact against all", report.took(CHANGE) / report.took(REBUILD), FAR_LESS, ""
        ),
    ]
    for what in (PROOF, *LISTINGS):
        growth = report.timing(_growth(what), large, MANY).ratio
        aims.append(Aim(f"{what}, {large:,} facts to {small}", growth, 2, "times"))
    for what in (DECIDE, WHOLE):
        ours, theirs = (report.timing(what, small, who).p50_us for who in (OURS, CEDAR))
        aims.append(Aim(f"{what}, {OURS} to {CEDAR}", ours / theirs, 1, "times"))
    return aims
