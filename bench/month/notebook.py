"""What was really asked, kept aside: each call as its caller made it, by the id of its decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from policies.model import Entity
from proxy.call import Call
from proxy.identity.principal import ActorType, Principal
from proxy.judgement import Judgement
from proxy.question import Question


@dataclass(frozen=True, slots=True)
class Truth:
    """One decision: who asked what, with what, from where, and whether there was such a thing.

    `arguments` are None where the question has none; `is_hidden` where the caller was told that
    there is no such thing.
    """

    id: str
    principal: Principal
    address: str
    server: str
    action: str
    resource: Entity
    arguments: Mapping[str, Any] | None
    is_there: bool
    is_hidden: bool
    is_judged: bool
    allowed: bool
    now: int
    policy: str
    version: int


class Notebook:
    """Keeps decisions in *file*; `plans` has the arguments of each call under way, by its id.

    Those of what goes on with a task are those of the call that began it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.plans: dict[object, Mapping[str, Any]] = {}
        self.count = 0

    def note(self, decision_id: str, call: Call, judgement: Judgement) -> None:
        arguments = self.plans.get(call.id)
        noted = _noted(decision_id, call, judgement, arguments)
        self._file.write(orjson.dumps(noted) + b"\n")
        self.count += 1


def _noted(
    decision_id: str, call: Call, judgement: Judgement, arguments: Mapping[str, Any] | None
) -> dict[str, Any]:
    question, decision, who = judgement.question, judgement.decision, call.principal
    resource = question.resource
    is_of_tool = resource.type == "Tool"  # or of a task, which goes on with one
    has_arguments = is_of_tool or question.arguments is not None
    return {
        "id": decision_id,
        "who": [who.type.value, who.id, who.token_id, sorted(who.scope), who.acts_for],
        "address": call.address,
        "server": call.server_name,
        "action": question.action,
        "resource": [resource.type, resource.id],
        "arguments": (arguments or {}) if has_arguments else None,
        "is_there": question.nameable and _is_there(call, question),
        "is_hidden": decision.reason.value == "not_visible",
        "is_judged": decision.reason.value not in ("malformed", "rate_limited", "unknown_method"),
        "allowed": decision.allowed,
        "now": call.now,
        "policy": decision.policy,
        "version": decision.fact_version,
    }


def _is_there(call: Call, question: Question) -> bool:
    server, type_ = call.server, question.resource.type
    if server is None:
        return False
    if type_ in ("Tool", "Prompt") or (type_, question.action) == ("Document", "complete"):
        return server.offers(type_, question.subject)
    return True


def principal(
    type_: str, name: str, token: str, scope: list[str], acts_for: str | None
) -> Principal:
    """Return who presents the token *token*."""
    kind = ActorType(type_)
    return Principal(
        type=kind,
        id=name,
        issuer="https://gate.example",
        subject=f"{kind.prefix}{name}",
        client_id=name if kind is ActorType.CLIENT else "console",
        token_id=token,
        expires_at=2**40,
        audience="https://gate.example",
        scope=frozenset(scope),
        acts_for=acts_for,
    )


def truths(path: Path) -> Iterator[Truth]:
    """Yield what was noted in the file *path*, in the order of the notes."""
    with path.open("rb") as file:
        for line in file:
            one = orjson.loads(line)
            yield Truth(**_read(one))


def _read(one: dict[str, Any]) -> dict[str, Any]:
    who, resource = one.pop("who"), one["resource"]
    return one | {"principal": principal(*who), "resource": Entity(*resource)}
