"""A small world whose calls are decided and recorded as by the gateway, and asked again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from policies.bundle import Bundle, load
from policies.comparing import Replay
from policies.demands import Demands
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.matching import matches
from policies.model import Decision, Entity, Fact, Reason, Verdict
from policies.recast import Recorder
from policies.replay import Bench, Judge
from policies.supplied import Caller, caller_facts
from proxy.audit import Arguments, Audit, Redaction, Subject
from proxy.identity.principal import ActorType, Principal
from storage.journal import Journal, Kind, Record, read
from tests.storage.disks import QuickFiles

POLICY: Final = """
actor Client {}
actor User {}
resource Server {
  roles = ["caller"];
  permissions = ["connect"];
  "connect" if "caller";
}
resource Tool {
  roles = ["caller"];
  permissions = ["call"];
  relations = { server: Server };
  role if role on "server";
}
declare lease(Client, String, Server, Integer);
declare allowed_host(Tool, String);
declare is_suspended(Client);
allow(c: Client, action: String, r: Resource) if
  acts_alone(c) and has_permission(c, action, r) and not is_suspended(c);
has_role(c: Client, "caller", s: Server) if
  lease(c, "caller", s, until) and @current_unix_time < until;
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and argument(t, "mode", "read");
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and argument_under(t, "path", "/srv");
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and allowed_host(t, h) and argument_host(t, "url", h);
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and id_matches(t, "*__safe") and not argument_present(t, "force");
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and claim(c, "scope", "all") and source_address(c, "10.0.0.0/8");
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and weekday("UTC", 1);
"""
MONDAY: Final = 1_767_571_200
"""The first second of a Monday, UTC."""

KEY: Final = bytes(32)
CLIENTS: Final = [Entity("Client", name) for name in ("ci", "bot", "ops")]
SERVERS: Final = [Entity("Server", name) for name in ("web", "db")]
TOOLS: Final = [
    Entity("Tool", f"{server.id}__{name}") for server in SERVERS for name in ("safe", "run")
]
_ARGUMENTS: Final[Mapping[str, Sequence[object]]] = {
    "mode": ["read", "write", "other", ["read", "read"], 5],
    "path": ["/srv/a", "/etc/passwd", "../x", 3],
    "url": ["https://a.example/x", "https://b.example/", "nonsense"],
    "force": [True, None],
    "limit": [5, 50, "many"],
}


def bundle(text: str) -> Bundle:
    return load({"p.polar": text}, tested=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the gateway had it before it, none of it redacted."""

    principal: Principal
    address: str
    tool: Entity
    arguments: Mapping[str, Any]
    now: int
    version: int

    @property
    def server(self) -> Entity:
        return Entity("Server", self.tool.id.partition("__")[0])


@dataclass(frozen=True, slots=True)
class World:
    """The facts of each version, and what was asked."""

    facts: Sequence[FactSet]
    asked: Sequence[Asked]

    def grounds(self, chosen: Bundle, version: int) -> Grounds:
        """Return what the gateway would decide by: the registry states what the globs match."""
        found = Grounds(chosen, self.facts[version])
        stated = [fact for one in (*SERVERS, *TOOLS) for fact in matches(one, found.globs)]
        changed = found.facts.changed("registry", add=stated)
        return found.with_facts(changed.numbered(version))


