"""Grants: who may use what, on what terms, and who could at any moment that ever was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from policies.model import Entity, Fact
from policies.polar.program import Program
from policies.polar.schema import FactError
from policies.polar.tables import EMPTY
from policies.polar.values import fact as fact_of
from proxy.admin.amending import Amendments, Stated
from proxy.admin.errors import InvalidError, UnknownGrantError, WrittenInPolicyError
from proxy.admin.grant_terms import (
    PREDICATES,
    Context,
    Ended,
    Grant,
    Wish,
    document_of,
    end_of,
    point_of,
    words_of,
)
from proxy.admin.identities import MANAGE_GRANTS, Why, author_of
from proxy.admin.outputs import EndedGrants, GrantsPage, MadeGrant
from proxy.admin.routes import Route, Visit
from proxy.listener.answers import Answer
from storage.errors import FactVersionError
from storage.history import FactHistory, Wanted

GRANT: Final = "grant"
"""The origin of what is granted by itself."""

_ON_RESOURCE: Final = 3
"""Arguments at least of a grant that is on a resource."""

_LONGEST_ID: Final = 18

_EXAMPLE: Final = {
    "actor": "client:ci",
    "role": "caller",
    "resource": "server:github",
    "until": "8h",
    "why": "on call tonight",
}


class Grants:
    """The grants. *now* tells the Unix second."""

    def __init__(
        self, amendments: Amendments, history: FactHistory, now: Callable[[], float]
    ) -> None:
        self._amendments = amendments
        self._history = history
        self._now = now

    def routes(self) -> tuple[Route[Any], ...]:
        path, action = "/api/v0/grants", MANAGE_GRANTS
        context = Context(self._program, self._now)
        fails = (UnknownGrantError, WrittenInPolicyError)
        return (
            Route(
                "GET",
                path,
                action,
                Wish,
                self.listed,
                summary="List grants, as they are or were",
                gives=GrantsPage,
            ),
            Route(
                "POST",
                path,
                action,
                Grant,
                self.grant,
                context,
                summary="Make a grant, or a lease",
                example=_EXAMPLE,
                status=201,
                gives=MadeGrant,
                also={200: MadeGrant},
            ),
            Route(
                "DELETE",
                path,
                action,
                Ended,
                self.end,
                summary="End a grant by its words, and its leases",
                example={name: _EXAMPLE[name] for name in ("actor", "role", "resource")},
                gives=EndedGrants,
                fails=fails,
            ),
            Route(
                "DELETE",
                f"{path}/{{grant_id}}",
                action,
                Why,
                self.end_one,
                summary="End a grant by its id",
                gives=EndedGrants,
                fails=fails,
            ),
        )

    async def listed(self, visit: Visit, wish: Wish) -> Answer:
        del visit
        version = await self._version(wish)
        try:
            found = await self._history.lives(
                wish.wanted(), version=version, limit=wish.limit + 1, after=wish.after
            )
        except FactVersionError as error:
            problem = {"field": "as_of", "problem": error.public}
            raise InvalidError(problems=[problem]) from None
        shown = found[: wish.limit]
        document = {
            "grants": [document_of(one) for one in shown],
            "version": self._amendments.facts.version if version is None else version,
            "next": str(shown[-1].id) if len(found) > len(shown) else None,
        }
        return Answer(200, orjson.dumps(document))

    async def grant(self, visit: Visit, grant: Grant) -> Answer:
        """Make a grant; a lease takes the place of one that ends at another time."""
        now = self._now()
        until = None if grant.until is None else end_of(grant.until, now)
        fact = grant.fact(until)
        self._check(fact)
        status = await self._amendments.alone(lambda: self._grant(visit, fact, grant.why))
        wanted = Wanted(PREDICATES, _values(fact), lambda found: found == fact)
        lives = await self._history.lives(wanted, limit=_ON_RESOURCE)
        ours = [one for one in lives if one.origin == GRANT] or lives
        document = document_of(ours[0]) if ours else words_of(fact)
        return Answer(status, orjson.dumps(document))

    async def end(self, visit: Visit, ended: Ended) -> Answer:
        """End a grant, whoever made it, and the leases of the same words."""
        facts = [ended.fact(), *self._leases(ended.fact())]
        return await self._amendments.alone(lambda: self._end(visit, facts, ended.why))

    async def end_one(self, visit: Visit, reason: Why) -> Answer:
        number = visit.names["grant_id"]
        is_number = number.isascii() and number.isdigit() and len(number) <= _LONGEST_ID
        life = await self._history.find(int(number)) if is_number else None
        if life is None or not _is_grant(life.fact):
            raise UnknownGrantError
        return await self._amendments.alone(lambda: self._end(visit, [life.fact], reason.why))

    async def _grant(self, visit: Visit, fact: Fact, why: str) -> int:
        others = [one for one in self._leases(fact) if one != fact] if _is_lease(fact) else []
        draft = self._amendments.draft(
            add=[Stated(GRANT, fact)], remove=self._amendments.everywhere(others)
        )
        if not draft:
            return 200
        author = author_of(visit)
        before = [words_of(one.fact) for one in draft.remove]
        await self._amendments.record(
            author, "grant.made", why=why, before=before or None, after=words_of(fact)
        )
        await self._amendments.carry_out(draft, author, why)
        return 201

    async def _end(self, visit: Visit, facts: Iterable[Fact], why: str) -> Answer:
        places = list(filter(None, map(self._amendments.is_written, facts)))
        draft = self._amendments.draft(remove=self._amendments.everywhere(facts))
        if places:
            # To take the rest and leave what gives the same would look like an end, and be none.
            raise WrittenInPolicyError(place=places[0])
        if not draft:
            raise UnknownGrantError
        author = author_of(visit)
        before = [words_of(one.fact) | {"origin": one.origin} for one in draft.remove]
        await self._amendments.record(author, "grant.ended", why=why, before=before)
        await self._amendments.carry_out(draft, author, why)
        return Answer(200, orjson.dumps({"ended": before}))

    async def _version(self, wish: Wish) -> int | None:
        if wish.as_of is None:
            return None
        point = point_of(wish.as_of)
        if point.moment is None:
            return point.version
        return await self._history.version_at(float(point.moment))

    def _check(self, fact: Fact) -> None:
        """Raise `InvalidError` for a grant that the policy in force can make no use of."""
        target, role = fact.args[2], fact.args[1]
        if isinstance(target, str) and _is_lease(fact):
            problem = "A pattern is granted without an end; name a resource to lease it."
            raise InvalidError(problems=[{"field": "until", "problem": problem}])
        program = self._program()
        if isinstance(target, Entity) and role not in (known := program.types.roles(target.type)):
            problem = f"A {target.type} has these roles: {', '.join(sorted(known)) or 'none'}."
            raise InvalidError(problems=[{"field": "role", "problem": problem}])
        try:
            program.schema.check(fact)
        except FactError as error:
            raise InvalidError(problems=[{"field": "resource", "problem": f"{error}"}]) from None

    def _leases(self, fact: Fact) -> list[Fact]:
        """Return the leases of the words of *fact*, whenever they end."""
        table = self._amendments.facts.get("lease/4", EMPTY)
        rows = table.find((0, 1, 2), fact.args[:_ON_RESOURCE])
        return [fact_of("lease", row) for row in rows]

    def _program(self) -> Program:
        return self._amendments.standing.grounds.bundle.program


def _is_lease(fact: Fact) -> bool:
    return fact.predicate == "lease"


def _is_grant(fact: Fact) -> bool:
    return fact.predicate in PREDICATES and len(fact.args) >= _ON_RESOURCE


def _values(fact: Fact) -> tuple[str | Entity, ...]:
    return tuple(one for one in fact.args if isinstance(one, str | Entity))
