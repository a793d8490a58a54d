"""What may be listed is what some arguments would allow, found by trying all of them."""

from __future__ import annotations

import random as randomness
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import NamedTuple

import pytest

from policies.arguments import ArgumentTest
from policies.arguments import run as run_argument_tests
from policies.facts import FactSet
from policies.model import Entity, Fact
from policies.polar.engine import Engine
from policies.polar.possible import POSSIBLE
from policies.polar.program import compile_policy
from policies.vocabulary import SUPPLIED

CLIENT = Entity("Client", "a")
TOOLS = [Entity("Tool", "t"), Entity("Tool", "u")]
ABSENT = object()

AMOUNTS: Sequence[object] = (ABSENT, 0, 1, 2, 3, "x", True)
TEXTS: Sequence[object] = (
    ABSENT, "/a/b", "/a/b/c", "/b/c", "x", "https://h.example/", "https://k.example/",
    "https://a@h/", 1,
)  # fmt: skip
PATTERNS = {
    "argument_matches": ("/a/*", "x"),
    "argument_under": ("/a", "/b"),
    "argument_host": ("h.example", "k.example"),
}
COMPLEMENT = {
    "argument_matches": "not_matches",
    "argument_under": "not_under",
    "argument_host": "not_host",
}

TYPES = """
actor Client {}
resource Server {}
resource Tool { roles = ["caller"]; permissions = ["call"]; relations = { server: Server }; }
declare cap(Tool, Integer);
declare tagged(Resource, String);
declare allowed_host(Tool, String);
"""


@cache
def supplied(tool: Entity) -> tuple[tuple[Fact, ...], ...]:
    """Return the facts that each choice of arguments for *tool* gives."""
    tests = [ArgumentTest(name, "s", each) for name, all_ in PATTERNS.items() for each in all_]
    tests += [ArgumentTest(name, key) for name in ("argument_present", "argument") for key in "ns"]
    choices = ({"n": n, "s": s} for n, s in product(AMOUNTS, TEXTS))
    given = ({key: one for key, one in each.items() if one is not ABSENT} for each in choices)
    return tuple(tuple(run_argument_tests(tests, tool, arguments)) for arguments in given)


class Condition(NamedTuple):
    """A condition as the policy says it, and the same without its comparisons."""

    text: str
    loose: str

    @classmethod
    def plain(cls, text: str) -> Condition:
        return cls(text, text)


def joined(word: str, conditions: Sequence[Condition]) -> Condition:
    texts, looser = zip(*conditions, strict=True)
    return Condition(f"({f' {word} '.join(texts)})", f"({f' {word} '.join(looser)})")


