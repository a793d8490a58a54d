"""Whether the policy is enforced on a server, or observed: denials recorded, and calls made."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import Field

from policies.enforcement import ENFORCEMENT, observed, observing, stated
from policies.model import Entity, Fact
from proxy.admin.amending import Amendments, Stated
from proxy.admin.errors import InvalidError, UnknownServerError
from proxy.admin.grant_terms import end_of
from proxy.admin.identities import Why, author_of
from proxy.admin.issuing import Author
from proxy.admin.routes import Route, Visit
from proxy.admin.server_outputs import EnforcementDocument
from proxy.admin.wording import Text
from proxy.listener.answers import Answer

CHANGE_ENFORCEMENT: Final = "change_enforcement"

_DAY: Final = 86_400
_MOST_DAYS: Final = 90
_OBSERVE: Final = "observe"
_ENFORCE: Final = "enforce"


class Observed(Why):
    """Why the policy shall be observed, and until when: a time, or for how long, such as 7d."""

    why: Text = Field(min_length=1)
    until: str | None = Field(None, max_length=64)


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Says of the servers *entries* how the policy is enforced there. *now* tells Unix seconds."""

    amendments: Amendments
    entries: Collection[str]
    now: Callable[[], float]

    def routes(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/servers/{name}"
        return (
            Route(
                "POST",
                f"{path}/{_OBSERVE}",
                CHANGE_ENFORCEMENT,
                Observed,
                self.observe,
                summary="Record what the policy denies on a server, and make the call all the same",
                gives=EnforcementDocument,
                fails=(UnknownServerError,),
                example={"why": "trying the new rules", "until": "7d"},
            ),
            Route(
                "POST",
                f"{path}/{_ENFORCE}",
                CHANGE_ENFORCEMENT,
                Why,
                self.enforce,
                summary="Enforce the policy on a server again",
                gives=EnforcementDocument,
                fails=(UnknownServerError,),
            ),
        )

    def of(self, name: str) -> dict[str, Any]:
        """Return how the policy is enforced on the server *name*, as answers and records say it."""
        found = observed(self.amendments.facts, self.now())
        return {
            "enforcement": _OBSERVE if name in found else _ENFORCE,
            "observed_until": found.get(name),
        }

    async def observe(self, visit: Visit, said: Observed) -> Answer:
        name, until = visit.names["name"], self._end(said.until)
        if name not in self.entries:
            raise UnknownServerError
        wanted = observing(Entity("Server", name), until)
        await self._become(name, [wanted], author_of(visit), said.why)
        return self._answer(name)

    async def enforce(self, visit: Visit, said: Why) -> Answer:
        name = visit.names["name"]
        if name not in self.entries and not stated(self.amendments.facts, Entity("Server", name)):
            raise UnknownServerError
        await self.end(name, author_of(visit), said.why)
        return self._answer(name)

    async def end(self, name: str, author: Author, why: str) -> None:
        """Enforce the policy on whatever is called *name*."""
        await self._become(name, [], author, why)

    async def _become(self, name: str, wanted: Collection[Fact], author: Author, why: str) -> None:
        await self.amendments.alone(lambda: self._changed(name, wanted, author, why))

    async def _changed(self, name: str, wanted: Collection[Fact], author: Author, why: str) -> None:
        """State *wanted* of the server *name*, and nothing else, once that is recorded."""
        known = stated(self.amendments.facts, Entity("Server", name))
        draft = self.amendments.draft(
            add=[Stated(ENFORCEMENT, one) for one in wanted],
            remove=[Stated(ENFORCEMENT, one) for one in known if one not in wanted],
        )
        if not draft:
            return
        after: dict[str, object] = {"enforcement": _ENFORCE, "observed_until": None}
        for one in wanted:
            until = one.args[1] if len(one.args) > 1 else None
            after = {"enforcement": _OBSERVE, "observed_until": until}
        await self.amendments.record(
            author,
            f"server.{after['enforcement']}d",
            why=why,
            before={"name": name, **self.of(name)},
            after={"name": name, **after},
        )
        await self.amendments.carry_out(draft, author, why)

    def _end(self, text: str | None) -> int | None:
        """Return the Unix second that *text* means. Raises `InvalidError`."""
        if text is None:
            return None
        now, problem = self.now(), "An observation ends in the future, and within 90 days."
        try:
            until = end_of(text, now)
        except ValueError as error:
            problem = str(error)
        else:
            if now < until <= now + _MOST_DAYS * _DAY:
                return until
        raise InvalidError(problems=[{"field": "until", "problem": problem}])

    def _answer(self, name: str) -> Answer:
        return Answer(200, orjson.dumps({"name": name, **self.of(name)}))
