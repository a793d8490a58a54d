"""What requests about grants say, and how facts are read as grants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from policies.model import Entity, Fact
from policies.polar.program import Program
from proxy.admin.identities import Why
from proxy.admin.routes import Input
from proxy.admin.wording import (
    ACTOR_FORM,
    LAST_SECOND,
    MATCHING,
    RESOURCE_FORM,
    actor_of,
    moment_of,
    resource_of,
    seconds_of,
    spelt,
    written,
)
from storage.history import Life, Wanted

EVERYWHERE: Final = "everywhere"
"""What a role is held on that is held on no resource."""

PREDICATES: Final = ("has_role", "has_role_matching", "lease")

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_LEAST_SECOND: Final = 10**9
"""Below it a number is a version of the facts, from it on a Unix second: that of 2001-09-09."""


@dataclass(frozen=True, slots=True)
class Context:
    """What grants are validated on: the policy of this moment, and the Unix second."""

    program: Callable[[], Program]
    now: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Point:
    """A moment, in Unix seconds, or a version of the facts; the other is None."""

    moment: int | None
    version: int | None


def point_of(text: str) -> Point:
    """Return the point that a time, a Unix second or a version of the facts means.

    Raises `ValueError` with a sentence.
    """
    if not (text.isascii() and text.isdigit()):
        return Point(moment_of(text), None)
    number = int(text) if len(text) < len(str(2**63)) else 2**63
    if number > LAST_SECOND:
        raise ValueError("Write a second or a version that there is.")
    return Point(None, number) if number < _LEAST_SECOND else Point(number, None)


def _checked(reads: Callable[[str], object]) -> AfterValidator:
    """Return what passes on a text that *reads* can read."""

    def check(text: str) -> str:
        reads(text)
        return text

    return AfterValidator(check)


def _asked_for(text: str) -> object:
    return text if text == EVERYWHERE else resource_of(text)


_Actor = Annotated[str, _checked(actor_of), spelt(ACTOR_FORM)]
_Resource = Annotated[str, _checked(resource_of), spelt(RESOURCE_FORM)]
_Role = Annotated[str, Field(min_length=1, max_length=128)]


class Ended(Why):
    """A grant by its words."""

    actor: _Actor
    role: _Role
    resource: _Resource

    def fact(self, until: int | None = None) -> Fact:
        """Return what states it: for ever, or up to the Unix second *until*."""
        actor, target = actor_of(self.actor), resource_of(self.resource)
        if until is not None:
            return Fact("lease", (actor, self.role, target, until))
        name = "has_role_matching" if isinstance(target, str) else "has_role"
        return Fact(name, (actor, self.role, target))


class Grant(Ended):
    """A grant to be made. `until` is when it ends, or how long it lasts. Validated on `Context`."""

    until: str | None = Field(None, max_length=64)

    @field_validator("role")
    @classmethod
    def _is_known(cls, value: str, info: ValidationInfo) -> str:
        types = _context(info).program().types
        known = {role for type_ in types.blocks if type_ for role in types.roles(type_)}
        if value not in known:
            raise ValueError(f"The policy knows these roles: {', '.join(sorted(known)) or 'none'}.")
        return value

    @field_validator("until")
    @classmethod
    def _ends(cls, value: str | None, info: ValidationInfo) -> str | None:
        now = _context(info).now()
        if value is not None and not now < end_of(value, now) <= LAST_SECOND:
            raise ValueError("A lease ends in the future, and before the year 10000.")
        return value


class Wish(Input):
    """Which grants to list. `as_of` is a time, a Unix second, or a version of the facts."""

    actor: _Actor | None = None
    role: _Role | None = None
    resource: (
        Annotated[str, _checked(_asked_for), spelt(f"({EVERYWHERE}|{RESOURCE_FORM})")] | None
    ) = None
    as_of: Annotated[str, _checked(point_of)] | None = None
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: int = Field(0, ge=0, lt=2**63)

    def wanted(self) -> Wanted:
        values: list[str | Entity] = []
        if self.actor is not None:
            values.append(actor_of(self.actor))
        if self.role is not None:
            values.append(self.role)
        if self.resource not in {None, EVERYWHERE}:
            values.append(resource_of(str(self.resource)))
        return Wanted(PREDICATES, tuple(values), self._admits)

    def _admits(self, fact: Fact) -> bool:
        words = words_of(fact)
        return all(
            asked in {None, words[name]}
            for name, asked in (
                ("actor", self.actor),
                ("role", self.role),
                ("resource", self.resource),
            )
        )


def end_of(text: str, now: float) -> int:
    """Return the Unix second that a time, or how long from *now* on, means.

    Raises `ValueError` with a sentence.
    """
    seconds = seconds_of(text)
    return moment_of(text) if seconds is None else int(now) + seconds


def words_of(fact: Fact) -> dict[str, Any]:
    """Return a grant as requests, records and answers write it."""
    actor, role, *rest = fact.args
    target = rest[0] if rest else None
    if isinstance(target, Entity):
        resource = written(target)
    else:
        resource = EVERYWHERE if target is None else f"{MATCHING}:{target}"
    return {
        "actor": written(actor) if isinstance(actor, Entity) else str(actor),
        "role": role,
        "resource": resource,
        "until": rest[1] if len(rest) > 1 else None,
    }


def document_of(life: Life) -> dict[str, Any]:
    return {
        "id": str(life.id),
        **words_of(life.fact),
        "origin": life.origin,
        "version": life.added_version,
        "added_at": int(life.added_at),
        "added_by": life.added_by,
        "why": life.added_why,
    }


def _context(info: ValidationInfo) -> Context:
    if not isinstance(info.context, Context):
        raise TypeError("A grant is validated on a context.")
    return info.context
