"""Why a question was denied: what would have had to be different, the least first."""

from __future__ import annotations

import random as randomness
import time
from collections.abc import Sequence
from itertools import product

import pytest

from policies.facts import FactSet
from policies.model import Anything, Entity, Fact, Failure, FailureKind, Miss, Value
from policies.polar.engine import Engine
from policies.polar.misses import nearest_misses
from policies.polar.program import compile_policy
from policies.polar.runtime import Limits
from policies.polar.source import PolicyError
from tests.reference.programs import program

MISSING, PRESENT, COMPARISON = FailureKind.MISSING, FailureKind.PRESENT, FailureKind.COMPARISON

C, T, S = Entity("Client", "c"), Entity("Tool", "t"), Entity("Server", "s")

POLICY = """actor Client {}
resource Server { roles = ["operator"]; }
resource Tool {
  roles = ["caller"];
  permissions = ["call"];
  relations = { server: Server };
  "call" if "caller";
  "caller" if "operator" on "server";
}
declare is_suspended(Client);
declare amount(Tool, Integer);
declare cap(Tool, Integer);
declare zone(Tool, String);
allow(c: Client, "call", t: Tool) if
  has_permission(c, "call", t)
  and not is_suspended(c)
  and amount(t, n) and cap(t, most)
  and n <= most
  and zone(t, z) and z in ["inner", "outer"];
allow(c: Client, "peek", t: Tool) if zone(t, "inner") and not is_suspended(c);
allow(c: Client, "late", _: Tool) if until(c, moment) and @current_unix_time < moment;
declare until(Client, Integer);
"""

ROLE = Fact("has_role", (C, "caller", T))
ENOUGH = [ROLE, Fact("amount", (T, 5)), Fact("cap", (T, 9)), Fact("zone", (T, "inner"))]


def engine(facts: Sequence[Fact], text: str = POLICY) -> Engine:
    return Engine(compile_policy({"policy.polar": text}), FactSet.of("stored", facts))


def misses(facts: Sequence[Fact], action: str = "call", most: int = 3) -> list[Miss]:
    return nearest_misses(engine(facts), "allow", (C, action, T), None, 100, most=most)


def without(fact: Fact) -> list[Fact]:
    return [each for each in ENOUGH if each != fact]


def lacks(found: Miss) -> list[tuple[FailureKind, Fact]]:
    return [(failure.kind, failure.claim) for failure in found.failed]


def test_what_is_allowed_has_no_misses() -> None:
    assert engine(ENOUGH).decide(C, "call", T).allowed
    assert misses(ENOUGH) == []


def test_what_no_rule_is_about_has_no_misses() -> None:
    assert misses(ENOUGH, "dance") == []


def test_one_missing_fact_is_named() -> None:
    nearest = misses(without(ROLE))[0]

    assert lacks(nearest) == [(MISSING, ROLE)]


def test_a_way_through_a_relation_lacks_more() -> None:
    ways = [lacks(miss) for miss in misses(without(ROLE))]
    server = Fact("has_relation", (T, "server", Anything("Server")))
    kinds = [[claim.predicate for _, claim in way] for way in ways]

    assert kinds[0] == ["has_role"]
    assert sorted(kinds[1]) == ["has_relation", "has_role"]
    assert server.predicate in kinds[1]


def test_with_the_relation_in_place_the_role_on_the_server_is_as_near() -> None:
    linked = [*without(ROLE), Fact("has_relation", (T, "server", S))]
    claims = [lacks(miss) for miss in misses(linked)]

    assert claims[:2] == [
        [(MISSING, ROLE)],
        [(MISSING, Fact("has_role", (C, "operator", S)))],
    ]


def test_a_fact_that_must_not_be_there_is_named() -> None:
    suspended = Fact("is_suspended", (C,))

    assert lacks(misses([*ENOUGH, suspended])[0]) == [(PRESENT, suspended)]


def test_a_comparison_names_the_values_it_compared() -> None:
    facts = [*without(Fact("amount", (T, 5))), Fact("amount", (T, 10))]

    assert lacks(misses(facts)[0]) == [(COMPARISON, Fact("<=", (10, 9)))]


def test_a_comparison_with_the_clock_names_the_moment() -> None:
    found = misses([Fact("until", (C, 100))], "late")

    assert lacks(found[0]) == [(COMPARISON, Fact("<", (100, 100)))]


def test_a_list_names_the_value_and_its_options() -> None:
    facts = [*without(Fact("zone", (T, "inner"))), Fact("zone", (T, "moon"))]

    assert lacks(misses(facts)[0]) == [(COMPARISON, Fact("in", ("moon", "inner", "outer")))]


def test_several_failures_are_named_together() -> None:
    suspended = Fact("is_suspended", (C,))
    nearest = misses([*without(ROLE), suspended])[0]

    assert sorted(lacks(nearest)) == sorted([(MISSING, ROLE), (PRESENT, suspended)])


def test_a_value_that_nothing_fixes_is_left_open() -> None:
    nearest = misses(without(Fact("cap", (T, 9))))[0]
    claims = {claim.predicate: claim.args for _, claim in lacks(nearest)}

    assert claims["cap"][0] == T
    assert isinstance(claims["cap"][1], Anything)


