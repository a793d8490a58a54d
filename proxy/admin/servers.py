"""Servers: registered, changed and deregistered while the gateway runs, and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import Field

from policies.model import Entity
from proxy.admin.enforcement import Enforcement
from proxy.admin.errors import ApiError, InvalidError, NameTakenError, UnknownServerError
from proxy.admin.identities import Why, author_of
from proxy.admin.routes import Access, Input, Nothing, Route, Visit
from proxy.admin.server_outputs import OneServer, ServerDocument, ServersPage
from proxy.admin.server_terms import NewServer, ServerChanges, ServerTerms
from proxy.admin.sight import MANAGE_SERVERS, Sight, UnjudgedError
from proxy.admin.toggles import Toggles
from proxy.admin.upstream_failures import PROVING, proving_error
from proxy.audit import Audit
from proxy.catalogues import Catalogues
from proxy.listener.answers import Answer
from proxy.pipeline import Clocks
from proxy.registering import (
    Changes,
    Registry,
    SecretsLostError,
    ServerChangedError,
    ServerConfiguredError,
    ServerKnownError,
    ServerUnknownError,
)
from proxy.servers import Entry
from proxy.upstream.addresses import AddressError
from proxy.upstream.conversation import RefusedRequestError
from proxy.upstream.failures import UpstreamError
from proxy.upstream.offers import OffersError
from proxy.upstream.terms import Terms
from storage.registrations import Registration

_PATH: Final = "/api/v0/servers"
_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_UNEXPLAINED: Final = "The gateway could not read what the server offers; look at its log."


class ConfiguredServerError(ApiError):
    status = 409
    code = "server-configured"
    public = "This server is configured in the gateway's settings; change it there."


class ChangedServerError(ApiError):
    status = 409
    code = "server-changed"
    public = "Somebody else changed this server meanwhile; look at it, and send yours again."


class LostSecretsError(ApiError):
    status = 409
    code = "secrets-lost"
    public = (
        "What is secret of this server was sealed under another master key. Put that key back, or "
        "say all of the server anew with PUT."
    )


_REFUSALS: Final[dict[type[Exception], type[ApiError]]] = {
    ServerKnownError: NameTakenError,
    ServerConfiguredError: ConfiguredServerError,
    ServerUnknownError: UnknownServerError,
    ServerChangedError: ChangedServerError,
    SecretsLostError: LostSecretsError,
}


class ServerPage(Input):
    """Which servers to list, by name. `after` is what the page before gave as `next`."""

    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: str = Field("", max_length=128)


@dataclass(frozen=True, slots=True)
class ServersAdmin:
    """The servers of *registry*."""

    registry: Registry
    catalogues: Catalogues
    toggles: Toggles
    enforcement: Enforcement
    sight: Sight
    audit: Audit
    clocks: Clocks

    def routes(self) -> tuple[Route[Any], ...]:
        return (*self._reading(), *self._changing())

    def _reading(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "GET",
                _PATH,
                Access.IDENTIFIED,
                ServerPage,
                self.listed,
                summary="List servers",
                gives=ServersPage,
                fails=(UnjudgedError,),
            ),
            Route(
                "GET",
                f"{_PATH}/{{name}}",
                Access.IDENTIFIED,
                Nothing,
                self.shown,
                summary="Show a server",
                gives=ServerDocument,
                fails=(UnknownServerError, UnjudgedError),
            ),
        )

    def _changing(self) -> tuple[Route[Any], ...]:
        one, ours = f"{_PATH}/{{name}}", (UnknownServerError, ConfiguredServerError)
        fails = (*ours, ChangedServerError, *PROVING)
        return (
            Route(
                "POST",
                _PATH,
                MANAGE_SERVERS,
                NewServer,
                self.register,
                summary="Register a server that answers",
                status=201,
                gives=OneServer,
                fails=(NameTakenError, ConfiguredServerError, ChangedServerError, *PROVING),
                mixed=True,
            ),
            Route(
                "PUT",
                one,
                MANAGE_SERVERS,
                ServerTerms,
                self.replace,
                summary="Set all of a registered server",
                gives=OneServer,
                fails=fails,
            ),
            Route(
                "PATCH",
                one,
                MANAGE_SERVERS,
                ServerChanges,
                self.change,
                summary="Change what is named of a registered server",
                gives=OneServer,
                fails=(*fails, LostSecretsError),
            ),
            Route(
                "DELETE",
                one,
                MANAGE_SERVERS,
                Why,
                self.deregister,
                summary="Deregister a server; grants that name it stay",
                status=204,
                fails=ours,
            ),
        )

    async def listed(self, visit: Visit, page: ServerPage) -> Answer:
        eyes = await self.sight.of(visit)
        later = sorted(name for name in self.registry.servers.entries if name > page.after)
        found = await eyes.servers(later)
        shown = [self._document(name, manages=eyes.manages) for name in found[: page.limit]]
        more = shown[-1]["name"] if len(found) > len(shown) else None
        return Answer(200, orjson.dumps({"servers": shown, "next": more}))

    async def shown(self, visit: Visit, _nothing: Nothing) -> Answer:
        name, eyes = visit.names["name"], await self.sight.of(visit)
        if name not in self.registry.servers.entries or not await eyes.servers([name]):
            raise UnknownServerError
        return Answer(200, orjson.dumps(self._document(name, manages=eyes.manages)))

    async def register(self, visit: Visit, new: NewServer) -> Answer:
        changes = self._changes(visit, new.why)
        if new.name not in self.registry.servers.entries:
            # Whatever was called so before, and is forgotten, was observed and not this.
            await self.enforcement.end(new.name, author_of(visit), new.why)
        with _refusals(new.url):
            await self.registry.register(new.name, new.terms, changes, force=new.force)
        return self._answer(201, new.name)

    async def replace(self, visit: Visit, said: ServerTerms) -> Answer:
        return await self._update(visit, said, lambda _: said.terms)

    async def change(self, visit: Visit, said: ServerChanges) -> Answer:
        return await self._update(visit, said, lambda one: said.of(self.registry.terms_of(one)))

    async def deregister(self, visit: Visit, reason: Why) -> Answer:
        name = visit.names["name"]
        with _refusals(""):
            await self.registry.deregister(name, self._changes(visit, reason.why))
        await self.enforcement.end(name, author_of(visit), reason.why)
        return Answer(204)

    async def _update(
        self,
        visit: Visit,
        said: ServerTerms | ServerChanges,
        amended: Callable[[Registration], Terms],
    ) -> Answer:
        name, changes = visit.names["name"], self._changes(visit, said.why)
        entry = self.registry.servers.entries.get(name)
        with _refusals(said.url or ("" if entry is None else entry.profile.url)):
            await self.registry.update(name, amended, changes)
        return self._answer(200, name)

    def _changes(self, visit: Visit, why: str) -> Changes:
        author = author_of(visit)

        async def record(what: str, before: object, after: object) -> None:
            await self.audit.changed(author.document, what, why=why, before=before, after=after)

        return Changes(author.name, record)

    def _answer(self, status: int, name: str) -> Answer:
        if name not in self.registry.servers.entries:
            raise ChangedServerError  # it was deregistered before the answer was written
        return Answer(status, orjson.dumps({"server": self._document(name, manages=True)}))

    def _document(self, name: str, *, manages: bool) -> dict[str, Any]:
        entry = self.registry.servers.entries[name]
        profile, moment = entry.profile, entry.registered_at
        document = {
            "name": name,
            "transport": "http",
            "description": profile.description,
            "session_mode": profile.session_mode,
            "enabled": not self.toggles.is_disabled(Entity("Server", name)),
            **self.enforcement.of(name),
            "source": entry.source,
            "registered_at": None if moment is None else int(moment),
            "catalogue": self._catalogue(name, entry),
        }
        if not manages:
            return document
        return document | {
            "url": profile.shown_url,
            "network": profile.network,
            "headers": list(profile.headers),
            "has_bearer": profile.has_bearer,
            "registered_by": entry.registered_by,
        }

    def _catalogue(self, name: str, entry: Entry) -> dict[str, Any]:
        server, looked = self.registry.servers.get(name), self.catalogues.looked(name)
        offered = [one.kind for one in self.catalogues.offered(name) if one.state != "gone"]
        failure = entry.problem
        if failure is None and looked.failure is not None:
            failure = getattr(looked.failure, "public", _UNEXPLAINED)
        ago = None if looked.taken is None else self.clocks.monotonic() - looked.taken
        return {
            "known": server is not None and server.catalogue is not None,
            "tools": offered.count("tool"),
            "prompts": offered.count("prompt"),
            "resources": offered.count("resource"),
            "last_failure": failure,
            "taken_at": None if ago is None else int(self.clocks.now() - ago),
        }


@contextmanager
def _refusals(url: str) -> Iterator[None]:
    """Answer what the registry refuses in words, and what the upstream at *url* fails of."""
    try:
        yield
    except AddressError as error:
        raise InvalidError(problems=[{"field": "url", "problem": str(error)}]) from None
    except (UpstreamError, RefusedRequestError, OffersError) as error:
        raise proving_error(error, url) from error
    except tuple(_REFUSALS) as error:
        raise _REFUSALS[type(error)] from None