@dataclass(slots=True)
class Draft:
    """A random policy on its way."""

    random: randomness.Random
    rules: list[Condition] = field(default_factory=list)
    made: int = 0

    def policy(self) -> Condition:
        for _ in range(self.random.randint(1, 2)):
            self.rule('allow(c: Client, "call", t: Tool)', 'has_role(c, "caller", t)', depth=2)
        if self.random.random() < 0.2:
            self.rules.append(
                Condition.plain('allow(_: Client, "call", t: Tool) if tagged(t, "free");')
            )
        texts, looser = zip(*self.rules, strict=True)
        return Condition(TYPES + "\n".join(texts), TYPES + "\n".join(looser))

    def rule(self, head: str, first: str, depth: int) -> None:
        size = self.random.randint(1, 3)
        body = joined(
            "and", [Condition.plain(first), *(self.condition(depth) for _ in range(size))]
        )
        self.rules.append(Condition(f"{head} if {body.text};", f"{head} if {body.loose};"))

    def condition(self, depth: int) -> Condition:
        makers: list[Callable[[int], Condition]] = [
            self.value,
            self.compared,
            self.pattern,
            self.presence,
            self.fact,
            self.stored,
        ]
        if depth:
            makers += [self.either, self.named, self.passed]
        return self.random.choice(makers)(depth)

    def variable(self) -> str:
        self.made += 1
        return f"v{self.made}"

    def value(self, _: int) -> Condition:
        key, value = self.random.choice(
            [("n", "0"), ("n", "2"), ("s", '"x"'), ("n", "true"), ("n", '"x"')]
        )
        return Condition.plain(f'argument(t, "{key}", {value})')

    def compared(self, _: int) -> Condition:
        v, m = self.variable(), self.variable()
        sign = self.random.choice(["<", "<=", ">", ">=", "!="])
        if self.random.random() < 0.5:
            limit = self.random.choice([-1, 0, 2, 3, 4])
            return Condition(f'argument(t, "n", {v}) and {v} {sign} {limit}', 'argument(t, "n", _)')
        return Condition(
            f'argument(t, "n", {v}) and cap(t, {m}) and {v} {sign} {m}',
            'argument(t, "n", _) and cap(t, _)',
        )

    def pattern(self, _: int) -> Condition:
        name = self.random.choice(list(PATTERNS))
        pattern = self.random.choice(PATTERNS[name])
        if self.random.random() < 0.4:
            name = f"argument_{COMPLEMENT[name]}"
        return Condition.plain(f'{name}(t, "s", "{pattern}")')

    def presence(self, _: int) -> Condition:
        negation = self.random.choice(["", "not "])
        return Condition.plain(f'{negation}argument_present(t, "{self.random.choice("ns")}")')

    def fact(self, _: int) -> Condition:
        return Condition.plain(self.random.choice(['tagged(t, "free")', 'not tagged(t, "bad")']))

    def stored(self, _: int) -> Condition:
        """Take a value from a stored fact, as a pattern or to be equal to."""
        v = self.variable()
        host = f'allowed_host(t, {v}) and argument_host(t, "s", {v})'
        return Condition.plain(self.random.choice([host, f'cap(t, {v}) and argument(t, "n", {v})']))

    def either(self, depth: int) -> Condition:
        return joined("or", [self.condition(depth - 1), self.condition(depth - 1)])

    def named(self, depth: int) -> Condition:
        """Give a condition a name of its own."""
        name = f"named_{self.variable()}"
        for _ in range(self.random.randint(1, 2)):
            self.rule(f"{name}(t: Tool)", "true", depth - 1)
        if self.random.random() < 0.3:
            self.rules.append(
                Condition.plain(
                    f'{name}(t: Tool) if has_relation(t, "server", s) and tagged(s, "free");'
                )
            )
        return Condition.plain(f"{name}(t)")

    def passed(self, _: int) -> Condition:
        """Hand an argument to a rule that compares it."""
        name, v, m = f"within_{self.variable()}", self.variable(), self.variable()
        sign = self.random.choice(["<", ">="])
        self.rules.append(Condition(f"{name}(t, {v}) if cap(t, {m}) and {v} {sign} {m};", ""))
        return Condition(f'argument(t, "n", {v}) and {name}(t, {v})', 'argument(t, "n", _)')