def world(seed: int, calls: int, versions: int = 12) -> World:
    chance = random.Random(seed)
    facts = FactSet.of(
        "registry", [Fact("has_relation", (tool, "server", _server(tool))) for tool in TOOLS]
    ).changed("test", add=[Fact("has_role", (one, "caller", SERVERS[0])) for one in CLIENTS])
    found = [facts.numbered(0)]
    for version in range(1, versions):
        change = _fact(chance)
        held = bool(found[-1].origins(change))
        facts = found[-1].changed("test", **{"remove" if held else "add": [change]})
        found.append(facts.numbered(version))
    asked = [_asked(chance, number * versions // calls) for number in range(calls)]
    return World(found, asked)


def _server(tool: Entity) -> Entity:
    return Entity("Server", tool.id.partition("__")[0])


def _fact(chance: random.Random) -> Fact:
    client, server, tool = (chance.choice(some) for some in (CLIENTS, SERVERS, TOOLS))
    until = MONDAY + chance.choice([0, 40_000, 200_000])
    return chance.choice(
        [
            Fact("has_role", (client, "caller", server)),
            Fact("has_role", (client, "caller", server)),
            Fact("lease", (client, "caller", server, until)),
            Fact("allowed_host", (tool, "a.example")),
            Fact("is_suspended", (client,)),
        ]
    )


def _asked(chance: random.Random, version: int) -> Asked:
    client = chance.choice(CLIENTS)
    arguments = {
        key: chance.choice(values) for key, values in _ARGUMENTS.items() if chance.random() < 0.4
    }
    return Asked(
        Principal(
            type=ActorType.CLIENT,
            id=client.id,
            issuer="http://gate",
            subject=f"client:{client.id}",
            client_id=client.id,
            token_id="t",  # noqa: S106  of no use to anybody
            expires_at=2**40,
            audience="http://gate",
            scope=frozenset(chance.sample(["all", "some", "none"], 1)),
            acts_for="ann" if chance.random() < 0.05 else None,
        ),
        chance.choice(["10.1.2.3", "192.0.2.1"]),
        chance.choice(TOOLS),
        arguments,
        MONDAY + chance.choice([0, 40_000, 40_001, 90_000, 300_000]),
        version,
    )


@dataclass(frozen=True, slots=True)
class Decided:
    """What a policy says of a call, and what the record of it is made of."""

    subject: Subject
    decision: Decision


def decided(asked: Asked, grounds: Grounds) -> Decided:
    """Decide *asked* with everything that is known of it, as a gateway does."""
    principal, named = asked.principal, grounds.demands.named
    caller = Caller(principal.actor, principal.acts_for, principal.claims, asked.address)
    facts = tuple(caller_facts(named, caller, asked.now))
    policy, version = grounds.bundle.version, grounds.facts.version
    ruling = _ruling(grounds, asked, "connect", asked.server, facts)
    common = (principal, asked.server.id, "tools/call")
    if not ruling:
        subject = Subject(*common, "connect", asked.server, asked.now, facts)
        denied = Decision(Verdict.DENY, Reason.NOT_VISIBLE, policy, version)
        return Decided(subject, denied)
    tests = grounds.call_tests(asked.tool)
    outcomes = tests.outcomes(asked.tool, asked.arguments)
    ruling = _ruling(grounds, asked, "call", asked.tool, (*facts, *tests.wanted(outcomes)))
    subject = Subject(
        *common, "call", asked.tool, asked.now, facts, tests, tuple(outcomes), asked.arguments
    )
    if ruling:
        return Decided(
            subject, Decision(Verdict.ALLOW, Reason.GRANTED, policy, version, ruling.rules)
        )
    return Decided(subject, Decision(Verdict.DENY, Reason.NO_RULE, policy, version))


def _ruling(
    grounds: Grounds, asked: Asked, action: str, resource: Entity, facts: tuple[Fact, ...]
) -> Any:  # noqa: ANN401  a ruling of the engine
    own = grounds.engine.overlay([(fact, "call") for fact in facts], only_useful=True)
    return grounds.engine.decide(asked.principal.actor, action, resource, own, asked.now)


def journalled(
    directory: Path, some: Sequence[Decided], words: frozenset[str], keep: Arguments
) -> list[Record]:
    """Write *some* into a journal as a gateway does, and return the records."""

    async def write() -> None:
        files = QuickFiles()
        async with await Journal.open(directory, "node", 0, files=files) as journal:
            audit = Audit(journal, Redaction(KEY, keep), lambda _: None)
            for start in range(0, len(some), 64):
                await asyncio.gather(
                    *(
                        audit.decided(one.subject, one.decision, words)
                        for one in some[start : start + 64]
                    )
                )

    asyncio.run(write())
    return [record for record in read(directory) if record.kind is Kind.DECISION]


def replaying(world_: World, before: Bundle, after: Bundle, *, reveals: bool) -> Replay:
    """Return what compares the records of *before* with *after*, with or without the key."""
    named = Demands.of(before.program).named
    recorder = Recorder(lambda _: named, lambda _: before.program.words, reveals)
    revealed: dict[str, str] = {}
    if reveals:
        redaction = Redaction(KEY, "facts")
        words = {*before.program.words, *after.program.words, "a.example"}
        revealed = {redaction.digest(word.encode()): word for word in words}
    judges = {one.version: Judge(Grounds(one, FactSet()), recorder) for one in (before, after)}
    # The facts of a past are those that the globs of its own policy matched.
    benches: dict[tuple[str, int], Bench] = {}

    def bench(policy: str, version: int) -> Bench:
        if (policy, version) not in benches:
            facts = world_.grounds(before, version).facts
            judge = judges[policy]
            benches[policy, version] = judge.over(judge.grounds.with_facts(facts))
        return benches[policy, version]

    return Replay(
        judges[after.version],
        lambda version: bench(after.version, version),
        bench,
        revealed,
    )
