"""Clients: the identities of machines, and what each may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from pydantic import Field

from policies.model import Entity
from proxy.admin.amending import Amendments, document_of
from proxy.admin.errors import NameTakenError, UnknownClientError, WrittenInPolicyError
from proxy.admin.identities import (
    Identities,
    Keeping,
    Kind,
    Page,
    Terms,
    Why,
    author_of,
    check_teams,
    suspension,
)
from proxy.admin.opaque import (
    ACCESS_FAILS,
    AccessTerms,
    AccessTokenTakenError,
    NewAccessTerms,
    is_token_alone,
)
from proxy.admin.outputs import ChangedClient, ClientDocument, ClientsPage, SuspendedClients
from proxy.admin.rights import ALLOW_LIST, TEAMS, AllowList, TeamNames, targets
from proxy.admin.routes import Nothing, Route, Visit
from proxy.admin.wording import Name
from proxy.catalogues import Catalogues
from proxy.listener.answers import Answer
from storage.definitions import Definition
from storage.identities import IdentityLedger

MANAGE_CLIENTS: Final = "manage_clients"

CLIENT: Final = Kind("Client", MANAGE_CLIENTS, (ALLOW_LIST, TEAMS), UnknownClientError)

_AT_ONCE: Final = 500
_EVERYTHING: Final = frozenset({"*", "**"})
_KINDS: Final = frozenset({"tool", "prompt"})


class _Given(Terms):
    allow_list: AllowList = Field([])
    teams: TeamNames = Field([])


class ClientTerms(AccessTerms, _Given):
    """What a client may be given. PUT states it anew, PATCH and a lone token what they name."""


class NewClient(NewAccessTerms, _Given):
    name: Name


class Clients:
    """The clients. What they are allowed is compared with what *catalogues* know."""

    def __init__(self, keeping: Keeping, catalogues: Catalogues) -> None:
        self._identities = Identities(CLIENT, keeping)
        self._ledger: IdentityLedger = keeping.ledger
        self._amendments: Amendments = keeping.amendments
        self._catalogues = catalogues

    def routes(self) -> tuple[Route[Any], ...]:
        return (*self._of_all(), *self._of_one(), *self._of_suspension())

    def _of_all(self) -> tuple[Route[Any], ...]:
        path, action = CLIENT.path, CLIENT.action
        return (
            Route(
                "GET",
                path,
                action,
                Page,
                self._identities.listed,
                summary="List clients",
                gives=ClientsPage,
            ),
            Route(
                "POST",
                path,
                action,
                NewClient,
                self.create,
                summary="Create a client",
                example={"name": "ci", "allow_list": ["github"], "why": "builds the site"},
                status=201,
                gives=ChangedClient,
                fails=(NameTakenError, AccessTokenTakenError),
            ),
            Route(
                "POST",
                f"{path}/suspend-all",
                action,
                Why,
                self.suspend_all,
                summary="Suspend every client but the one who asks",
                gives=SuspendedClients,
            ),
        )

    def _of_one(self) -> tuple[Route[Any], ...]:
        one, action, ours = f"{CLIENT.path}/{{name}}", CLIENT.action, self._identities
        unknown = (UnknownClientError,)
        return (
            Route(
                "GET",
                one,
                action,
                Nothing,
                ours.shown,
                summary="Show a client",
                gives=ClientDocument,
                fails=unknown,
            ),
            Route(
                "PUT",
                one,
                action,
                ClientTerms,
                self.replace,
                summary="Set all that a client is given",
                gives=ChangedClient,
                fails=(*unknown, *ACCESS_FAILS),
            ),
            Route(
                "PATCH",
                one,
                action,
                ClientTerms,
                self.change,
                summary="Change what is named of a client",
                gives=ChangedClient,
                fails=(*unknown, *ACCESS_FAILS),
            ),
            Route(
                "DELETE",
                one,
                action,
                Why,
                self.delete,
                summary="Delete a client, its grants and its tokens",
                status=204,
            ),
        )

    def _of_suspension(self) -> tuple[Route[Any], ...]:
        one, action, ours = f"{CLIENT.path}/{{name}}", CLIENT.action, self._identities
        unknown = (UnknownClientError,)
        return (
            Route(
                "POST",
                f"{one}/suspend",
                action,
                Why,
                ours.suspend,
                summary="Suspend a client",
                gives=ClientDocument,
                fails=unknown,
            ),
            Route(
                "POST",
                f"{one}/resume",
                action,
                Why,
                ours.resume,
                summary="End the suspension of a client",
                gives=ClientDocument,
                fails=(*unknown, WrittenInPolicyError),
            ),
        )

    async def create(self, visit: Visit, new: NewClient) -> Answer:
        await check_teams(self._ledger, new.teams)
        return self._answer(201, await self._identities.create(visit, new.name, new), new)

    async def replace(self, visit: Visit, terms: ClientTerms) -> Answer:
        await check_teams(self._ledger, terms.teams)
        fields = terms.model_fields_set if is_token_alone(terms) else None
        return self._answer(200, await self._identities.update(visit, terms, fields), terms)

    async def change(self, visit: Visit, terms: ClientTerms) -> Answer:
        await check_teams(self._ledger, terms.teams)
        changed = await self._identities.update(visit, terms, terms.model_fields_set)
        return self._answer(200, changed, terms)

    async def delete(self, visit: Visit, reason: Why) -> Answer:
        return await self._identities.delete(visit, reason.why, must_exist=False)

    async def suspend_all(self, visit: Visit, reason: Why) -> Answer:
        """Suspend every client but whoever asks for it, those only known by their grants too."""
        return await self._amendments.alone(lambda: self._suspend_all(visit, reason.why))

    async def _suspend_all(self, visit: Visit, why: str) -> Answer:
        kept = {Entity("Client", one.name) for one in await self._ledger.listed("Client")}
        known = kept | set(_clients(self._amendments))
        clients = sorted(known - {visit.principal.actor})
        author, names = author_of(visit), [one.id for one in clients]
        for start in range(0, len(clients), _AT_ONCE):
            some = clients[start : start + _AT_ONCE]
            draft = self._amendments.draft(add=suspension(self._amendments, some))
            if draft:
                after = {"clients": [document_of(one.fact)[1]["id"] for one in draft.add]}
                await self._amendments.record(author, "clients.suspended", why=why, after=after)
                await self._amendments.carry_out(draft, author, why)
        return Answer(200, orjson.dumps({"suspended": names}))

    def _answer(self, status: int, document: dict[str, Any], terms: _Given) -> Answer:
        warnings = list(_warnings(terms.allow_list, self._catalogues.definitions))
        return Answer(status, orjson.dumps(document | {"warnings": warnings}))


def _clients(amendments: Amendments) -> Iterator[Entity]:
    """Yield the clients of which any fact speaks first."""
    for table in amendments.standing.grounds.tables.values():
        for row in table.rows:
            if row and isinstance(row[0], Entity) and row[0].type == "Client":
                yield row[0]


def _warnings(
    allow_list: Iterable[str], known: Mapping[str, Sequence[Definition]]
) -> Iterator[str]:
    """Yield what whoever wrote *allow_list* may not have meant."""
    for entry in allow_list:
        if entry in _EVERYTHING:
            yield f"{entry} allows every server, also those that come later."
            continue
        for target in targets(entry)[:1]:
            if isinstance(target, Entity) and not _is_offered(target, known):
                yield f"{entry} is not offered now; it is allowed from when it is."


def _is_offered(target: Entity, known: Mapping[str, Sequence[Definition]]) -> bool:
    if target.type == "Server":
        return target.id in known
    if target.type == "Toolset":
        return True
    server, _, name = target.id.partition("__")
    return any(one.kind in _KINDS and one.name == name for one in known.get(server, ()))
