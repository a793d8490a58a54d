"""Who may: what is told of everybody at once is what the engine says of each, call by call."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

import pytest

from policies.bundle import Bundle, load
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.holders import Holder, Holders
from policies.model import Entity, Fact
from policies.polar.parser import parse_facts
from policies.polar.soundness import ground_fact
from policies.review import Access, Other
from policies.ways import minimal

POLICY: Final = """
global { roles = ["admin"]; }
actor Client { relations = { team: Team }; }
actor User {}
actor Team {}
resource Server {
  roles = ["caller"];
  permissions = ["connect"];
  "connect" if "caller" or global "admin";
}
resource Tool {
  roles = ["caller"];
  permissions = ["call"];
  relations = { server: Server };
  role if role on "server";
}
declare lease(Actor, String, Resource, Integer);
declare allowed_host(Tool, String);
declare amount_limit(Tool, Integer);
declare is_suspended(Actor);
declare is_read_only(Tool);
allow(c: Client, action: String, r: Resource) if acts_alone(c) and may(c, action, r);
allow(c: Client, action: String, r: Resource) if
  u matches User and acts_for(c, u) and may(c, action, r) and may(u, action, r);
allow(u: User, action: String, r: Resource) if may(u, action, r);
may(a: Actor, action: String, r: Resource) if has_permission(a, action, r) and not is_suspended(a);
has_role(a: Actor, "caller", r: Resource) if
  lease(a, "caller", r, until) and @current_unix_time < until;
has_permission(c: Client, action: String, r: Resource) if
  t matches Team and has_relation(c, "team", t) and has_permission(t, action, r);
has_permission(a: Actor, "call", t: Tool) if has_role(a, "caller", t) and is_read_only(t);
has_permission(a: Actor, "call", t: Tool) if
  has_role(a, "caller", t) and allowed_host(t, h) and argument_host(t, "url", h);
has_permission(a: Actor, "call", t: Tool) if
  has_role(a, "caller", t) and amount_limit(t, most) and argument(t, "n", n) and n <= most;
has_permission(a: Actor, "call", t: Tool) if
  has_role(a, "caller", t) and id_matches(t, "*__safe") and not argument_present(t, "force");
has_permission(a: Actor, "call", t: Tool) if
  has_role(a, "caller", t) and claim(a, "scope", "all") and source_address(a, "10.0.0.0/8");