def facts(random: randomness.Random) -> FactSet:
    """Return some stored facts; what is granted is most of what can be."""
    server = Entity("Server", "s")
    every = [Fact("has_relation", (tool, "server", server)) for tool in TOOLS]
    every += [Fact("tagged", (server, "free"))]
    for tool in TOOLS:
        every += [Fact("cap", (tool, n)) for n in range(3)]
        every += [Fact("tagged", (tool, tag)) for tag in ("free", "bad")]
        every += [Fact("allowed_host", (tool, host)) for host in PATTERNS["argument_host"]]
    granted = [Fact("has_role", (CLIENT, "caller", tool)) for tool in TOOLS]
    return FactSet.of("stored", [*granted, *random.sample(every, len(every) // 3)])


def callable_tools(text: str, stored: FactSet) -> set[Entity]:
    """Return the tools that some arguments allow to be called."""
    engine = Engine(compile_policy({"policy.polar": text}, supplied=SUPPLIED), stored)
    return {
        tool
        for tool in TOOLS
        if any(allowed(engine, tool, facts_of_call) for facts_of_call in supplied(tool))
    }


def callable_against_reason(text: str, stored: FactSet) -> set[Entity]:
    """Return the tools that could be called if arguments could be several things at once."""
    text = re.sub(r"not argument_present\([^)]*\)", "true", text)
    engine = Engine(compile_policy({"policy.polar": text}, supplied=SUPPLIED), stored)
    return {
        tool
        for tool in TOOLS
        if allowed(engine, tool, [fact for each in supplied(tool) for fact in each])
    }


def allowed(engine: Engine, tool: Entity, facts_of_call: Sequence[Fact]) -> bool:
    own = engine.overlay((fact, "call") for fact in facts_of_call)
    return engine.decide(CLIENT, "call", tool, own, 0).allowed


def listed(text: str, stored: FactSet) -> set[Entity]:
    engine = Engine(compile_policy({"policy.polar": text}, supplied=SUPPLIED), stored)
    return set(engine.select(CLIENT, "call", TOOLS, None, 0, possibly=True))


def explanation(policy: Condition, stored: FactSet, tool: Entity) -> str:
    """Return what keeps *tool*, which is listed, from being callable with any arguments."""
    if tool in callable_tools(policy.loose, stored):
        return "comparison"
    if tool in callable_against_reason(policy.text, stored):
        return "contradiction"
    if tool in callable_against_reason(policy.loose, stored):
        return "comparison and contradiction"
    return "nothing"


@pytest.mark.parametrize("chunk", range(6))
def test_listed_is_what_some_arguments_allow_unless_they_would_contradict(chunk: int) -> None:
    tally: Counter[str] = Counter()
    for number in range(40):
        random = randomness.Random(f"{chunk} {number}")
        policy, stored = Draft(random).policy(), facts(random)
        shown, possible = listed(policy.text, stored), callable_tools(policy.text, stored)
        told = f"{policy.text}\n{[str(fact) for fact, _ in stored.facts()]}"

        assert possible <= shown, told
        tally["hidden"] += len(TOOLS) - len(shown)
        tally["callable"] += len(possible)
        for tool in shown - possible:
            why = explanation(policy, stored, tool)
            assert why != "nothing", told
            tally[why] += 1

    assert tally["hidden"] >= 5
    assert tally["callable"] >= 10
    assert tally["comparison"] + tally["contradiction"] >= 3


GRANTED = FactSet.of("stored", [Fact("has_role", (CLIENT, "caller", tool)) for tool in TOOLS])


def rule(body: str) -> str:
    return f'{TYPES}allow(c: Client, "call", t: Tool) if has_role(c, "caller", t) and {body};'


LISTED_IN_VAIN = {
    "a value and another value": 'argument(t, "n", 1) and argument(t, "n", 2)',
    "a pattern and its complement": (
        'argument_under(t, "s", "/a") and argument_not_under(t, "s", "/a")'
    ),
    "a value and its absence": 'argument(t, "n", 1) and not argument_present(t, "n")',
    "a comparison no value satisfies": 'argument(t, "n", n) and n > 9223372036854775807',
    "a range that is empty": 'argument(t, "n", n) and n > 2 and n < 2',
}


@pytest.mark.parametrize("body", LISTED_IN_VAIN.values(), ids=LISTED_IN_VAIN)
def test_what_contradicts_itself_is_listed_and_always_refused(body: str) -> None:
    assert listed(rule(body), GRANTED) == set(TOOLS)
    assert callable_tools(rule(body), GRANTED) == set()


HIDDEN = {
    "another condition fails": ('argument_present(t, "n") and tagged(t, "free")', set[Entity]()),
    "no host is on file": ('allowed_host(t, h) and argument_host(t, "s", h)', set[Entity]()),
    "no cap is on file": ('argument(t, "n", n) and cap(t, m) and n <= m', set[Entity]()),
    "nothing but arguments": ('argument_present(t, "n")', set(TOOLS)),
    "the arguments must be absent": ('not argument_present(t, "n")', set(TOOLS)),
}


@pytest.mark.parametrize(("body", "expected"), HIDDEN.values(), ids=HIDDEN)
def test_what_no_argument_could_help_is_hidden(body: str, expected: set[Entity]) -> None:
    assert listed(rule(body), GRANTED) == expected
    assert callable_tools(rule(body), GRANTED) == expected


def test_a_named_rule_keeps_what_has_nothing_to_do_with_arguments() -> None:
    named = 'named(t: Tool) if argument_present(t, "n") and not tagged(t, "bad");'
    stored = GRANTED.changed("stored", add=[Fact("tagged", (TOOLS[0], "bad"))])

    assert listed(rule("named(t)") + named, stored) == {TOOLS[1]}
    assert callable_tools(rule("named(t)") + named, stored) == {TOOLS[1]}


def test_a_policy_without_argument_tests_lists_what_it_allows() -> None:
    text = rule('tagged(t, "free")')
    stored = GRANTED.changed("stored", add=[Fact("tagged", (TOOLS[0], "free"))])
    program = compile_policy({"policy.polar": text}, supplied=SUPPLIED)

    assert listed(text, stored) == callable_tools(text, stored) == {TOOLS[0]}
    assert not [name for name in program.clauses if name.startswith(POSSIBLE)]


def test_the_facts_of_a_call_do_not_change_what_is_listed() -> None:
    program = compile_policy(
        {"policy.polar": rule('argument(t, "n", n) and n <= 2')}, supplied=SUPPLIED
    )
    engine = Engine(program, GRANTED)
    for facts_of_call in supplied(TOOLS[0]):
        own = engine.overlay((fact, "call") for fact in facts_of_call)
        assert engine.select(CLIENT, "call", TOOLS, own, 0, possibly=True) == TOOLS


def test_each_choice_of_arguments_gives_facts_of_that_choice_alone() -> None:
    given: Mapping[int, int] = Counter(len(facts_of_call) for facts_of_call in supplied(TOOLS[0]))

    assert len(supplied(TOOLS[0])) == len(AMOUNTS) * len(TEXTS)
    assert given[0] == 1
