"""The engine answers as the plain reading of the language does, on random programs."""

from __future__ import annotations

import random as randomness
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import pytest

from policies.facts import FactSet
from policies.model import Entity, Fact, Proof, Value, type_name
from policies.polar.engine import Engine, Free, Ruling
from policies.polar.program import Program, compile_policy
from policies.polar.runtime import Limits, Overlay, UnboundedError
from policies.polar.source import PolicyError, Severity
from policies.polar.values import held_row, key_of
from tests.reference import programs
from tests.reference.cells import ALL, Row, cell
from tests.reference.checker import Checker
from tests.reference.evaluator import Free as AnyOf
from tests.reference.evaluator import InexpressibleError, Reference

CHUNKS = 20
DECISIONS = 1_000
FUZZ_CHUNKS = 250
FUZZ_DECISIONS = 4_000

AMPLE = Limits(steps=5_000_000, seconds=60.0)

Question = tuple[str, tuple[Value, ...]]
Stored = list[tuple[Fact, str]]


@dataclass(slots=True)
class Count:
    """How much was compared."""

    decisions: int = 0
    allowed: int = 0
    queries: int = 0
    unbounded: int = 0

    def decided(self, ruling: Ruling) -> None:
        self.decisions += 1
        self.allowed += ruling.allowed


