"""The workload of the policy benchmark: tenants of one size, and questions about the first.

Everything comes from a seed, so that two runs ask the same. The tenants are plain data, from which
each engine's facts or entities are made.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from policies.model import Entity, Fact

CLIENTS, TEAMS, SERVERS, TOOLS = 50, 5, 10, 200
ARGUMENT = "amount"
NOW = 1_800_000_000

RESOURCES = """\
resource Server {
  roles = ["caller", "viewer"];
  permissions = ["connect"];
  "connect" if "viewer";
  "viewer" if "caller";
}

resource Tool {
  roles = ["caller", "viewer"];
  permissions = ["call", "list"];
  relations = { server: Server };
  "caller" if "caller" on "server";
  "viewer" if "viewer" on "server";
  "viewer" if "caller";
  "call" if "caller";
  "list" if "viewer";
}
"""

POLICY = (
    """\
actor Client { relations = { team: Team }; }
actor Team {}

"""
    + RESOURCES
    + """
has_role(c: Client, role: String, r: Resource) if
  team matches Team and has_relation(c, "team", team) and has_role(team, role, r);

within_limit(t: Tool) if not argument_present(t, "amount");
within_limit(t: Tool) if
  n matches Integer and argument(t, "amount", n) and
  most matches Integer and max_argument(t, "amount", most) and n <= most;

guarded("call", t: Tool) if within_limit(t) and not is_quarantined(t);
guarded("list", _: Tool);
guarded("connect", _: Server);

allow(c: Client, action: String, r: Resource) if
  has_permission(c, action, r) and guarded(action, r) and
  not is_suspended(c) and not is_disabled(r);
"""
)


class Grant(NamedTuple):
    actor: Entity
    role: str
    resource: Entity


class Question(NamedTuple):
    actor: Entity
    action: str
    resource: Entity
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organisation. `teams` are by client, `servers` by tool, `most` is the limit by tool."""

    teams: dict[Entity, Entity]
    servers: dict[Entity, Entity]
    grants: tuple[Grant, ...]
    most: dict[Entity, int]
    quarantined: frozenset[Entity]
    disabled: frozenset[Entity]
    suspended: frozenset[Entity]

    @property
    def clients(self) -> list[Entity]:
        return list(self.teams)

    @property
    def tools(self) -> list[Entity]:
        return list(self.servers)


def tenant(number: int) -> Tenant:
    """Return tenant *number*; all have the same size, and no two share an entity."""
    rng = random.Random(number)
    mark = f"t{number}."
    clients = [Entity("Client", f"{mark}agent-{n}") for n in range(CLIENTS)]
    teams = [Entity("Team", f"{mark}team-{n}") for n in range(TEAMS)]
    servers = [Entity("Server", f"{mark}server-{n}") for n in range(SERVERS)]
    share = TOOLS // SERVERS
    owners = {
        Entity("Tool", f"{servers[n // share].id}__tool-{n}"): n // share for n in range(TOOLS)
    }
    tools = list(owners)
    return Tenant(
        teams={client: rng.choice(teams) for client in clients},
        servers={tool: servers[place] for tool, place in owners.items()},
        grants=tuple(dict.fromkeys(_grants(rng, clients, teams, servers, tools))),
        most={tool: rng.randrange(50, 150) for tool in rng.sample(tools, TOOLS * 9 // 10)},
        quarantined=frozenset(rng.sample(tools, TOOLS // 15)),
        disabled=frozenset(rng.sample(tools, TOOLS // 20)),
        suspended=frozenset(rng.sample(clients, CLIENTS // 25)),
    )


def _grants(
    rng: random.Random,
    clients: list[Entity],
    teams: list[Entity],
    servers: list[Entity],
    tools: list[Entity],
) -> Iterator[Grant]:
    for team in teams:
        yield from (Grant(team, "caller", server) for server in rng.sample(servers, 4))
        yield Grant(team, "viewer", rng.choice(servers))
    for client in clients:
        yield Grant(client, "caller", rng.choice(servers))
        yield Grant(client, "viewer", rng.choice(servers))
        yield from (Grant(client, "caller", tool) for tool in rng.sample(tools, 2))


def facts_of(one: Tenant) -> Iterator[Fact]:
    """Yield what *one* looks like to a policy."""
    for tool, server in one.servers.items():
        yield Fact("has_relation", (tool, "server", server))
    for client, team in one.teams.items():
        yield Fact("has_relation", (client, "team", team))
    for grant in one.grants:
        yield Fact("has_role", tuple(grant))
    for tool, most in one.most.items():
        yield Fact("max_argument", (tool, ARGUMENT, most))
    for name in ("quarantined", "disabled", "suspended"):
        yield from (Fact(f"is_{name}", (entity,)) for entity in sorted(getattr(one, name)))


def tenants_beside(facts: int) -> Iterator[Tenant]:
    """Yield other tenants, as many as it takes to have that many *facts*."""
    number = 1
    while facts > 0:
        other = tenant(number)
        yield other
        facts -= sum(1 for _ in facts_of(other))
        number += 1


def facts_beside(count: int) -> list[Fact]:
    """Return *count* facts of other tenants."""
    return list(islice(chain.from_iterable(map(facts_of, tenants_beside(count))), count))


def questions(one: Tenant, count: int) -> list[Question]:
    """Return *count* questions: half calls, of which most carry an argument."""
    rng = random.Random(count)
    tools, servers = one.tools, sorted(set(one.servers.values()))
    return [_question(rng, rng.choice(one.clients), tools, servers) for _ in range(count)]


def _question(
    rng: random.Random, client: Entity, tools: list[Entity], servers: list[Entity]
) -> Question:
    kind = rng.random()
    if kind < 0.1:  # noqa: PLR2004  one question in ten
        return Question(client, "connect", rng.choice(servers))
    tool = rng.choice(tools)
    if kind < 0.5:  # noqa: PLR2004  four in ten
        return Question(client, "list", tool)
    amount = rng.randrange(1, 120) if rng.random() < 0.8 else None  # noqa: PLR2004
    return Question(client, "call", tool, amount)


def argument_facts(question: Question) -> Iterable[tuple[Fact, str]]:
    """Return what the gateway states about the arguments of the call that *question* is about."""
    if question.amount is None:
        return ()
    tool = question.resource
    return (
        (Fact("argument_present", (tool, ARGUMENT)), "call"),
        (Fact("argument", (tool, ARGUMENT, question.amount)), "call"),
    )
