"""Whatever a policy file holds, compiling it gives a program or a list of problems."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Entity
from policies.polar.engine import Engine
from policies.polar.program import Program
from policies.polar.runtime import Limits, UndecidedError
from policies.polar.source import PolicyError
from tests.reference.programs import program

RULES = Path(__file__).parents[2] / "policies" / "rules"
SHIPPED = {path.name: path.read_text() for path in sorted(RULES.glob("*.polar"))}
FRAGMENTS = [
    *("not ", "_", '"call"', "Tool", "Actor", "resource", "actor", "(", ")", "{", "}", ";", ","),
    *(" and ", " or ", " if ", " in ", "=", "<=", "matches", "iff", "global ", " on ", "-1"),
    *("@current_unix_time", "argument", "allow", "has_role", "has_relation", "possible_allow"),
]


def changed(text: str, chance: random.Random) -> str:
    """Return *text* with a few pieces cut, doubled, moved or put in."""
    for _ in range(chance.randrange(1, 5)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.randrange(1, 40))
        piece = chance.choice([chance.choice(FRAGMENTS), text[start:end] * 2, "", "\0", "é"])
        text = text[:start] + piece + text[chance.choice([start, end]) :]
    return text


def compiled(text: str) -> Program | None:
    """Compile *text*, or see that what it is refused for can be read."""
    try:
        return read_policy({"fuzzed.polar": text})
    except PolicyError as error:
        unread = [one for one in error.problems if not one.message or one.span.line < 1]
        if unread or not error.problems:
            pytest.fail(f"refused without a reason: {unread}")
        return None


def compile_and_ask(text: str) -> bool:
    """Compile *text*; where that works ask it something; return whether it worked."""
    found = compiled(text)
    if found is None:
        return False
    engine = Engine(found, FactSet(), Limits(steps=5_000, seconds=1))
    with contextlib.suppress(UndecidedError):
        assert not engine.decide(Entity("Client", "a"), "call", Entity("Nothing", "b"))
    return True


def fuzz(seed: int, count: int) -> int:
    chance = random.Random(seed)
    texts = [*SHIPPED.values(), *(program(random.Random(n)).text for n in range(5))]
    return sum(compile_and_ask(changed(chance.choice(texts), chance)) for _ in range(count))


def test_a_damaged_policy_compiles_or_is_refused_with_places() -> None:
    worked = fuzz(seed=1, count=300)

    assert 0 < worked < 300


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(20))
def test_many_damaged_policies_compile_or_are_refused(seed: int) -> None:
    assert fuzz(seed=100 + seed, count=1_000) > 0