def test_a_failure_names_its_conditions_from_the_outside_in() -> None:
    failure = misses(without(ROLE))[0].failed[0]
    lines = POLICY.splitlines()
    shown = []
    for place in failure.conditions:
        _, line, column = place.rsplit(":", 2)
        shown.append(lines[int(line) - 1][int(column) - 1 :])

    assert [text.split("(")[0].split(";")[0] for text in shown] == ["has_permission", '"caller"']


def test_the_rules_of_a_miss_are_the_outermost_first() -> None:
    assert misses(without(ROLE))[0].rules == ("policy.polar:14", "policy.polar:7")


def test_the_nearest_come_first_and_no_more_than_wanted() -> None:
    counts = [len(miss.failed) for miss in misses([], most=8)]

    assert counts == sorted(counts)
    assert len(misses([], most=1)) == 1
    assert len({tuple(lacks(miss)) for miss in misses([], most=8)}) == len(counts)


def test_facts_of_the_question_count() -> None:
    asked = engine(without(ROLE))
    own = asked.overlay([(Fact("is_suspended", (C,)), "request")])
    nearest = nearest_misses(asked, "allow", (C, "call", T), own, 100)[0]

    assert (PRESENT, Fact("is_suspended", (C,))) in lacks(nearest)


def test_a_circle_of_rules_ends() -> None:
    text = """
    resource Node {} declare edge(Node, Node);
    path(x: Node, y: Node) if edge(x, y);
    path(x: Node, y: Node) if path(x, z) and path(z, y);
    """
    nodes = [Entity("Node", name) for name in "abc"]
    asked = engine([Fact("edge", (nodes[0], nodes[1])), Fact("edge", (nodes[1], nodes[0]))], text)
    found = nearest_misses(asked, "path", (nodes[0], nodes[2]))

    assert lacks(found[0]) == [(MISSING, Fact("edge", (nodes[0], nodes[2])))]


def test_the_search_is_bounded_on_much_data() -> None:
    text = """
    actor Client {} resource Tool {}
    declare near(Client, Client); declare owns(Client, Tool);
    allow(c: Client, "call", t: Tool) if
      near(c, d) and near(d, e) and near(e, f) and near(f, g) and owns(g, t);
    allow(c: Client, "call", t: Tool) if near(c, d) and allow(d, "call", t);
    """
    crowd = [Entity("Client", str(n)) for n in range(60)]
    facts = [Fact("near", pair) for pair in product([C, *crowd], crowd)]
    asked = engine(facts, text)
    start = time.perf_counter()
    found = nearest_misses(asked, "allow", (C, "call", T))

    assert time.perf_counter() - start < 10
    assert len(found) <= 3


def test_a_spent_budget_ends_the_search() -> None:
    crowd = [Entity("Client", str(n)) for n in range(100)]
    text = (
        "actor Client {} declare near(Client, Client); p(a: Client) if near(a, b) and near(b, a);"
    )
    policy = compile_policy({"policy.polar": text})
    facts = FactSet.of("stored", [Fact("near", (C, each)) for each in crowd])

    assert nearest_misses(Engine(policy, facts, Limits(steps=3)), "p", (C,)) == []


def is_mendable(failure: Failure) -> bool:
    open_ = any(isinstance(arg, Anything) for arg in failure.claim.args)
    return failure.kind is not COMPARISON and not open_


def test_a_miss_never_asks_for_what_it_needs_to_be_absent() -> None:
    policy = """
    actor User {} resource Box { permissions = ["open"]; }
    has_permission(u: User, "open", b: Box) if locked(u, b);
    allow(u, p, b) if has_permission(u, p, b) and not locked(u, b);
    """
    engine = Engine(compile_policy({"p.polar": policy}), FactSet())

    assert nearest_misses(engine, "allow", (Entity("User", "a"), "open", Entity("Box", "b"))) == []


def mended(facts: FactSet, miss: Miss) -> FactSet:
    lacking = [failure.claim for failure in miss.failed if failure.kind is MISSING]
    standing = [failure.claim for failure in miss.failed if failure.kind is PRESENT]
    return facts.changed("mended", add=lacking).changed("stored", remove=standing)


def denials(seed: int) -> tuple[Engine, FactSet, list[tuple[Value, ...]], str]:
    """Return an engine for a random program, with questions for `allow` that it denies."""
    for attempt in range(10):
        made = program(randomness.Random(f"{seed} {attempt}"))
        try:
            compiled = compile_policy({"policy.polar": made.text})
        except PolicyError:
            continue
        facts = FactSet.of("stored", made.facts)
        asked = Engine(compiled, facts)
        questions = [args for name, args in made.questions if name == "allow"]
        denied = [args for args in questions if not asked.holds("allow", args, None, made.now)]
        return asked, facts, denied, made.text
    pytest.fail("No program loads.")


@pytest.mark.parametrize("chunk", range(4))
def test_with_its_failures_mended_a_miss_becomes_an_allow(chunk: int) -> None:
    tried = 0
    for seed in range(chunk * 7, chunk * 7 + 7):
        asked, facts, denied, text = denials(seed)
        for args in denied[:4]:
            for miss in nearest_misses(asked, "allow", args, None, 1_000_000):
                if all(map(is_mendable, miss.failed)):
                    for failure in miss.failed:
                        asked.program.schema.check(failure.claim)
                    again = Engine(asked.program, mended(facts, miss))
                    told = f"{Fact('allow', args)}\n{[*map(str, miss.failed)]}\n{text}"
                    assert again.holds("allow", args, None, 1_000_000), told
                    tried += 1

    assert tried >= 15