@dataclass(slots=True)
class Case:
    """One random program, and what the reference says about it."""

    made: programs.Program
    program: Program
    now: int
    random: randomness.Random
    count: Count
    domain: dict[str, list[Value]] = field(default_factory=dict)
    reference: Reference = field(init=False)

    def __post_init__(self) -> None:
        asked = [arg for _, args in self.made.questions for arg in args]
        stated = [arg for fact in self.made.facts for arg in fact.args]
        distinct = {(type_name(arg), arg): arg for arg in (*asked, *stated)}
        for (type_, _), value in sorted(distinct.items(), key=repr):
            self.domain.setdefault(type_, []).append(value)  # type: ignore[arg-type]
        self.reference = Reference(self.program.modules, self.made.facts, self.now, mentioned=asked)

    def checker(self, origins: Stored) -> Checker:
        return Checker(self.program.modules, origins, self.now, reference=self.reference)

    @property
    def entities(self) -> list[Entity]:
        every = (value for values in self.domain.values() for value in values)
        return [value for value in every if isinstance(value, Entity)]

    def some(self, values: Iterable[Question], most: int) -> list[Question]:
        found = list(values)
        return self.random.sample(found, min(len(found), most))

    def permissions(self, most: int) -> list[Question]:
        """Return questions about `allow`, as many that hold as that do not if there are."""
        asked = [args for name, args in self.made.questions if name == "allow"]
        actors = sorted({args[0] for args in asked}, key=str)
        actions = sorted({args[1] for args in asked}, key=str)
        every = [("allow", args) for args in product(actors, actions, self.entities)]
        held = [question for question in every if self.reference.holds(*question)]
        denied = [question for question in every if not self.reference.holds(*question)]
        return self.some(held, most // 2) + self.some(denied, most // 2)

    def variations(self, most: int) -> list[Question]:
        """Return questions like the generator's, with one argument exchanged."""
        every = [
            (name, (*args[:place], value, *args[place + 1 :]))
            for name, args in self.made.questions
            for place, before in enumerate(args)
            for value in self.domain[type_name(before)]
        ]
        held = [question for question in every if self.reference.holds(*question)]
        denied = [question for question in every if not self.reference.holds(*question)]
        return self.some(held, most // 2) + self.some(denied, most // 2)

    def origins(self, stored: Stored, supplied: Sequence[tuple[Fact, str]] = ()) -> Stored:
        """Return every fact with the source that a proof has to give for it."""
        sources: dict[tuple[str, Row], tuple[Fact, list[str]]] = {}
        for fact, origin in stored:
            place = (fact.predicate, tuple(map(cell, fact.args)))
            sources.setdefault(place, (fact, []))[1].append(origin)
        joined = []
        for fact, origins in sources.values():
            stated = self.program.stated.get(key_of(fact.predicate, len(fact.args)), {})
            place_of_line = stated.get(held_row(fact.args))
            joined.append((fact, ", ".join([*origins, *filter(None, [place_of_line])])))
        return [*joined, *supplied]


def cases(seed: int, count: Count) -> Iterator[Case]:
    """Yield programs, every other one portable, that the compiler accepts."""
    for attempt in range(1_000):
        random = randomness.Random(f"{seed} {attempt}")
        portable = attempt % 2 == 0
        made = programs.program(random, portable=portable)
        program = compiled(made.text, portable=portable)
        if program is None:
            continue
        now = made.now + random.choice([-1, 0, 0, 1])
        yield Case(made, program, now, random, count)


def compiled(text: str, *, portable: bool) -> Program | None:
    """Return the program of *text*, or None where it needs a value that nothing gives it."""
    try:
        return compile_policy({"policy.polar": text}, portable=portable)
    except PolicyError as error:
        errors = [each for each in error.problems if each.severity is Severity.ERROR]
        if {each.code for each in errors} != {"unbound-variable"}:
            raise
        return None


def check_decisions(
    case: Case, engine: Engine, checker: Checker, questions: Iterable[Question],
    own: Overlay | None = None,
) -> None:  # fmt: skip
    """Compare decisions, and check the proof of each allow."""
    for predicate, args in questions:
        ruling = engine.holds(predicate, args, own, case.now)
        case.count.decided(ruling)
        expected = case.reference.holds(predicate, args)
        shown = f"{Fact(predicate, args)}\n{case.made.text}"
        assert ruling.allowed == expected, shown
        if predicate == "allow":
            assert decided(engine, args, own, case.now).allowed == expected, shown
        if expected:
            assert isinstance(ruling.proof, Proof)
            checker.check(ruling.proof, goal=Fact(predicate, args))


def decided(
    engine: Engine, args: Sequence[Value], own: Overlay | None = None, now: int | None = None
) -> Ruling:
    actor, action, resource = args
    assert isinstance(actor, Entity)
    assert isinstance(action, str)
    assert isinstance(resource, Entity)
    return engine.decide(actor, action, resource, own, now)


def check_listings(case: Case, engine: Engine, most: int) -> None:
    """Compare listings over the entities of the program, and what allows each entry."""
    for _, args in case.permissions(most):
        actor, action, resource = args
        assert isinstance(actor, Entity)
        assert isinstance(action, str)
        assert isinstance(resource, Entity)
        listed = engine.select(actor, action, case.entities, None, case.now)
        held = case.reference.holds
        assert listed == [one for one in case.entities if held("allow", (actor, action, one))]

        check_query(case, engine, "allow", (actor, action, Free(resource.type)))
        check_query(case, engine, "allow", (actor, Free("String"), resource))
        rows = answers(case, engine, "allow", (actor, action, Free(resource.type)))
        if rows is not None:
            found = engine.resources(actor, action, resource.type, None, case.now)
            assert {cell(one) for one in found} == {row[2] for row in rows}
        rows = answers(case, engine, "allow", (actor, Free("String"), resource))
        if rows is not None:
            actions = engine.actions(actor, resource, None, case.now)
            assert {cell(one) for one in actions} == {row[1] for row in rows}


def check_queries(case: Case, engine: Engine, questions: Iterable[Question]) -> None:
    """Compare queries that leave one or two arguments open, typed or not."""
    for predicate, args in questions:
        places = case.random.sample(range(len(args)), min(len(args), case.random.randint(1, 2)))
        untyped = case.random.random() < 0.2
        opened = [
            Free(None if untyped else type_name(arg)) if place in places else arg
            for place, arg in enumerate(args)
        ]
        check_query(case, engine, predicate, opened)


def check_query(case: Case, engine: Engine, predicate: str, args: Sequence[Value | Free]) -> None:
    found = answers(case, engine, predicate, args)
    expressible = [AnyOf(arg.type) if isinstance(arg, Free) else arg for arg in args]
    shown = f"{predicate}({args})\n{case.made.text}"
    try:
        expected = case.reference.cells(predicate, tuple(expressible))
    except InexpressibleError:
        assert found is None, shown
        return
    case.count.queries += 1
    if found is None:
        case.count.unbounded += 1
    else:
        assert either_boolean(found) == either_boolean(expected), shown


def answers(
    case: Case, engine: Engine, predicate: str, args: Sequence[Value | Free]
) -> set[Row] | None:
    """Return the answers of *engine*, or None where it says that it cannot list them."""
    try:
        found = engine.query(predicate, args, None, case.now)
    except UnboundedError:
        return None
    rows = [tuple(map(cell, row)) for row in found]
    assert len(rows) == len(set(rows))
    return set(rows)


def either_boolean(rows: Iterable[Row]) -> set[Row]:
    """Write "any Boolean" as both of them."""
    every = ("Boolean", ALL)
    both = [("Boolean", True), ("Boolean", False)]
    return {
        row
        for given in rows
        for row in product(*(both if part == every else [part] for part in given))
    }


def check_supplied(case: Case) -> None:
    """Compare again with a random part of the facts supplied along with the question."""
    facts = list(case.made.facts)
    case.random.shuffle(facts)
    cut = case.random.randint(1, len(facts))
    supplied: Stored = [(fact, "request") for fact in facts[:cut]]
    stored: Stored = [(fact, "stored") for fact in facts[cut:]]
    engine = Engine(case.program, FactSet.of("stored", facts[cut:]), AMPLE)
    own = engine.overlay(supplied)
    checker = case.checker(case.origins(stored, supplied))
    check_decisions(case, engine, checker, case.permissions(30) + case.variations(10), own)


def check_changes(case: Case) -> None:
    """Reach the facts by way of others, through engines that have built their indexes."""
    present: dict[str, set[str]] = {}
    facts = FactSet()
    questions = case.permissions(24) + case.variations(16)
    for _ in range(4):
        facts = changed(case, facts, present)
        assert {str(fact): set(origins) for fact, origins in facts.facts()} == present
        anew = FactSet()
        for origin in ("second", "first"):
            stated = [fact for fact in case.made.facts if origin in present.get(str(fact), ())]
            anew = anew.changed(origin, add=stated)
        assert rulings(case, facts, questions) == rulings(case, anew, questions)
    facts = facts.changed("first", add=case.made.facts).changed("second", remove=case.made.facts)
    assert all(facts.origins(fact) == ("first",) for fact in case.made.facts)
    stored: Stored = [(fact, "first") for fact in case.made.facts]
    checker = case.checker(case.origins(stored))
    check_decisions(case, Engine(case.program, facts, AMPLE), checker, questions)


def changed(case: Case, facts: FactSet, present: dict[str, set[str]]) -> FactSet:
    """Return *facts* after a random change, and make it in *present* as well."""
    origin = case.random.choice(["first", "second"])
    added = case.random.sample(case.made.facts, len(case.made.facts) // 2)
    gone = case.random.sample(case.made.facts, len(case.made.facts) // 3)
    # By name, since to Python the facts f(True) and f(1) are one key.
    for fact in gone:
        present.get(str(fact), set()).discard(origin)
    for fact in added:
        present.setdefault(str(fact), set()).add(origin)
    for name in [name for name, origins in present.items() if not origins]:
        del present[name]
    return facts.changed(origin, add=added, remove=gone)


def rulings(case: Case, facts: FactSet, questions: Iterable[Question]) -> list[bool]:
    engine = Engine(case.program, facts, AMPLE)
    return [engine.holds(*question, None, case.now).allowed for question in questions]


def check(case: Case) -> None:
    facts = FactSet.of("stored", case.made.facts)
    engine = Engine(case.program, facts, AMPLE)
    stored: Stored = [(fact, "stored") for fact in case.made.facts]
    checker = case.checker(case.origins(stored))
    check_decisions(case, engine, checker, case.permissions(100) + case.variations(60))
    check_listings(case, engine, 4)
    check_queries(case, engine, case.some(case.made.questions, 12))
    check_supplied(case)
    check_changes(case)


def run(seed: int, least: int) -> None:
    """Compare programs until there are *least* decisions."""
    count = Count()
    for case in cases(seed, count):
        check(case)
        if count.decisions >= least:
            break

    assert count.decisions >= least
    assert 0.25 <= count.allowed / count.decisions <= 0.75
    assert count.unbounded <= 0.1 * count.queries


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_decisions_proofs_listings_and_queries_are_those_of_the_reference(chunk: int) -> None:
    run(chunk, DECISIONS)


@pytest.mark.fuzz
@pytest.mark.parametrize("chunk", range(FUZZ_CHUNKS))
def test_a_million_decisions_are_those_of_the_reference(chunk: int) -> None:
    run(1_000 + chunk, FUZZ_DECISIONS)


def test_together_the_chunks_make_enough_decisions() -> None:
    assert CHUNKS * DECISIONS >= 20_000
    assert FUZZ_CHUNKS * FUZZ_DECISIONS >= 1_000_000


@pytest.mark.parametrize("portable", [True, False])
def test_hardly_a_well_typed_program_is_refused(*, portable: bool) -> None:
    texts = [
        programs.program(randomness.Random(f"load {seed}"), portable=portable).text
        for seed in range(60)
    ]

    assert sum(compiled(text, portable=portable) is None for text in texts) <= 3
