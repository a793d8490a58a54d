"""The same workload for cedarpy, in the form that its documentation recommends for speed.

Policies and entities are parsed once and kept as handles; entities are named by dicts, which cost
about half of what names in Cedar syntax cost. A role on a resource is a group entity: its holders
are below it, roles on a server are below the same roles on the server's tools, callers are below
viewers, so `in` is one look-up in an ancestor set that is computed when the entities are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cedarpy

from bench.workload import ARGUMENT, Question, Tenant
from policies.model import Entity

POLICY = """\
permit(principal is Client, action == Action::"connect", resource is Server)
  when { principal in resource.viewers };

permit(principal is Client, action == Action::"list", resource is Tool)
  when { principal in resource.viewers };

permit(principal is Client, action == Action::"call", resource is Tool)
  when {
    principal in resource.callers && !resource.quarantined &&
    (!(context has amount) || (resource has most && context.amount <= resource.most))
  };

forbid(principal, action, resource)
  when { principal.suspended || resource.disabled };
"""

Request = dict[str, Any]

_ROLES = ("caller", "viewer")


class Cedar:
    """Cedar with the entities of some tenants."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._policies = cedarpy.PolicySet.from_str(POLICY)
        self._entities = cedarpy.Entities.from_json_str(entities_text(tenants))

    def decide(self, request: Request) -> bool:
        return self.answer(request).allowed

    def answer(self, request: Request) -> cedarpy.AuthzResult:
        return cedarpy.is_authorized(request, self._policies, self._entities)

    def decide_with_reasons(self, request: Request) -> tuple[bool, list[str]]:
        """Return the answer and the ids of the policies it rests on."""
        result = self.answer(request)
        return result.allowed, result.diagnostics.reasons

    def select(self, requests: Sequence[Request]) -> list[bool]:
        """Return the answers of all *requests*, asked in one call."""
        answers = cedarpy.is_authorized_batch(list(requests), self._policies, self._entities)
        return [answer.allowed for answer in answers]


def request_of(question: Question) -> Request:
    """Return what Cedar is asked, all of it made beforehand."""
    return request_with(question, json.dumps(arguments_of(question)))


def request_with(question: Question, context: str | dict[str, int]) -> Request:
    """Return what Cedar is asked with *context*: JSON, or a dict that cedarpy makes into JSON."""
    return {
        "principal": _uid(question.actor),
        "action": {"type": "Action", "id": question.action},
        "resource": _uid(question.resource),
        "context": context,
    }


def request_in_text(question: Question) -> Request:
    """Return what Cedar is asked, with names in Cedar syntax, as most examples have them."""
    return {
        "principal": f'{question.actor.type}::"{question.actor.id}"',
        "action": f'Action::"{question.action}"',
        "resource": f'{question.resource.type}::"{question.resource.id}"',
        "context": json.dumps(arguments_of(question)),
    }


def arguments_of(question: Question) -> dict[str, int]:
    return {} if question.amount is None else {ARGUMENT: question.amount}


def entities_text(tenants: Iterable[Tenant]) -> str:
    """Return the entities of *tenants* as the JSON that Cedar loads."""
    return json.dumps([entity for one in tenants for entity in _entities(one)])


def _entities(one: Tenant) -> Iterator[Request]:
    held: dict[Entity, list[Entity]] = {}
    for grant in one.grants:
        held.setdefault(grant.actor, []).append(_role(grant.role, grant.resource))
    tools: dict[Entity, list[Entity]] = {}
    for tool, server in one.servers.items():
        tools.setdefault(server, []).append(tool)
    for client, team in one.teams.items():
        attributes = {"suspended": client in one.suspended}
        yield _entity(client, attributes, [team, *held.get(client, ())])
    for team in sorted(set(one.teams.values())):
        yield _entity(team, {}, held.get(team, ()))
    for server, below in tools.items():
        yield _entity(server, _roles_of(server) | {"disabled": server in one.disabled})
        yield from _role_entities(server, below)
    for tool in one.servers:
        yield _entity(tool, _tool_attributes(one, tool))
        yield from _role_entities(tool, ())


def _tool_attributes(one: Tenant, tool: Entity) -> Request:
    attributes = _roles_of(tool)
    attributes["disabled"] = tool in one.disabled
    attributes["quarantined"] = tool in one.quarantined
    if tool in one.most:
        attributes["most"] = one.most[tool]
    return attributes


def _role_entities(resource: Entity, parts: Sequence[Entity]) -> Iterator[Request]:
    """Yield the roles on *resource*, each below the same role on each of its *parts*."""
    for role in _ROLES:
        above = [_role(role, part) for part in parts]
        if role == "caller":
            above.append(_role("viewer", resource))
        yield _entity(_role(role, resource), {}, above)


def _roles_of(resource: Entity) -> Request:
    return {f"{role}s": {"__entity": _uid(_role(role, resource))} for role in _ROLES}


def _role(role: str, resource: Entity) -> Entity:
    return Entity("Role", f"{resource.id}/{role}")


def _entity(entity: Entity, attributes: Request, parents: Iterable[Entity] = ()) -> Request:
    return {"uid": _uid(entity), "attrs": attributes, "parents": [_uid(one) for one in parents]}


def _uid(entity: Entity) -> dict[str, str]:
    return {"type": entity.type, "id": entity.id}