"""
NOW: Final = 1_000
SERVER: Final = Entity("Server", "up")
SAFE, RUN = (Entity("Tool", f"up__{name}") for name in ("safe", "run"))
TEAM: Final = Entity("Team", "ops")
CLIENTS: Final = [Entity("Client", name) for name in ("a", "b", "c")]
USERS: Final = [Entity("User", name) for name in ("ann", "bob")]


@cache
def bundle() -> Bundle:
    return load({"p.polar": POLICY}, tested=False)


def world(seed: int) -> Grounds:
    chance = random.Random(seed)
    maybe = [
        *(Fact("has_role", (who, "caller", what)) for who in (*CLIENTS, *USERS, TEAM)
          for what in (SERVER, SAFE, RUN)),
        *(Fact("lease", (who, "caller", what, until)) for who in (*CLIENTS, *USERS, TEAM)
          for what in (SERVER, RUN) for until in (NOW - 1, NOW + 5, NOW + 9)),
        *(Fact("has_relation", (who, "team", TEAM)) for who in CLIENTS),
        *(Fact("allowed_host", (RUN, host)) for host in ("a.example", "*.b.example")),
        Fact("amount_limit", (RUN, 5)),
        *(Fact("is_read_only", (tool,)) for tool in (SAFE, RUN)),
        *(Fact("is_suspended", (who,)) for who in (*CLIENTS, *USERS)),
        *(Fact("has_role", (user, "admin")) for user in USERS),
    ]  # fmt: skip
    some = [fact for fact in maybe if chance.random() < 0.3]
    some += [Fact("has_relation", (tool, "server", SERVER)) for tool in (SAFE, RUN)]
    some.append(Fact("id_matches", (SAFE, "*__safe")))
    return Grounds(bundle(), FactSet.of("test", some).numbered(1))


@dataclass(frozen=True)
class Call:
    """What may be known of one call, beside who makes it."""

    facts: tuple[Fact, ...]


def calls(actor: Entity, tool: Entity) -> Iterator[Call]:
    choices = (
        (None, Fact("argument_host", (tool, "url", "a.example"))),
        (None, Fact("argument_host", (tool, "url", "*.b.example"))),
        (None, Fact("argument", (tool, "n", 5)), Fact("argument", (tool, "n", 6))),
        (None, Fact("argument_present", (tool, "force"))),
        (None, Fact("claim", (actor, "scope", "all"))),
        (None, Fact("source_address", (actor, "10.0.0.0/8"))),
    )
    for chosen in product(*choices):
        yield Call(tuple(fact for fact in chosen if fact is not None))


def allowed(
    grounds: Grounds, asker: tuple[Entity, Entity | None], tool: Entity, facts: Sequence[Fact],
    now: int = NOW,
) -> bool:  # fmt: skip
    actor, user = asker
    who = []
    if actor.type == "Client":
        who = [Fact("acts_alone", (actor,)) if user is None else Fact("acts_for", (actor, user))]
    own = grounds.engine.overlay([(fact, "call") for fact in (*who, *facts)], only_useful=True)
    return all(
        grounds.engine.decide(actor, action, resource, own, now).allowed
        for action, resource in (("connect", SERVER), ("call", tool))
    )


def askers() -> Iterator[tuple[Entity, Entity | None]]:
    for actor in (*CLIENTS, *USERS):
        yield actor, None
    yield from product(CLIENTS, USERS)


def holder_of(found: Sequence[Holder], asker: tuple[Entity, Entity | None]) -> Holder | None:
    actor, user = asker
    for one in found:
        acts_for = (one.acts_for or ()) if user is not None else ()
        if one.actor == actor and (user in acts_for if user else one.acts_for is None):
            return one
    return None


def given(way: Sequence[str]) -> tuple[Fact, ...]:
    """Return facts that make the conditions of *way* true."""
    wanted = [one.replace(", n)", ", 5)") for one in way if "<=" not in one]
    text = "".join(f"{one};\n" for one in wanted if not one.startswith("not "))
    return tuple(ground_fact(call) for call in parse_facts("way", text.encode()).facts)


@pytest.mark.parametrize("seed", range(12))
def test_everybody_is_told_as_the_engine_answers_call_by_call(seed: int) -> None:
    grounds = world(seed)
    for tool in (SAFE, RUN):
        found = Holders(grounds).who_can("call", tool, [], NOW)
        for asker in askers():
            one = holder_of(found, asker)
            answers = {
                call: allowed(grounds, asker, tool, call.facts) for call in calls(asker[0], tool)
            }
            if one is None:
                assert not any(answers.values()), (asker, tool)
            elif one.access is Access.ALWAYS:
                assert all(answers.values()), (asker, tool)
            else:
                check_ways(grounds, asker, tool, one)
                assert not all(answers.values())
                for call, answer in answers.items():
                    terms = [way for way in one.ways if holds(way, call)]
                    assert bool(terms) is answer, (asker, call, one.ways)


def holds(way: Sequence[str], call: Call) -> bool:
    said = set(map(str, call.facts))
    for one in way:
        if one == "n <= 5":
            if not any(fact.predicate == "argument" and fact.args[2] == 5 for fact in call.facts):
                return False
        elif one.startswith("not "):
            if one.removeprefix("not ") in said:
                return False
        elif one.endswith(", n)"):
            if not any(fact.predicate == "argument" for fact in call.facts):
                return False
        elif one not in said:
            return False
    return True


def check_ways(
    grounds: Grounds, asker: tuple[Entity, Entity | None], tool: Entity, one: Holder
) -> None:
    assert one.ways
    assert list(one.ways) == minimal(one.ways)
    for way in one.ways:
        assert allowed(grounds, asker, tool, given(way)), (asker, way)


@pytest.mark.parametrize("seed", range(12, 18))
def test_it_ends_when_it_is_said_to_and_not_a_second_before(seed: int) -> None:
    grounds = world(seed)
    found = Holders(grounds).who_can("call", RUN, [], NOW)
    for asker in askers():
        one = holder_of(found, asker)
        if one is None:
            continue
        way = given(one.ways[0]) if one.ways else ()
        last = NOW + 100 if one.until is None else one.until - 1
        assert allowed(grounds, asker, RUN, way, last)
        if one.until is not None and one.access is Access.ALWAYS:
            every = [allowed(grounds, asker, RUN, c.facts, one.until) for c in calls(asker[0], RUN)]
            assert not all(every)


def test_the_proof_names_rules_that_are_written_and_facts_that_are_stored() -> None:
    grounds = Grounds(
        bundle(),
        FactSet.of(
            "grant",
            [
                Fact("has_role", (CLIENTS[0], "caller", SERVER)),
                Fact("has_relation", (RUN, "server", SERVER)),
                Fact("amount_limit", (RUN, 5)),
            ],
        ),
    )

    (one,) = Holders(grounds).who_can("call", RUN, [], NOW)

    assert (one.access, one.until) == (Access.SOMETIMES, None)
    assert [proof.goal.claim.predicate for proof in one.proofs] == ["allow", "allow"]
    assert all(rule.startswith("p.polar:") for proof in one.proofs for rule in proof.rules)


def test_a_rule_about_everybody_names_everybody_else_too() -> None:
    text = 'actor Client {} resource Server { permissions = ["connect"]; }\n'
    text += 'allow(c: Client, "connect", s: Server) if acts_alone(c) and s = Server{"up"};'
    grounds = Grounds(load({"p.polar": text}, tested=False), FactSet())

    found = Holders(grounds).who_can("connect", SERVER, [Entity("Client", "ci")], NOW)

    assert [one.actor for one in found] == [Entity("Client", "ci"), Other("Client")]
    assert Holders(grounds).who_can("connect", Entity("Server", "x"), [], NOW) == []
