"""A narrower set of grants denies nothing that was seen: its promise, kept by deciding anew."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from policies.bundle import Bundle, load, read_sources
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.idle import rules_used
from policies.model import Entity, Fact, Verdict
from policies.narrowing import GRANTS, Narrowing, Proposal, Seen
from policies.recast import Recorder
from policies.replay import Bench, Judge
from policies.usage import Usage

RULES: Final = Path(__file__).parents[2] / "policies" / "rules"
NOW: Final = 1_000
CLIENTS: Final = [Entity("Client", name) for name in ("a", "b", "c", "d")]
TEAM: Final = Entity("Team", "ops")
SET: Final = Entity("Toolset", "triage")
SERVERS: Final = [Entity("Server", name) for name in ("up", "pay")]
TOOLS: Final = [
    Entity("Tool", f"{server.id}__{name}") for server in SERVERS for name in ("get", "put", "run")
]
GLOBS: Final = ("up__*", "*__get")


@cache
def shipped() -> Bundle:
    return load(read_sources([RULES]), tested=False)


def registered() -> list[Fact]:
    found = [Fact("has_relation", (tool, "server", server_of(tool))) for tool in TOOLS]
    found += [Fact("definition_state", (tool, "approved")) for tool in TOOLS]
    found += [Fact("has_relation", (tool, "toolset", SET)) for tool in TOOLS[1:4]]
    found += [Fact("id_matches", (tool, "up__*")) for tool in TOOLS[:3]]
    found += [Fact("id_matches", (tool, "*__get")) for tool in (TOOLS[0], TOOLS[3])]
    return found


def server_of(tool: Entity) -> Entity:
    return Entity("Server", tool.id.partition("__")[0])


@dataclass(frozen=True)
class World:
    """Grants, and calls that were made while they stood."""

    bundle: Bundle
    stated: tuple[Fact, ...]
    calls: tuple[tuple[Entity, str, Entity], ...]
    more: tuple[Fact, ...] = ()

    def bench(self, stated: Iterable[Fact] | None = None) -> Bench:
        facts = FactSet.of("registry", [*registered(), *self.more])
        facts = facts.changed("grant", add=self.stated if stated is None else stated)
        grounds = Grounds(self.bundle, facts.numbered(1))
        recorder = Recorder(
            lambda _: grounds.demands.named, lambda _: self.bundle.program.words, reveals=True
        )
        return Judge(grounds, recorder).over(grounds)

    def payloads(self) -> list[dict[str, Any]]:
        bench = self.bench()
        return [record(self.bundle, call, answered=allowed(bench, call)) for call in self.calls]

    def proposal(self, fixed: Sequence[Fact] = ()) -> Proposal:
        bench = self.bench()
        seen = Seen(bench, {})
        for payload in self.payloads():
            seen.add(payload)
        return Narrowing(bench, seen.questions, self.stated, NOW, fixed).propose()

    def narrowed(self, proposal: Proposal) -> list[Fact]:
        gone = {fact for piece in proposal.pieces for fact in piece.remove}
        new = [fact for piece in proposal.pieces for fact in piece.add]
        return [*(fact for fact in self.stated if fact not in gone), *new]


def allowed(bench: Bench, call: tuple[Entity, str, Entity]) -> bool:
    actor, action, resource = call
    server = resource if resource.type == "Server" else server_of(resource)
    own = bench.grounds.engine.overlay([(Fact("acts_alone", (actor,)), "call")])
    decide = bench.grounds.engine.decide
    return all(
        decide(actor, one, what, own, NOW).allowed
        for one, what in (("connect", server), (action, resource))
    )


def record(bundle: Bundle, call: tuple[Entity, str, Entity], *, answered: bool) -> dict[str, Any]:
    actor, action, resource = call
    server = resource if resource.type == "Server" else server_of(resource)
    who = {"type": "Client", "id": actor.id, "acts_for": None}
    return {
        "principal": who | {"issuer": "i", "client": actor.id, "token_id": "t"},
        "server": server.id,
        "action": action,
        "resource": {"type": resource.type, "id": resource.id},
        "facts": [],
        "policy": bundle.version,
        "fact_version": 1,
        "now": NOW,
        "verdict": "allow" if answered else "deny",
        "reason": "granted" if answered else "no_rule",
        "rules": [],
    }


def world(seed: int) -> World:
    chance = random.Random(seed)
    actors = (*CLIENTS, TEAM)
    maybe = [
        *(Fact("has_role", (who, role, what)) for who in actors for role in ("caller", "viewer")
          for what in (*SERVERS, SET, *TOOLS[:2])),
        *(Fact("has_role_matching", (who, "caller", glob)) for who in actors for glob in GLOBS),
        *(Fact("lease", (who, "caller", what, NOW + 9)) for who in actors for what in SERVERS),
        *(Fact("has_relation", (who, "team", TEAM)) for who in CLIENTS),
    ]  # fmt: skip
    stated = tuple(fact for fact in maybe if chance.random() < 0.25)
    possible = [(who, "call", tool) for who in CLIENTS for tool in TOOLS]
    possible += [(who, "connect", server) for who in CLIENTS for server in SERVERS]
    return World(shipped(), stated, tuple(chance.choices(possible, k=8)))


@pytest.mark.parametrize("seed", range(20))
def test_all_that_was_allowed_still_is_and_nothing_more_is(seed: int) -> None:
    given = world(seed)
    proposal = given.proposal()

    before, after = given.bench(), given.bench(given.narrowed(proposal))
    every = [(who, "call", tool) for who in CLIENTS for tool in TOOLS]
    assert all(allowed(after, call) for call in given.calls if allowed(before, call))
    assert all(allowed(before, call) for call in every if allowed(after, call))
    assert (proposal.newly_denied, proposal.denied_already) == (0, 0)
    assert proposal.replayed == sum(allowed(before, call) for call in given.calls)


@pytest.mark.parametrize("seed", range(20, 26))
def test_every_grant_that_is_left_is_needed(seed: int) -> None:
    given = world(seed)
    left = given.narrowed(given.proposal())
    seen = [call for call in given.calls if allowed(given.bench(), call)]

    for fact in left:
        if fact.predicate in GRANTS:
            same = [one for one in left if one.args[:3] != fact.args[:3]]
            bench = given.bench(same)
            assert not all(allowed(bench, call) for call in seen), str(fact)


@pytest.mark.parametrize(
    ("stated", "called", "left"),
    [
        (  # a server for what was called there
            [Fact("has_role", (CLIENTS[0], "caller", SERVERS[0]))],
            [("call", TOOLS[0])],
            ['has_role(Client{"a"}, "caller", Tool{"up__get"})'],
        ),
        (  # to call, for to view
            [Fact("has_role", (CLIENTS[0], "caller", SERVERS[0]))],
            [("connect", SERVERS[0])],
            ['has_role(Client{"a"}, "viewer", Server{"up"})'],
        ),
        (  # a pattern
            [Fact("has_role_matching", (CLIENTS[0], "caller", "*__get"))],
            [("call", TOOLS[3])],
            ['has_role(Client{"a"}, "caller", Tool{"pay__get"})'],
        ),
        (  # a toolset
            [Fact("has_role", (CLIENTS[0], "caller", SET))],
            [("call", TOOLS[2])],
            ['has_role(Client{"a"}, "caller", Tool{"up__run"})'],
        ),
        (  # a lease stays one
            [Fact("lease", (CLIENTS[0], "caller", SERVERS[0], NOW + 9))],
            [("call", TOOLS[1])],
            [f'lease(Client{{"a"}}, "caller", Tool{{"up__put"}}, {NOW + 9})'],
        ),
        (  # all that a server offers is called: nothing is narrower
            [Fact("has_role", (CLIENTS[0], "caller", SERVERS[0]))],
            [("call", tool) for tool in TOOLS[:3]],
            ['has_role(Client{"a"}, "caller", Server{"up"})'],
        ),
        (  # what only a server can give keeps it
            [Fact("has_role", (CLIENTS[0], "caller", SERVERS[0]))],
            [("call", TOOLS[0]), ("sample", SERVERS[0])],
            ['has_role(Client{"a"}, "caller", Server{"up"})'],
        ),
        (  # of two that do, the narrower
            [
                Fact("has_role", (CLIENTS[0], "caller", SERVERS[0])),
                Fact("has_role", (CLIENTS[0], "caller", TOOLS[0])),
            ],
            [("call", TOOLS[0])],
            ['has_role(Client{"a"}, "caller", Tool{"up__get"})'],
        ),
    ],
)
def test_each_wide_grant_gives_way_to_what_it_was_used_for(
    stated: list[Fact], called: list[tuple[str, Entity]], left: list[str]
) -> None:
    calls = tuple((CLIENTS[0], *one) for one in called)
    given = World(shipped(), tuple(stated), calls)

    assert sorted(map(str, given.narrowed(given.proposal()))) == left


def test_what_is_fixed_stays_as_it_is() -> None:
    grant = Fact("has_role", (CLIENTS[0], "caller", SERVERS[0]))

    assert World(shipped(), (grant,), ()).proposal([grant]).pieces == ()


def test_what_would_deny_by_a_negation_is_withdrawn() -> None:
    text = """
    actor Client {}
    resource Server {
      roles = ["caller", "viewer"]; permissions = ["connect"]; "connect" if "caller";
    }
    allow(c: Client, a: String, s: Server) if
      acts_alone(c) and has_permission(c, a, s) and not is_lost(c, s);
    is_lost(c: Client, s: Server) if watched(c) and not has_role(c, "viewer", s);
    declare watched(Client);
    """
    grants = [Fact("has_role", (CLIENTS[0], role, SERVERS[0])) for role in ("caller", "viewer")]
    grants.append(Fact("has_role", (CLIENTS[1], "caller", SERVERS[0])))
    bundle = load({"p.polar": text}, portable=False, tested=False)
    call = (CLIENTS[0], "connect", SERVERS[0])
    given = World(bundle, tuple(grants), (call,), (Fact("watched", (CLIENTS[0],)),))

    proposal = given.proposal()

    # Nothing proves anything by being a viewer, and without it the client would be lost.
    assert [set(map(str, piece.remove)) for piece in proposal.pieces] == [
        {'has_role(Client{"b"}, "caller", Server{"up"})'}
    ]
    assert (proposal.withdrawn, proposal.newly_denied) == (1, 0)


def usage_of(given: World) -> Usage:
    bench = given.bench()
    usage = Usage(given.bundle.program, lambda _: bench, lambda _, __: bench, given.stated, {})
    for number, payload in enumerate(given.payloads()):
        usage.add(payload, f"{number:03}")
    return usage


def test_a_grant_in_whose_place_another_does_is_not_needed() -> None:
    wide = Fact("has_role", (CLIENTS[0], "caller", SERVERS[0]))
    narrow = Fact("has_role", (CLIENTS[0], "caller", TOOLS[0]))
    calls = tuple((CLIENTS[0], "call", tool) for tool in TOOLS[:2])

    usage = usage_of(World(shipped(), (wide, narrow), (*calls, *calls)))

    by_tool = {use.resource: use for use in usage.uses}
    assert not by_tool[TOOLS[0]].needed
    assert by_tool[TOOLS[1]].needed == {wide}
    assert [use.count for use in usage.uses] == [2, 2]
    assert by_tool[TOOLS[1]].last == "003"
    assert usage.counts == Counter({Verdict.ALLOW: 4})


def test_rules_are_used_by_allowing_or_by_standing_in_the_way() -> None:
    text = """
    actor Client {}
    resource Server { roles = ["caller"]; permissions = ["connect"]; "connect" if "caller"; }
    declare old(Client);
    declare late(Client);
    allow(c: Client, a: String, s: Server) if
      acts_alone(c) and has_permission(c, a, s) and not is_out(c);
    is_out(c: Client) if old(c);
    is_out(c: Client) if late(c);
    has_permission(c: Client, "connect", s: Server) if
      old(c) or has_role(c, "caller", s) and c in [Client{"z"}];
    """
    bundle = load({"p.polar": text}, portable=False, tested=False)
    stated = tuple(Fact("has_role", (who, "caller", SERVERS[0])) for who in CLIENTS[:2])
    calls = tuple((who, "connect", SERVERS[0]) for who in CLIENTS[:3])
    given = World(bundle, stated, calls, (Fact("old", (CLIENTS[1],)),))

    rules = {rule.span.line: rule for rule in rules_used(usage_of(given))}

    assert {line: rule.is_used for line, rule in rules.items()} == {
        3: True,
        6: True,
        8: True,
        9: False,
        10: False,
    }
    # Nobody was refused for acting for somebody.
    assert [span.column for span in rules[6].conditions] == [7]
