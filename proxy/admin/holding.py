"""Who may do something now, by the engine that judges calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from policies.grounds import Grounds
from policies.holders import Holder, Holders, offered, server_of, stored_of
from policies.model import Entity, Fact
from policies.polar.runtime import UndecidedError
from policies.reach import BEHIND_CONNECT
from proxy.admin.amending import document_of
from proxy.admin.errors import ApiError, UnknownServerError
from proxy.admin.holder_terms import (
    WhoCanDocument,
    WhoCanWish,
    access_word,
    step_document,
    subject_document,
)
from proxy.admin.identities import MANAGE_GRANTS
from proxy.admin.routes import Route, Visit
from proxy.admin.sight import UnjudgedError
from proxy.catalogues import Catalogues
from proxy.listener.answers import Answer
from proxy.standing import Standing
from storage.history import FactHistory, Life, Wanted
from storage.identities import IdentityLedger

_PAGE: Final = 500

Lives = Mapping[Fact, Sequence[Life]]


class UnknownItemError(ApiError):
    status = 404
    code = "unknown-item"
    public = "No server was ever seen to offer this, so nobody can use it; check its spelling."


class Holding:
    """Answers who may do what, on the grounds of *standing*. *now* tells the Unix second."""

    def __init__(
        self,
        standing: Standing,
        identities: IdentityLedger,
        history: FactHistory,
        catalogues: Catalogues,
        now: Callable[[], float],
    ) -> None:
        self._standing = standing
        self._identities = identities
        self._history = history
        self._catalogues = catalogues
        self._now = now

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "GET",
                "/api/v0/access/who-can",
                MANAGE_GRANTS,
                WhoCanWish,
                self.who_can,
                summary="Tell who may do something now, and on what terms",
                gives=WhoCanDocument,
                fails=(UnknownServerError, UnknownItemError, UnjudgedError),
            ),
        )

    async def who_can(self, visit: Visit, wish: WhoCanWish) -> Answer:
        del visit
        resource, grounds, now = wish.entity(), self._standing.grounds, int(self._now())
        self._check(resource, grounds)
        known = [
            Entity(one.type, one.name)
            for type_ in ("Client", "User")
            for one in await self._identities.listed(type_)
        ]
        holders = Holders(grounds)
        try:
            # Beside the calls that are judged meanwhile, for it may take long.
            found = await asyncio.to_thread(holders.who_can, wish.action, resource, known, now)
        except UndecidedError:
            raise UnjudgedError from None
        lives = await self._lives(found, grounds) if wish.explain else None
        document = {
            "action": wish.action,
            "resource": {"type": resource.type, "id": resource.id},
            "policy": grounds.bundle.version,
            "version": grounds.facts.version,
            "now": now,
            "asked": len(holders.named | set(known)),
            "principals": [_document(one, grounds, lives) for one in found],
        }
        return Answer(200, orjson.dumps(document))

    def _check(self, resource: Entity, grounds: Grounds) -> None:
        """Raise `UnknownServerError` or `UnknownItemError` for what is not there."""
        server = server_of(resource)
        if server is not None and server not in self._catalogues.definitions:
            raise UnknownServerError
        if resource.type in BEHIND_CONNECT - {"Document"} and not offered(resource, grounds):
            raise UnknownItemError

    async def _lives(self, holders: Iterable[Holder], grounds: Grounds) -> Lives:
        """Return who stated each stored fact of the proofs, when and why."""
        facts = {fact for one in holders for fact in stored_of(one.proofs, grounds)}
        wanted = Wanted({fact.predicate for fact in facts}, (), facts.__contains__)
        found: dict[Fact, list[Life]] = {}
        after, page = 0, [*facts]
        while page:
            lives = await self._history.lives(wanted, limit=_PAGE, after=after)
            for life in lives:
                found.setdefault(life.fact, []).append(life)
            if len(lives) < _PAGE:
                break
            after = lives[-1].id
        return found


def _document(one: Holder, grounds: Grounds, lives: Lives | None) -> dict[str, Any]:
    proofs = facts = None
    if lives is not None:
        proofs = [[step_document(step) for step in proof.steps] for proof in one.proofs]
        stored = stored_of(one.proofs, grounds)
        facts = [_stated(life) for fact in stored for life in lives.get(fact, ())]
    rules = (rule for proof in reversed(one.proofs) for rule in proof.rules)
    return {
        "principal": subject_document(one.actor),
        "acts_for": None if one.acts_for is None else list(map(subject_document, one.acts_for)),
        "access": access_word(one.access),
        "ways": [list(way) for way in one.ways],
        "until": one.until,
        "rules": list(dict.fromkeys(rules)),
        "proofs": proofs,
        "facts": facts,
    }


def _stated(life: Life) -> dict[str, Any]:
    predicate, *args = document_of(life.fact)
    return {
        "predicate": predicate,
        "args": args,
        "origin": life.origin,
        "added_at": int(life.added_at),
        "added_by": life.added_by,
        "why": life.added_why,
    }
