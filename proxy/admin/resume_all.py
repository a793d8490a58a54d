"""Letting every client act again, after the worst night."""

from __future__ import annotations

from typing import Any, Final

import orjson

from policies.model import Entity
from policies.polar.tables import EMPTY
from proxy.admin.amending import Amendments
from proxy.admin.clients import CLIENT
from proxy.admin.identities import Why, author_of, suspended
from proxy.admin.routes import Output, Route, Visit
from proxy.listener.answers import Answer

_SUSPENDED: Final = "is_suspended/1"
_AT_ONCE: Final = 500


class ResumedClients(Output):
    """The clients that may act again; one that the policy itself suspends is not among them."""

    resumed: list[str]


class ResumeAll:
    """Resumes clients by *amendments*."""

    def __init__(self, amendments: Amendments) -> None:
        self._amendments = amendments

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "POST",
                f"{CLIENT.path}/resume-all",
                CLIENT.action,
                Why,
                self.resume_all,
                summary="Resume every client",
                gives=ResumedClients,
            ),
        )

    async def resume_all(self, visit: Visit, reason: Why) -> Answer:
        """Resume every client, those only known by their suspension too."""
        return await self._amendments.alone(lambda: self._resume_all(visit, reason.why))

    async def _resume_all(self, visit: Visit, why: str) -> Answer:
        clients, author = self._suspended(), author_of(visit)
        for start in range(0, len(clients), _AT_ONCE):
            some = clients[start : start + _AT_ONCE]
            facts = map(suspended, some)
            draft = self._amendments.draft(remove=self._amendments.everywhere(facts))
            after = {"clients": [one.id for one in some]}
            await self._amendments.record(author, "clients.resumed", why=why, after=after)
            await self._amendments.carry_out(draft, author, why)
        return Answer(200, orjson.dumps({"resumed": [one.id for one in clients]}))

    def _suspended(self) -> list[Entity]:
        """Return the clients that are, and not by the policy itself."""
        rows = self._amendments.facts.get(_SUSPENDED, EMPTY).rows
        found = (row[0] for row in rows)
        return sorted(
            one
            for one in found
            if isinstance(one, Entity)
            and one.type == CLIENT.type
            and not self._amendments.is_written(suspended(one))
        )
