"""Decisions as records tell them, read back into the question that was asked and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from policies.model import Entity, Fact, Reason, Value, Verdict

HIDDEN: Final = "\0digest:"
"""What text begins with of which only a digest was recorded. No fact that is kept has a NUL."""

UNJUDGED: Final = frozenset({Reason.MALFORMED, Reason.RATE_LIMITED, Reason.UNKNOWN_METHOD})
"""Reasons for which calls are refused without asking the policy."""


class UnreadableError(Exception):
    """A record that is no decision as this release knows them. The text says what is amiss."""


class Silent(NamedTuple):
    """An argument test that gave neither its fact nor the opposite."""

    predicate: str
    key: str
    pattern: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision of the past.

    `claims` are those that every record tells. `facts` held for the question alone, and `silent`
    are the tests of its arguments that said nothing. `has_arguments` tells whether arguments were
    tested at all, and `arguments` are these where they were kept whole. Text of which there is a
    digest alone begins with `HIDDEN`. A denial that was not `enforced` was done all the same.
    """

    actor: Entity
    acts_for: str | None
    claims: tuple[tuple[str, str], ...]
    server: str
    action: str
    resource: Entity
    facts: tuple[Fact, ...]
    silent: frozenset[Silent]
    has_arguments: bool
    arguments: Mapping[str, Any] | None
    policy: str
    fact_version: int
    now: int
    verdict: Verdict
    reason: Reason
    rules: tuple[str, ...]
    enforced: bool = True

    @property
    def is_judged(self) -> bool:
        """Whether a policy answered the question with yes or no."""
        return self.verdict is not Verdict.UNDECIDED and self.reason not in UNJUDGED

    @property
    def is_nameable(self) -> bool:
        """Whether a policy can speak of `resource`: a name that it cannot is told after a space."""
        return not self.resource.id.startswith(f"{self.server} ")

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW


def recorded(payload: Mapping[str, Any], revealed: Mapping[str, str] | None = None) -> Recorded:
    """Return the decision that *payload* of a record tells.

    *revealed* is text by its digest. Raise `UnreadableError`.
    """
    try:
        return _recorded(payload, revealed or {})
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error


def is_hidden(fact: Fact) -> bool:
    """Tell whether some text of *fact* is known by its digest alone."""
    return any(isinstance(arg, str) and arg.startswith(HIDDEN) for arg in fact.args)


def _recorded(payload: Mapping[str, Any], revealed: Mapping[str, str]) -> Recorded:
    principal, arguments = payload["principal"], payload.get("arguments")
    if not isinstance(arguments, dict | None) or not isinstance(payload["now"], int):
        raise TypeError("arguments are no object, or now is no number")
    return Recorded(
        actor=_entity(principal),
        acts_for=principal["acts_for"],
        claims=(
            ("iss", principal["issuer"]),
            ("client_id", principal["client"]),
            ("jti", principal["token_id"]),
        ),
        server=payload["server"],
        action=payload["action"],
        resource=_entity(payload["resource"]),
        facts=tuple(_fact(row, revealed) for row in payload["facts"]),
        silent=frozenset(Silent(*row) for row in payload.get("silent_tests", ())),
        has_arguments="args_digest" in payload,
        arguments=arguments,
        policy=payload["policy"],
        fact_version=int(payload["fact_version"]),
        now=payload["now"],
        verdict=Verdict(payload["verdict"]),
        reason=Reason(payload["reason"]),
        rules=tuple(payload["rules"]),
        enforced=payload.get("enforced") is not False,
    )


def _entity(document: Mapping[str, Any]) -> Entity:
    return Entity(document["type"], document["id"])


def _fact(row: list[Any], revealed: Mapping[str, str]) -> Fact:
    predicate, *args = row
    return Fact(predicate, tuple(_value(arg, revealed) for arg in args))


def _value(value: Any, revealed: Mapping[str, str]) -> Value:  # noqa: ANN401  any JSON
    match value:
        case {"type": str(type_), "id": str(id_)}:
            return Entity(type_, id_)
        case {"digest": str(digest)}:
            return revealed.get(digest) or HIDDEN + digest
        case bool() | int() | str():
            return value
    raise ValueError("a fact with a value that none can hold")
