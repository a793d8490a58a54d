"""Many threads ask one engine, while others compile and swap: the answers are those of one."""

from __future__ import annotations

import random as randomness
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from policies.facts import FactSet
from policies.model import Entity, Fact, Value, type_name
from policies.polar.engine import Engine, Free
from policies.polar.program import Program, compile_policy
from policies.polar.source import PolicyError
from tests.reference import programs
from tests.reference.worlds import NOW

THREADS = 8

Question = tuple[str, tuple[Value, ...]]


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Let threads take turns far more often than they would, so that races show."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def made(seed: int) -> tuple[programs.Program, list[Question]]:
    """Return a random program that loads, and many questions for it."""
    for attempt in range(10):
        found = programs.program(randomness.Random(f"threads {seed} {attempt}"))
        try:
            compiled(found)
        except PolicyError:
            continue
        swapped = [
            (name, (*args[:-1], other[-1]))
            for name, args in found.questions
            for _, other in found.questions
            if type_name(args[-1]) == type_name(other[-1])
        ]
        return found, [*found.questions, *swapped]
    pytest.fail("No program loads.")


def compiled(found: programs.Program) -> Program:
    return compile_policy({"policy.polar": found.text})


def together(*tasks: Callable[[], object]) -> list[object]:
    """Start all *tasks* at one moment, each in a thread of its own; return their results."""
    ready = Barrier(len(tasks))

    def start(task: Callable[[], object]) -> object:
        ready.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(start, tasks))


def answers(engine: Engine, questions: list[Question], seed: int) -> dict[Question, bool]:
    """Ask *questions* in an order of one's own."""
    shuffled = questions[:]
    randomness.Random(seed).shuffle(shuffled)
    return {each: engine.holds(*each, None, NOW).allowed for each in shuffled}


@pytest.mark.parametrize("seed", range(5))
def test_threads_that_all_meet_a_policy_anew_agree(seed: int) -> None:
    found, questions = made(seed)
    facts = FactSet.of("stored", found.facts)
    alone = answers(Engine(compiled(found), facts), questions, 0)
    shared = Engine(compiled(found), facts)
    asked = together(*(lambda n=n: answers(shared, questions, n) for n in range(THREADS)))

    assert asked == [alone] * THREADS


@pytest.mark.parametrize("seed", range(5, 8))
def test_questions_of_new_shapes_do_not_disturb_those_under_way(seed: int) -> None:
    found, questions = made(seed)
    facts = FactSet.of("stored", found.facts)
    alone = answers(Engine(compiled(found), facts), questions, 0)
    shared = Engine(compiled(found), facts)

    def list_everything() -> None:
        for _, args in found.questions:
            if isinstance(args[0], Entity) and len(args) == 3:
                shared.decide(args[0], f"made up {args[1]}", args[0], None, NOW)
                shared.query("has_role", (args[0], Free("String"), args[2]), None, NOW)

    asked = together(
        *(lambda n=n: answers(shared, questions, n) for n in range(THREADS - 2)),
        list_everything,
        list_everything,
    )

    assert asked[:-2] == [alone] * (THREADS - 2)


def test_facts_of_one_thread_are_not_seen_by_another() -> None:
    tool_block = 'resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }'
    text = f"actor Client {{}} {tool_block}"
    shared = Engine(compile_policy({"policy.polar": text}), FactSet())
    tool = Entity("Tool", "t")
    clients = [Entity("Client", str(number)) for number in range(THREADS)]

    def ask(mine: Entity) -> set[tuple[Entity, ...]]:
        seen = set()
        for _ in range(300):
            own = shared.overlay([(Fact("has_role", (mine, "caller", tool)), "request")])
            seen.add(tuple(c for c in clients if shared.decide(c, "call", tool, own).allowed))
        return seen

    asked = together(*(lambda mine=mine: ask(mine) for mine in clients))

    assert asked == [{(mine,)} for mine in clients]


def test_swapping_programs_and_facts_never_mixes_them() -> None:
    found, questions = made(20)
    random = randomness.Random(20)
    halves = [random.sample(found.facts, len(found.facts) // 2) for _ in range(4)]
    engines = [Engine(compiled(found), FactSet.of("stored", facts)) for facts in halves]
    expected = {id(engine): answers(engine, questions, 0) for engine in engines}
    fresh = [Engine(compiled(found), FactSet.of("stored", facts)) for facts in halves]
    for old, new in zip(engines, fresh, strict=True):
        expected[id(new)] = expected[id(old)]
    live = [fresh[0]]
    stop = Event()

    def ask() -> list[Question]:
        wrong = []
        while not stop.is_set():
            for each in questions[:60]:
                engine = live[0]
                if engine.holds(*each, None, NOW).allowed != expected[id(engine)][each]:
                    wrong.append(each)
        return wrong

    def swap() -> list[Question]:
        for number in range(400):
            engine = fresh[number % len(fresh)]
            engine.warm(live[0])
            live[0] = engine
            engine.holds(*questions[number % len(questions)], None, NOW)
        stop.set()
        return []

    assert together(*[ask] * (THREADS - 1), swap) == [[]] * THREADS


def test_facts_may_change_while_engines_read_them() -> None:
    found, questions = made(30)
    program = compiled(found)
    whole = FactSet.of("stored", found.facts)
    full = answers(Engine(program, whole), questions, 0)
    none = answers(Engine(program, FactSet()), questions, 0)

    def change(seed: int) -> tuple[dict[Question, bool], dict[Question, bool]]:
        mine = whole
        for _ in range(20):
            some = randomness.Random(seed).sample(found.facts, 5)
            mine = mine.changed("stored", remove=some)
            answers(Engine(program, mine), questions[:10], seed)
            mine = mine.changed("stored", add=some)
        emptied = mine.changed("stored", remove=found.facts)
        return answers(Engine(program, mine), questions, seed), answers(
            Engine(program, emptied), questions, seed
        )

    asked = together(*(lambda n=n: change(n) for n in range(THREADS)))

    assert asked == [(full, none)] * THREADS
