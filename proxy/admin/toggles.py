"""Switching off servers, and single tools and prompts, and on again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from pydantic import Field

from policies.model import Entity, Fact
from policies.polar.tables import EMPTY
from policies.polar.values import key_of
from proxy.admin.amending import Amendments, Stated
from proxy.admin.errors import (
    ApiError,
    UnknownDefinitionError,
    UnknownServerError,
    WrittenInPolicyError,
)
from proxy.admin.identities import Why, author_of
from proxy.admin.routes import Route, Visit
from proxy.admin.server_outputs import Affected, Names
from proxy.admin.sight import MANAGE_SERVERS
from proxy.catalogues import Catalogues
from proxy.listener.answers import Answer
from proxy.servers import Entry
from proxy.wire.names import MAX_ID, SEPARATOR

SWITCHED: Final = "switched"
"""The origin of what is stated to be disabled."""

_PREDICATE: Final = "is_disabled"
_AT_ONCE: Final = 500
_TYPES: Final = {"tool": "Tool", "prompt": "Prompt"}


class Switched(Why):
    """A tool or prompt by its canonical name, or a server for all that it offers of that kind."""

    entity: str = Field(min_length=1, max_length=MAX_ID)


@dataclass(frozen=True, slots=True)
class Toggles:
    """Disables and enables what the servers of *entries* offer, as far as *catalogues* know it.

    What is disabled by its own name stays so whatever becomes of its server.
    """

    amendments: Amendments
    catalogues: Catalogues
    entries: Mapping[str, Entry]

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            self._of_server("enable", "Serve a server again"),
            self._of_server("disable", "Serve nothing of a server"),
            self._of_items("tool", "enable", "Serve a tool, or all tools of a server, again"),
            self._of_items("tool", "disable", "Serve a tool, or all tools of a server, no longer"),
            self._of_items("prompt", "enable", "Serve a prompt, or all prompts of a server, again"),
            self._of_items(
                "prompt", "disable", "Serve a prompt, or all prompts of a server, no longer"
            ),
        )

    def is_disabled(self, entity: Entity) -> bool:
        """Tell whether *entity* itself is disabled, by an admin or by the policy's own word."""
        fact = _disabled(entity)
        return bool(self.amendments.facts.origins(fact) or self.amendments.is_written(fact))

    async def switch_server(self, visit: Visit, reason: Why, *, verb: str) -> Answer:
        name = visit.names["name"]
        if name not in self.entries:
            raise UnknownServerError
        await self._switch(visit, "server", [Entity("Server", name)], verb, reason.why)
        affected = {
            f"{kind}s_affected": [
                one.id for one in self._offered(name, kind) if not self.is_disabled(one)
            ]
            for kind in _TYPES
        }
        return Answer(200, orjson.dumps({"name": name, **affected}))

    async def switch_items(self, visit: Visit, said: Switched, *, kind: str, verb: str) -> Answer:
        meant = self._meant(kind, said.entity)
        await self._switch(visit, kind, meant, verb, said.why)
        return Answer(200, orjson.dumps({"names": [one.id for one in meant]}))

    def _of_server(self, verb: str, summary: str) -> Route[Why]:
        return Route(
            "POST",
            f"/api/v0/servers/{{name}}/{verb}",
            MANAGE_SERVERS,
            Why,
            partial(self.switch_server, verb=verb),
            summary=summary,
            gives=Affected,
            fails=_fails(verb, UnknownServerError),
        )

    def _of_items(self, kind: str, verb: str, summary: str) -> Route[Switched]:
        return Route(
            "POST",
            f"/api/v0/{kind}s/{verb}",
            MANAGE_SERVERS,
            Switched,
            partial(self.switch_items, kind=kind, verb=verb),
            summary=summary,
            gives=Names,
            fails=_fails(verb, UnknownServerError, UnknownDefinitionError),
            mixed=True,
        )

    def _meant(self, kind: str, text: str) -> list[Entity]:
        """Return what *text* means: one tool or prompt, or all of a server."""
        server, separator, _ = text.partition(SEPARATOR)
        if server not in self.entries:
            raise UnknownDefinitionError if separator else UnknownServerError
        known = {*self._offered(server, kind), *self._switched_off(server, kind)}
        if not separator:
            return sorted(known)
        entity = Entity(_TYPES[kind], text)
        if entity not in known:
            raise UnknownDefinitionError
        return [entity]

    def _offered(self, server: str, kind: str) -> list[Entity]:
        offered = self.catalogues.offered(server)
        names = [one.name for one in offered if one.kind == kind and one.state != "gone"]
        return [Entity(_TYPES[kind], f"{server}{SEPARATOR}{name}") for name in names]

    def _switched_off(self, server: str, kind: str) -> list[Entity]:
        """Return what of *server* is disabled, though it may not be offered any more."""
        rows = self.amendments.facts.get(key_of(_PREDICATE, 1), EMPTY).rows
        begins = f"{server}{SEPARATOR}"
        found = (row[0] for row in rows)
        return [
            one
            for one in found
            if isinstance(one, Entity) and one.type == _TYPES[kind] and one.id.startswith(begins)
        ]

    async def _switch(
        self, visit: Visit, kind: str, meant: Sequence[Entity], verb: str, why: str
    ) -> None:
        work = self._enable if verb == "enable" else self._disable
        await self.amendments.alone(lambda: work(visit, kind, meant, why))

    async def _enable(self, visit: Visit, kind: str, meant: Sequence[Entity], why: str) -> None:
        facts = [_disabled(one) for one in meant]
        place = next(filter(None, map(self.amendments.is_written, facts)), "")
        if place:
            raise WrittenInPolicyError(place=place)
        await self._amend(visit, f"{kind}.enabled", why, self.amendments.everywhere(facts), ())

    async def _disable(self, visit: Visit, kind: str, meant: Sequence[Entity], why: str) -> None:
        stated = [Stated(SWITCHED, _disabled(one)) for one in meant if not self.is_disabled(one)]
        await self._amend(visit, f"{kind}.disabled", why, (), stated)

    async def _amend(
        self,
        visit: Visit,
        what: str,
        why: str,
        remove: Iterable[Stated],
        add: Iterable[Stated],
    ) -> None:
        author, all_ = author_of(visit), [(one, True) for one in add]
        all_ += [(one, False) for one in remove]
        for start in range(0, len(all_), _AT_ONCE):
            some = all_[start : start + _AT_ONCE]
            draft = self.amendments.draft(
                add=[one for one, is_added in some if is_added],
                remove=[one for one, is_added in some if not is_added],
            )
            if draft:
                names = sorted({_named(one.fact) for one, _ in some})
                await self.amendments.record(author, what, why=why, after={"names": names})
                await self.amendments.carry_out(draft, author, why)


def _disabled(entity: Entity) -> Fact:
    return Fact(_PREDICATE, (entity,))


def _named(fact: Fact) -> str:
    entity = fact.args[0]
    return entity.id if isinstance(entity, Entity) else ""


def _fails(verb: str, *errors: type[ApiError]) -> tuple[type[ApiError], ...]:
    return (*errors, WrittenInPolicyError) if verb == "enable" else errors
