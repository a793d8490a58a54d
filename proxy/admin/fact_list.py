"""The facts that are stored now: by whom each was stated, when and why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field

from policies.model import Entity
from policies.polar.values import name_of
from proxy.admin.amending import Amendments, document_of
from proxy.admin.identities import MANAGE_GRANTS
from proxy.admin.outputs import EntityDocument
from proxy.admin.routes import Input, Output, Route, Visit
from proxy.admin.wording import actor_of, resource_of
from proxy.listener.answers import Answer
from storage.history import FactHistory, Life, Wanted

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500


def _entity_of(text: str) -> Entity:
    try:
        return actor_of(text)
    except ValueError:
        found = resource_of(text)
    if isinstance(found, Entity):
        return found
    raise ValueError("Write one actor or resource, such as client:ci or server:github.")


def _is_entity(text: str) -> str:
    _entity_of(text)
    return text


class FactsWish(Input):
    """Which facts to list. `about` is among their arguments; `origin` is how they were stated."""

    predicate: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    about: Annotated[str, AfterValidator(_is_entity)] | None = None
    origin: str | None = Field(None, min_length=1, max_length=128)
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: int = Field(0, ge=0, lt=2**63)

    def wanted(self, known: Collection[str]) -> Wanted:
        predicates = known if self.predicate is None else {self.predicate}
        return Wanted(predicates, () if self.about is None else (_entity_of(self.about),))


class StatedFact(Output):
    """A fact with its history. `version` is that of the facts since it is so."""

    id: str
    predicate: str
    args: list[str | int | bool | EntityDocument]
    origin: str
    version: int
    added_at: int
    added_by: str
    why: str


class FactsPage(Output):
    facts: list[StatedFact]
    next: str | None


class FactList:
    """The facts of *amendments*, with what *history* knows of them."""

    def __init__(self, amendments: Amendments, history: FactHistory) -> None:
        self._amendments = amendments
        self._history = history

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "GET",
                "/api/v0/facts",
                MANAGE_GRANTS,
                FactsWish,
                self.listed,
                summary="List the facts that are stored now",
                gives=FactsPage,
            ),
        )

    async def listed(self, visit: Visit, wish: FactsWish) -> Answer:
        del visit
        found = []
        async for life in self._lives(wish):
            found.append(life)
            if len(found) > wish.limit:
                break
        shown = found[: wish.limit]
        document = {
            "facts": [_shown(one) for one in shown],
            "next": str(shown[-1].id) if len(found) > len(shown) else None,
        }
        return Answer(200, orjson.dumps(document))

    async def _lives(self, wish: FactsWish) -> AsyncIterator[Life]:
        """Yield what is wished for, the oldest first."""
        known = {name_of(key) for key in self._amendments.facts}
        wanted, after = wish.wanted(known), wish.after
        while True:
            page = await self._history.lives(wanted, limit=_LARGEST_PAGE, after=after)
            for life in page:
                if wish.origin in {None, life.origin}:
                    yield life
            if len(page) < _LARGEST_PAGE:
                return
            after = page[-1].id


def _shown(life: Life) -> dict[str, Any]:
    predicate, *args = document_of(life.fact)
    return {
        "id": str(life.id),
        "predicate": predicate,
        "args": args,
        "origin": life.origin,
        "version": life.added_version,
        "added_at": int(life.added_at),
        "added_by": life.added_by,
        "why": life.added_why,
    }
